#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hold cs-infer --compat hub against the Python route that it replaces, on real images.

    compare-hub.py [-m PACKAGE] [-n IMAGES] FILE|FOLDER...

For every image: the samples after convert('RGB') and resize, and the network's input, byte by
byte. With -m, for the first IMAGES (20): the mask, whole route in Python (Pillow, torchvision, ONNX
Runtime on the package's network, a sigmoid where values lie outside 0 to 1, OpenCV's INTER_LINEAR,
> 0.5) against cs-infer's map > 0.5; pixels with a probability within 1e-3 of 0.5 are counted apart.
Exits 1 where bytes or other pixels differ. cs-load, cs-infer, cs-save and stream-hub (a helper of
the tests) must be on the PATH; needs Pillow up to 12.3, numpy, torch, torchvision, and for -m
onnxruntime, opencv and pyyaml.
"""
import argparse
import hashlib
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import PIL
from PIL import Image
from torchvision import transforms

SIDE = 1024
TENSOR = transforms.Compose([
    transforms.Resize((SIDE, SIDE)), transforms.ToTensor(),
    transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])


def piped(files, *commands):
    """cs-load of the files into the commands; what the last one prints."""
    data = "\n".join(map(str, files)).encode()
    for command in (["cs-load", "-q", "--page", "0", "-F", "-"], *commands):
        data = subprocess.run(command, input=data, stdout=subprocess.PIPE, check=False).stdout
    return data


def compare_inputs(files):
    bytes_differ = inputs_differ = seen = 0
    with tempfile.TemporaryDirectory() as folder:
        for first in range(0, len(files), 32): # what the folder holds at once
            part = files[first:first + 32]
            lines = piped(part, ["stream-hub", str(SIDE), str(SIDE), folder]).decode().splitlines()
            if len(lines) != len(part):
                print(f"{len(part) - len(lines)} of {part[0]}... are not loaded")
            for number, line in enumerate(lines):
                name, _, digest = line.rsplit(" ", 2)
                image = Image.open(name).convert("RGB")
                want = np.asarray(image.resize((SIDE, SIDE), Image.BILINEAR)).ravel()
                got = np.fromfile(f"{folder}/{part.index(pathlib.Path(name))}.u8", np.uint8)
                wrong = int((want != got).sum())
                same = hashlib.sha256(TENSOR(image).numpy().tobytes()).hexdigest() == digest
                if wrong or not same:
                    print(f"{name} ({image.size}): {wrong} bytes differ, input "
                          f"{'equal' if same else 'differs'}")
                bytes_differ += wrong
                inputs_differ += not same
                seen += 1
    print(f"{seen} images: {bytes_differ} bytes of {seen * 3 * SIDE * SIDE} differ after the "
          f"resize, {inputs_differ} network inputs differ (Pillow {PIL.__version__})")
    return bytes_differ + inputs_differ


def compare_masks(files, package):
    import cv2
    import onnxruntime
    import yaml
    description = yaml.safe_load((package / "rdf.yaml").read_text())
    session = onnxruntime.InferenceSession(
        package / description["weights"]["onnx"]["source"], providers=["CPUExecutionProvider"])
    total = near = wrong = largest = 0
    for file in files:
        image = Image.open(file)
        tensor = TENSOR(image.convert("RGB")).numpy()[None]
        output = session.run(None, {session.get_inputs()[0].name: tensor})[0][0]
        if output.min() < 0 or output.max() > 1:
            output = 1 / (1 + np.exp(-output.astype(np.float32)))
        want = cv2.resize(output[0], image.size, interpolation=cv2.INTER_LINEAR)
        with tempfile.TemporaryDirectory() as folder:
            piped([file], ["cs-infer", "-q", "-m", str(package), "--compat", "hub"],
                  ["cs-save", "-q", "-f", "probability", "--as", "npy", "-o", folder])
            got = np.load(next(pathlib.Path(folder).rglob("*.npy"))).reshape(want.shape + (-1,))
        got = got[..., 0]
        differ = (got > 0.5) != (want > 0.5)
        close = np.abs(want - 0.5) <= 1e-3
        total += want.size
        near += int((differ & close).sum())
        wrong += int((differ & ~close).sum())
        largest = max(largest, float(np.abs(got - want).max()))
    print(f"{len(files)} masks: of {total} pixels {near} differ within 1e-3 of 0.5 and {wrong} "
          f"elsewhere; largest difference of the probability {largest:.2g}")
    return wrong


def main():
    parser = argparse.ArgumentParser(prog="compare-hub.py")
    parser.add_argument("-m", "--model", type=pathlib.Path)
    parser.add_argument("-n", "--images", type=int, default=20)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    files = [f for path in args.files
             for f in (sorted(path.iterdir()) if path.is_dir() else [path])]
    wrong = compare_inputs(files)
    if args.model:
        step = max(1, len(files) // args.images) # of every part of the list
        wrong += compare_masks(files[::step][:args.images], args.model)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
