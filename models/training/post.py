"""Postprocessing and scores, as in cs-postprocess."""
import ctypes
import functools
import subprocess
import tempfile
from pathlib import Path

import numpy as np


@functools.cache
def library():
    so = Path(tempfile.mkdtemp()) / "post.so"
    source = Path(__file__).with_name("post.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", so, source], check=True)
    return ctypes.CDLL(str(so))


def quantise(p):
    return np.round(np.clip(p, 0, 1) * 65535).astype(np.uint16)


def instances(p0, relief, threshold=0.5, seed_depth=0.1, seed_min=0.0, min_area=20, fill_holes=True,
              connectivity=8):
    """p0, relief: uint16 (y, x). Labels int32."""
    h, w = p0.shape
    labels = np.empty((h, w), np.int32)
    as_pointer = lambda a: a.ctypes.data_as(ctypes.c_void_p)
    p0, relief = np.ascontiguousarray(p0), np.ascontiguousarray(relief)
    n = library().watershed(as_pointer(p0), as_pointer(relief), h, w, int(threshold * 65535),
                            int(round(seed_depth * 65535)), int(round(seed_min * 65535)),
                            connectivity, as_pointer(labels))
    if fill_holes:
        library().fill_holes(as_pointer(labels), h, w)
    keep = np.bincount(labels.ravel(), minlength=n + 1) >= min_area
    keep[0] = False
    names = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
    return names[labels]


def counts(truth, labels, iou=0.5):
    """True positives, false positives, false negatives at an IoU above `iou` (0.5 or more)."""
    _, t = np.unique(truth, return_inverse=True)
    t = t.reshape(truth.shape) + (0 if (truth == 0).any() else 1)
    n, m = t.max() + 1, labels.max() + 1
    joint = np.bincount(t.ravel() * m + labels.ravel(), minlength=n * m).reshape(n, m).astype(np.float64)
    union = joint.sum(1, keepdims=True) + joint.sum(0, keepdims=True) - joint
    tp = int(((joint / np.maximum(union, 1))[1:, 1:] > iou).sum())
    return tp, (m - 1) - tp, (n - 1) - tp


def average_precision(truth, labels, iou=0.5):
    tp, fp, fn = counts(truth, labels, iou)
    return tp / (tp + fp + fn) if tp + fp + fn else 1.0


def foreground_iou(truth, mask):
    truth, mask = truth > 0, mask > 0
    union = (truth | mask).sum()
    return (truth & mask).sum() / union if union else 1.0
