# SPDX-License-Identifier: MIT
"""Run by bench/python-route: the whole job in Python, as a careful user would write it.

Files to label images, GeoJSON and a table of measurements: the steps and parameters of the model's
package, ONNX Runtime for the network, otherwise the libraries that everybody takes, each by its
fast way. Prints images a second and the processor time of each step. With -j N, N processes of one
thread each share the files; else one process gives the network all threads.
"""
import argparse
import csv
import json
import multiprocessing
import os
import pathlib
import time

import cv2
import numpy as np
import onnxruntime
import tifffile
import yaml
from PIL import Image
from skimage.measure import label, regionprops_table
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

PROPERTIES = ["label", "area", "area_bbox", "area_convex", "area_filled", "axis_major_length",
              "axis_minor_length", "bbox", "centroid", "eccentricity", "equivalent_diameter_area",
              "euler_number", "extent", "feret_diameter_max", "orientation", "perimeter",
              "perimeter_crofton", "solidity"]
INTENSITY = ["intensity_mean", "intensity_min", "intensity_max"]


class Steps:
    """Processor time of the process, by step."""

    def __init__(self):
        self.seconds, self.last = {}, time.process_time()

    def did(self, name):
        now = time.process_time()
        self.seconds[name] = self.seconds.get(name, 0) + now - self.last
        self.last = now


def read(path):
    """(height, width, channels) as stored."""
    image = tifffile.imread(path) if path.suffix.lower().startswith(".tif") \
        else np.asarray(Image.open(path))
    image = image[..., None] if image.ndim == 2 else image[..., :3]
    return image


