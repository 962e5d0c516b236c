#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draw labels.png and write labels.csv, what scikit-image (0.26) measures on it, with a pixel of
0.5 um. Run by hand: make.py FOLDER."""
import csv
import sys
from pathlib import Path

import numpy as np
from skimage import draw, io, measure

h, w = 150, 200
labels = np.zeros((h, w), np.uint16)
rng = np.random.default_rng(20)


def put(label, where):
    labels[where] = label


put(1, draw.disk((20, 20), 12.5))
put(2, draw.ellipse(20, 60, 8, 18, rotation=0.6))
put(3, draw.disk((24, 105), 16))        # a disc with a hole, an island and a neighbour in it
put(0, draw.disk((24, 105), 10))
put(3, draw.disk((21, 103), 3))
put(4, draw.disk((27, 109), 3))
labels[50, 10:40] = 5                   # lines
labels[55:80, 12] = 6
for i in range(20):
    labels[56 + i, 20 + i] = 7
labels[60, 60] = 8                      # a pixel; two that touch at a corner; two far apart
labels[64, 60] = labels[65, 61] = 9
labels[70, 60] = labels[90, 90] = 10
labels[0:9, 150:170] = 11               # at the edges
put(12, tuple(np.clip(c, 0, n - 1) for c, n in zip(draw.disk((75, 199), 14), (h, w))))
put(300, draw.polygon([60, 95, 95], [110, 100, 140]))
put(60000, draw.disk((120, 40), 14.2))
put(60001, draw.disk((124, 62), 11))    # overlaps its neighbour
noise = rng.random((40, 60)) > 0.45
labels[105:145, 100:160][noise] = 65535
square = labels[110:130, 175:195]
square[:] = 500
square[5:15, 5:15] = 0
square[10, 10] = 0
square[4, 4] = 0                        # the hole opens over a corner

properties = ["label", "area", "area_bbox", "area_convex", "area_filled", "axis_major_length",
              "axis_minor_length", "bbox", "centroid", "eccentricity", "equivalent_diameter_area",
              "euler_number", "extent", "feret_diameter_max", "orientation", "perimeter",
              "perimeter_crofton", "solidity"]
out = Path(sys.argv[1])
io.imsave(out / "labels.png", labels, check_contrast=False)
table = measure.regionprops_table(labels, properties=properties)
um = measure.regionprops_table(labels, spacing=(0.5, 0.5), properties=[
    "area", "area_convex", "area_filled", "axis_major_length", "axis_minor_length",
    "equivalent_diameter_area", "feret_diameter_max", "perimeter", "perimeter_crofton"])
for name, values in um.items():
    table[name + ("_um2" if name in ("area", "area_convex", "area_filled") else "_um")] = values
with open(out / "labels.csv", "w", newline="") as f:
    writer = csv.writer(f, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*(v.tolist() for v in table.values())))
