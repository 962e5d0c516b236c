#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compare the measurements of cs-polygonize with scikit-image's, object by object.

    compare-measures.py LABELS...      files or folders of label images (PNG or TIFF)

cs-load and cs-polygonize must be on the PATH; needs scikit-image 0.26. Whole numbers must be equal.
Reals must agree to 1e-9 of their size: scikit-image sums doubles where CellStream sums whole
numbers, and the table has 12 digits. Axis lengths and eccentricity may differ by 1e-6 where they
are near 0, since the square root of a rounding error of 1e-15 is 3e-8. Orientation is compared
modulo pi, and only where the object has a direction.
"""
import csv
import math
import subprocess
import sys
from pathlib import Path

from skimage import io, measure

WHOLE = ["label", "area", "area_bbox", "area_convex", "area_filled", "bbox-0", "bbox-1", "bbox-2",
         "bbox-3", "euler_number"]
REAL = ["axis_major_length", "axis_minor_length", "centroid-0", "centroid-1", "eccentricity",
        "equivalent_diameter_area", "extent", "feret_diameter_max", "perimeter",
        "perimeter_crofton", "solidity"]
PROPERTIES = ["label", "area", "area_bbox", "area_convex", "area_filled", "axis_major_length",
              "axis_minor_length", "bbox", "centroid", "eccentricity", "equivalent_diameter_area",
              "euler_number", "extent", "feret_diameter_max", "orientation", "perimeter",
              "perimeter_crofton", "solidity"]

def differs(name, got, expected):
    if name in WHOLE:
        return got != expected
    slack = 1e-6 if name in ("axis_minor_length", "axis_major_length", "eccentricity") else 1e-11
    return abs(got - expected) > max(1e-9 * abs(expected), slack)

def compare(path):
    """Numbers of objects and of differences, and the largest relative error of each real."""
    text = subprocess.run(f"cs-load '{path}' | cs-polygonize --plane image -f csv -o - -q",
                          shell=True, check=True, capture_output=True, text=True).stdout
    rows = list(csv.DictReader(text.splitlines()))
    labels = io.imread(path)
    expected = measure.regionprops_table(labels, properties=PROPERTIES)
    wrong, worst = 0, {}
    if [int(r["label"]) for r in rows] != list(expected["label"]):
        print(f"{path}: other labels")
        return len(rows), 1, worst
    for i, row in enumerate(rows):
        for name in WHOLE + REAL:
            got, want = float(row[name]), float(expected[name][i])
            if differs(name, got, want):
                wrong += 1
                print(f"{path}: label {row['label']}: {name} {got!r} instead of {want!r}")
            if name in REAL and want:
                worst[name] = max(worst.get(name, 0), abs(got - want) / abs(want))
        if expected["eccentricity"][i] > 1e-3:
            turn = float(row["orientation"]) - float(expected["orientation"][i])
            turn = abs((turn + math.pi / 2) % math.pi - math.pi / 2)
            worst["orientation"] = max(worst.get("orientation", 0), turn)
            if turn > 1e-9:
                wrong += 1
                print(f"{path}: label {row['label']}: orientation off by {turn}")
    return len(rows), wrong, worst

def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    files = []
    for name in map(Path, sys.argv[1:]):
        files += sorted(p for p in name.rglob("*") if p.suffix in (".png", ".tif")) \
            if name.is_dir() else [name]
    objects, wrong, worst = 0, 0, {}
    for path in files:
        n, w, errors = compare(path)
        objects += n
        wrong += w
        for name, value in errors.items():
            worst[name] = max(worst.get(name, 0), value)
    print(f"{len(files)} images, {objects} objects, {wrong} differences")
    for name, value in sorted(worst.items()):
        print(f"  {name}: largest relative error {value:.1e}")
    sys.exit(wrong > 0)

main()