class Model:
    def __init__(self, package, threads):
        description = yaml.safe_load((package / "rdf.yaml").read_text())
        settings = description["config"]["cellstream"]
        self.post = settings["postprocess"]
        self.stride = settings["stride"]
        self.mean = settings["input_channels"] == "mean"
        self.smallest = description["inputs"][0]["axes"][2]["size"]["min"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            package / description["weights"]["onnx"]["source"], options, ["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0]

    def prepare(self, image):
        image = image.mean(2, dtype=np.float32, keepdims=True) if self.mean else image
        low, high = np.percentile(image, (1.0, 99.8))
        plane = (image.astype(np.float32) - np.float32(low)) / np.float32(high - low + 1e-6)
        np.clip(plane, -0.5, 2, out=plane)
        height, width = plane.shape[:2]
        pads = [max(self.smallest, -(-side // self.stride) * self.stride) - side
                for side in (height, width)]
        plane = np.pad(plane, ((0, pads[0]), (0, pads[1]), (0, 0)), "reflect")
        if self.input.shape[1] == 3 and plane.shape[2] == 1:
            plane = np.repeat(plane, 3, axis=2)
        return np.ascontiguousarray(plane.transpose(2, 0, 1)[None])

    def run(self, tensor, height, width):
        logits = self.session.run(None, {self.input.name: tensor})[0][0, :, :height, :width]
        return 1 / (1 + np.exp(-logits))

    def objects(self, maps):
        mask = maps[0] > self.post["threshold"]
        # 16 bits, as h_maxima is exact and fast for whole numbers.
        relief = np.where(mask, np.round(maps[1] * 65535), 0).astype(np.uint16)
        peaks = h_maxima(relief, round(self.post["seed_depth"] * 65535))
        peaks &= relief >= self.post["seed_min"] * 65535
        # An object without a peak of its own is one all the same.
        whole = label(mask, connectivity=2)
        seeded = np.zeros(whole.max() + 1, bool)
        seeds = label(peaks, connectivity=2)
        seeded[whole[peaks > 0]] = True
        lonely = ~seeded[whole] & mask
        seeds[lonely] = whole[lonely] + seeds.max()
        labels = watershed(-relief.astype(np.int32), seeds, connectivity=2, mask=mask)
        return self.clean(labels)

    def clean(self, labels):
        """Fill holes, drop what is small, number anew."""
        if self.post["fill_holes"]:
            outside = label(labels == 0, connectivity=1)
            edge = np.unique(np.concatenate([outside[0], outside[-1], outside[:, 0],
                                             outside[:, -1]]))
            holes = ~np.isin(outside, edge) & (labels == 0)
            for number in np.unique(outside[holes]):
                hole = (outside == number).astype(np.uint8)
                ring = labels[(cv2.dilate(hole, np.ones((3, 3), np.uint8)) > 0) & (labels > 0)]
                if ring.size and (ring == ring[0]).all():
                    labels[hole > 0] = ring[0]
        keep = np.bincount(labels.ravel()) >= self.post["min_area"]
        keep[0] = False
        return np.where(keep, np.cumsum(keep), 0)[labels].astype(np.uint16)


def outlines(labels, boxes):
    """A GeoJSON feature an object, holes as further rings."""
    features = []
    for number, (top, left, bottom, right) in enumerate(boxes, start=1):
        crop = (labels[top:bottom, left:right] == number).astype(np.uint8)
        rings, tree = cv2.findContours(crop, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE,
                                       offset=(int(left), int(top)))
        polygons = {}
        for i, (ring, links) in enumerate(zip(rings, tree[0])):
            points = ring[:, 0].tolist()
            polygons.setdefault(i if links[3] < 0 else int(links[3]), []).append(
                points + points[:1])
        parts = list(polygons.values())
        geometry = {"type": "Polygon", "coordinates": parts[0]} if len(parts) == 1 else \
            {"type": "MultiPolygon", "coordinates": parts}
        features.append({"type": "Feature", "id": number, "geometry": geometry,
                         "properties": {"objectType": "detection", "name": str(number)}})
    return {"type": "FeatureCollection", "features": features}


def work(model, files, folder, rows, steps):
    count = 0
    for path in files:
        steps.did("rest")
        image = read(path)
        steps.did("read")
        tensor = model.prepare(image)
        steps.did("normalise")
        maps = model.run(tensor, *image.shape[:2])
        steps.did("network")
        labels = model.objects(maps)
        steps.did("objects")
        table = regionprops_table(labels, image, properties=PROPERTIES + INTENSITY)
        steps.did("measure")
        shapes = outlines(labels, zip(table["bbox-0"], table["bbox-1"], table["bbox-2"],
                                      table["bbox-3"]))
        steps.did("polygons")
        name = path.stem
        tifffile.imwrite(folder / "labels" / f"{name}.tif", labels, compression="zlib")
        (folder / "polygons" / f"{name}.geojson").write_text(json.dumps(shapes))
        rows.extend(zip([name] * len(table["label"]), *(table[k].tolist() for k in table)))
        count += len(table["label"])
        steps.did("write")
    return count


def share(arguments):
    package, files, folder, threads = arguments
    model, rows, steps = Model(package, threads), [], Steps()
    count = work(model, files, folder, rows, steps)
    return count, rows, steps.seconds


def main():
    parser = argparse.ArgumentParser(prog="python-route.py")
    parser.add_argument("-j", "--processes", type=int, default=1)
    parser.add_argument("-T", "--threads", type=int, default=0)
    parser.add_argument("package", type=pathlib.Path)
    parser.add_argument("list", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    args = parser.parse_args()
    cv2.setNumThreads(args.threads or len(os.sched_getaffinity(0)))
    threads = args.threads or len(os.sched_getaffinity(0))
    files = [pathlib.Path(line) for line in args.list.read_text().splitlines()]
    for name in ("labels", "polygons"):
        (args.folder / name).mkdir(parents=True, exist_ok=True)
    if args.processes > 1:
        cv2.setNumThreads(1)
        with multiprocessing.Pool(args.processes) as pool:
            parts = [(args.package, files[i::args.processes], args.folder, 1)
                     for i in range(args.processes)]
            start = time.perf_counter()  # the processes have their libraries already
            results = pool.map(share, parts, chunksize=1)
    else:
        start = time.perf_counter()
        results = [share((args.package, files, args.folder, threads))]
    rows = [row for result in results for row in result[1]]
    with open(args.folder / "objects.csv", "w", newline="") as out:
        csv.writer(out).writerows(rows)
    seconds = time.perf_counter() - start
    total = {}
    for _, _, steps in results:
        for name, value in steps.items():
            total[name] = total.get(name, 0) + value
    print(f"images_per_second {len(files) / seconds:.3f}")
    print(f"objects {sum(result[0] for result in results)}")
    for name, value in total.items():
        print(f"cpu_ms {name} {1e3 * value / len(files):.2f}")


if __name__ == "__main__":
    main()
