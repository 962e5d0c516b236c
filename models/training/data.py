"""Images, targets and augmentation.

The data folder ($CELLSTREAM_DATA) holds nuclei/ and spheroids/, each with images/,
labels/ and manifest.csv (columns id, kind, split and, for nuclei, subkind).
"""
import csv
import os
from pathlib import Path

import cv2
import numpy as np
import tifffile

CLIP = (-0.5, 2.0)
PERCENTILES = (1.0, 99.8)
FOLDER = {"nuclei": "nuclei", "spheroid": "spheroids"}


class Item:
    """image: the stored pixels; maps: uint8 (y, x, 3) foreground, distance, weight."""

    def __init__(self, row, image, labels):
        self.id, self.kind, self.subkind = row["id"], row["kind"], row.get("subkind", "")
        self.image, self.labels = image, labels
        self.maps = None
        self.lo, self.hi = np.percentile(image, PERCENTILES)


def read(path):
    if path.suffix in (".tif", ".tiff"):
        return tifffile.imread(path)
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return image[..., ::-1].copy() if image.ndim == 3 else image


def load(model, split):
    root = Path(os.environ["CELLSTREAM_DATA"]) / FOLDER[model]
    files = {p.stem: p for p in (root / "images").iterdir()}
    labels = {p.stem: p for p in (root / "labels").iterdir()}
    with open(root / "manifest.csv", newline="") as f:
        rows = [r for r in csv.DictReader(f) if r["split"] == split]
    return [Item(r, read(files[r["id"]]), read(labels[r["id"]])) for r in rows]


def scale(image, lo, hi):
    """The package's preprocessing: scale_range, then clip."""
    return np.clip((image.astype(np.float32) - lo) / (hi - lo + 1e-6), *CLIP).astype(np.float32)


def channels_first(image, channels):
    """float32 (y, x) or (y, x, c) to (channels, y, x): gray is repeated, colour averaged."""
    if image.ndim == 2:
        image = image[..., None]
    if channels == 1:
        image = image.mean(2, keepdims=True)
    elif image.shape[2] == 1:
        image = np.repeat(image, channels, 2)
    return np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32)


def normalised(item, channels):
    return channels_first(scale(item.image, item.lo, item.hi), channels)


def targets(labels, small):
    """Foreground, distance and loss weight as uint8; `small` is the diameter in pixels
    under which objects weigh more."""
    h, w = labels.shape
    distance = np.zeros((h, w), np.float32)
    weight = np.ones((h, w), np.float32)
    for n in np.unique(labels[labels > 0]):
        ys, xs = np.nonzero(labels == n)
        y0, y1, x0, x1 = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
        box = (slice(max(y0 - 1, 0), y1 + 1), slice(max(x0 - 1, 0), x1 + 1))
        inside = labels[box] == n
        # The image's edge is no boundary: repeat the outermost rows before measuring.
        pad = ((int(y0 == 0) * 64, int(y1 == h) * 64), (int(x0 == 0) * 64, int(x1 == w) * 64))
        mask = np.pad(np.pad(inside, pad, mode="edge"), 1)
        d = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        d = d[pad[0][0]:d.shape[0] - pad[0][1], pad[1][0]:d.shape[1] - pad[1][1]] - 0.5
        distance[box][inside] = d[inside] / d[inside].max()
        weight[box][inside] = np.clip(small / np.sqrt(4 / np.pi * len(ys)), 1, 2.5)
    kernel = np.ones((5, 5), np.uint8)
    as_float = labels.astype(np.float32)
    highest = cv2.dilate(as_float, kernel)
    lowest = cv2.erode(np.where(labels > 0, as_float, 1e9).astype(np.float32), kernel)
    weight[(highest != lowest) & (lowest < 1e9)] += 2.0  # near two objects
    return np.stack([(labels > 0) * 255, np.round(distance * 255),
                     np.minimum(np.round(weight * 32), 255)], -1).astype(np.uint8)


# ---------------------------------------------------------------- augmentation

