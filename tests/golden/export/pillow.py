#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a network is given by Pillow and torchvision: `pillow.py` writes tests/golden/pillow/.

Small images of every mode that Pillow opens and cs-load gives as one plane, and expected.txt: for
each of them and of testdata/, at several sizes, the SHA-256 of the samples after
Image.convert('RGB').resize() (8 bits, interleaved) and of torchvision's ToTensor and Normalize
after it (floats, a plane a channel). Needs Pillow up to 12.3, numpy, torch and torchvision.
"""
import hashlib
import pathlib

import numpy as np
from PIL import Image
from torchvision import transforms

ROOT = pathlib.Path(__file__).resolve().parents[3]
FOLDER = ROOT / "tests/golden/pillow"
SIZES = [(1024, 1024), (64, 48), (31, 97), (1, 1), (257, 2)]
NORMALISE = transforms.Compose([
    transforms.ToTensor(),
    transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])


def draw():
    random = np.random.default_rng(20)

    def noise(*shape):
        return random.integers(0, 256, shape, np.uint8)

    images = {
        "l-1x37": Image.fromarray(noise(37, 1)),
        "l-53x1": Image.fromarray(noise(1, 53)),
        "l-20x31": Image.fromarray(noise(31, 20)),
        "bw-33x12": Image.fromarray(noise(12, 33)).convert("1"),
        "la-9x11": Image.fromarray(noise(11, 9, 2), "LA"),
        "rgb-31x17": Image.fromarray(noise(17, 31, 3)),
        "rgba-20x30": Image.fromarray(noise(30, 20, 4), "RGBA"),
        "p-23x19": Image.fromarray(noise(19, 23, 3)).quantize(16),
        "i16-14x24": Image.fromarray(random.integers(0, 600, (24, 14)).astype(np.uint16)),
    }
    FOLDER.mkdir(exist_ok=True)
    for name, image in images.items():
        image.save(FOLDER / f"{name}.png", optimize=True)


def main():
    draw()
    files = sorted(FOLDER.glob("*.png")) + sorted(
        f for f in (ROOT / "testdata").glob("*/*.*") if f.parent.name in ("nuclei", "spheroid"))
    lines = []
    for width, height in SIZES:
        for file in files:
            image = Image.open(file).convert("RGB").resize((width, height), Image.BILINEAR)
            tensor = NORMALISE(image).numpy()
            lines.append(f"{width} {height} {file.relative_to(ROOT)} "
                         f"{hashlib.sha256(image.tobytes()).hexdigest()} "
                         f"{hashlib.sha256(tensor.tobytes()).hexdigest()}\n")
    (FOLDER / "expected.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
