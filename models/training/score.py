"""Score a package on one split with ONNX Runtime, or sweep its postprocessing.

    CELLSTREAM_DATA=... python models/training/score.py --model nuclei [--sweep]

nuclei: mean over images of TP / (TP + FP + FN) at IoU 0.5; spheroid: mean foreground
IoU, and the same object score as for nuclei.
"""
import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import yaml

import data
import net
import post

PACKAGES = Path(__file__).resolve().parent.parent


def predictions(folder, items, threads):
    """uint16 (2, y, x) for each image."""
    description = yaml.safe_load((folder / "rdf.yaml").read_text())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(folder / description["weights"]["onnx"]["source"]), options)
    settings = description["config"]["cellstream"]
    channels = len(description["inputs"][0]["axes"][1]["channel_names"])
    s, maps = settings["stride"], []
    for item in items:
        x = data.normalised(item, channels)
        _, h, w = x.shape
        x = np.pad(x, ((0, 0), (0, -h % s), (0, -w % s)), mode="reflect")
        y = session.run(None, {"input": x[None]})[0][0, :, :h, :w]
        maps.append(post.quantise(1 / (1 + np.exp(-y.astype(np.float64)))))
    return maps, settings["postprocess"]


def score(items, maps, p, pool):
    """{group: (object score at IoU 0.5, at 0.7, foreground IoU)} for one setting."""
    def one(args):
        item, m = args
        labels = post.instances(m[0], m[1], p["threshold"], p["seed_depth"], p["seed_min"], p["min_area"],
                                p["fill_holes"], p.get("connectivity", 8))
        return (post.average_precision(item.labels, labels, 0.5), post.average_precision(item.labels, labels, 0.7),
                post.foreground_iou(item.labels, labels))
    values = list(pool.map(one, zip(items, maps)))
    groups = {"all": values}
    for item, v in zip(items, values):
        groups.setdefault(item.kind, []).append(v)
        if item.kind.startswith("histology") or item.kind.startswith("fluor"):
            groups.setdefault(f"  {item.kind[:5]} {item.subkind}", []).append(v)
    return {k: np.mean(v, 0) for k, v in groups.items()}


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--model", choices=net.CONFIGS, required=True)
    ap.add_argument("--package", type=Path, help="default: models/MODEL")
    ap.add_argument("--split", default="val")
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--sweep", action="store_true")
    args = ap.parse_args()
    items = data.load(args.model, args.split)
    maps, own = predictions(args.package or PACKAGES / args.model, items, args.threads)
    pool = ThreadPoolExecutor(args.threads)
    print("package:", own)
    for k, v in score(items, maps, own, pool).items():
        print(f"{k:32s} objects {v[0]:.4f} (IoU 0.7: {v[1]:.4f})  foreground IoU {v[2]:.4f}")
    if not args.sweep:
        return
    for name, values in (("threshold", (.3, .35, .4, .45, .5, .55, .6, .65, .7)),
                         ("seed_depth", (.05, .1, .15, .2, .25, .3, .35, .4)),
                         ("seed_min", (0, .2, .3, .4, .5, .6)),
                         ("min_area", (0, 10, 15, 20, 25, 30, 40) if args.model == "nuclei"
                          else (0, 50, 100, 150, 200, 300)),
                         ("fill_holes", (False, True)), ("connectivity", (4, 8))):
        for v in values:
            r = score(items, maps, {**own, name: v}, pool)
            print(f"{name} {v}: " + "  ".join(f"{k[:12]} {x[0]:.4f}/{x[2]:.4f}" for k, x in r.items() if k[0] != " "))


if __name__ == "__main__":
    main()