def log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def warp(item, size, scales, rng, strength):
    """A size x size crop, randomly scaled, turned and mirrored."""
    s = log_uniform(rng, *scales) ** strength
    sx, sy = s * log_uniform(rng, 0.9, 1.1), s * log_uniform(rng, 0.9, 1.1)
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
    else:
        angle = rng.integers(4) * np.pi / 2
    c, sn = np.cos(angle), np.sin(angle)
    a = np.array([[c * sx, -sn * sy], [sn * sx, c * sy]])
    if rng.random() < 0.5:
        a[0] = -a[0]
    h, w = item.labels.shape
    # Keep the crop inside where the image is large enough.
    half = np.abs(np.linalg.inv(a)) @ np.array([size / 2, size / 2])
    centre = [rng.uniform(min(m, d - m), max(m, d - m)) if d > 2 * m else d / 2 + rng.uniform(-0.25, 0.25) * d
              for m, d in zip(half * 0.8, (w, h))]
    m = np.concatenate([a, (np.array([size / 2, size / 2]) - a @ centre)[:, None]], 1)
    border = cv2.BORDER_REFLECT_101 if rng.random() < 0.7 else cv2.BORDER_CONSTANT
    image = item.image
    if s < 0.7:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / s)
    image = cv2.warpAffine(image.astype(np.float32), m, (size, size), flags=cv2.INTER_LINEAR,
                           borderMode=border, borderValue=[float(np.median(item.image))] * 3)
    maps = cv2.warpAffine(item.maps, m, (size, size), flags=cv2.INTER_LINEAR,
                          borderMode=border, borderValue=[0, 0, 32])
    return image, maps


def stain(image, rng):
    """Vary a stained section in optical density: 8-bit range in and out."""
    od = -np.log((image + 8.0) / 263.0)
    if rng.random() < 0.8:
        mix = np.eye(3) + rng.normal(0, 0.12, (3, 3))
        od = od @ mix.astype(np.float32)
        od = od * rng.uniform(0.6, 1.5) + rng.normal(0, 0.03, 3).astype(np.float32)
    image = np.exp(-od) * 263.0 - 8.0
    if rng.random() < 0.07:
        image = image[..., rng.permutation(3)]
    if rng.random() < 0.1:
        image = np.repeat(image @ np.array([[0.3], [0.59], [0.11]], np.float32), 3, 2)
    return np.clip(image, 0, 255)


def smooth_field(size, rng):
    field = rng.normal(0, 1, (4, 4)).astype(np.float32)
    return cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC)


def sample(item, size, scales, channels, rng, strength):
    """One training example: float32 image (channels, y, x) and maps (3, y, x).
    strength 0..1 scales the range of sizes and how often the other changes are made."""
    def chance(p):
        return rng.random() < p * strength

    image, maps = warp(item, size, scales, rng, strength)
    colour = image.ndim == 3
    lo, hi = item.lo, item.hi
    own_range = chance(0.25)  # as if the crop were the image
    if colour:
        if rng.random() < 0.5 + 0.5 * strength:
            image = stain(image, rng)
        own_range = own_range or chance(0.5)
    elif channels == 3 and item.kind.startswith("fluor") and chance(0.06):
        weights = rng.uniform(0, 1, 3) ** 2  # a gray image stored in pseudo-colour
        weights[rng.integers(3)] = 1
        image = image[..., None] * weights.astype(np.float32)
        own_range = True
    if own_range:
        lo, hi = np.percentile(image, PERCENTILES)
        if hi - lo < 1e-3:
            hi = lo + 1
    x = (image - lo) / (hi - lo + 1e-6)
    if chance(0.10):
        x = 1 - x
    if chance(0.15):
        x = x * np.exp(0.3 * (smooth_field(size, rng)[..., None] if x.ndim == 3 else smooth_field(size, rng)))
    if chance(0.4):
        x = np.sign(x) * np.abs(x) ** log_uniform(rng, 0.55, 1.8)
    if chance(0.15):
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.5, 1.5))
    elif chance(0.08):
        x = x + rng.uniform(0.3, 1.0) * (x - cv2.GaussianBlur(x, (0, 0), 1.5))
    if chance(0.3):
        x = x + rng.normal(0, rng.uniform(0.01, 0.1), x.shape)
    gain = log_uniform(rng, 0.7, 1.4) if not chance(0.05) else log_uniform(rng, 1.4, 4)
    x = np.clip((x - rng.normal(0, 0.04)) * gain, *CLIP)
    return channels_first(x, channels), maps.transpose(2, 0, 1)
