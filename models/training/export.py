"""Write a model package: ONNX weights, test tensors and rdf.yaml.

    python models/training/export.py --model nuclei --weights out/ema.pt

README.md in the package folder is written by hand. Files are replaced one by one, the
description last.
"""
import argparse
import hashlib
import os
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
import yaml

import data
import net

PACKAGES = Path(__file__).resolve().parent.parent

ABOUT = {
    "nuclei": dict(
        name="CellStream nuclei",
        description="Cell nuclei in fluorescence, stained sections and brightfield: foreground and distance maps.",
        tags=["nuclei", "segmentation", "instance-segmentation", "fluorescence", "histology", "2d", "unet"],
        cite=[dict(text="Caicedo et al., Nucleus segmentation across imaging experiments: the 2018 Data Science "
                        "Bowl, Nature Methods 16, 1247-1253 (2019)", doi="10.1038/s41592-019-0612-7")],
        input="A fluorescence or brightfield image, its single channel given three times, or an RGB image.",
        names=["red", "green", "blue"],
        input_channels="replicate",
        diameter=dict(typical=20, smallest=6, largest=65),
        postprocess=dict(threshold=0.5, split="distance", seed_depth=0.22, seed_min=0.0, min_area=20, fill_holes=True),
    ),
    "spheroid": dict(
        name="CellStream spheroid",
        description="Spheroids in brightfield and fluorescence and cells in phase contrast: foreground and distance maps.",
        tags=["spheroids", "cells", "segmentation", "instance-segmentation", "brightfield", "phase-contrast", "2d", "unet"],
        cite=[dict(text="Tsai et al., Usiigaci: instance-aware cell tracking in stain-free phase contrast microscopy "
                        "enabled by machine learning, SoftwareX 9, 230-237 (2019)",
                   url="https://github.com/oist/Usiigaci")],
        input="A single-channel image; colour is averaged over its channels.",
        names=["intensity"],
        input_channels="mean",
        diameter=dict(typical=50, smallest=16, largest=500),
        postprocess=dict(threshold=0.5, split="distance", seed_depth=0.22, seed_min=0.4, min_area=200, fill_holes=True),
    ),
}


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def replace(path, write):
    part = path.with_name("." + path.name + ".part")
    write(part)
    os.replace(part, path)


def drawn_image(channels, size=64):
    """Discs of several sizes on a noisy ramp: float32 (1, channels, size, size) in 0..255."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:size, :size].astype(np.float64)
    image = 20 + 0.3 * x + rng.normal(0, 3, (size, size))
    for cy, cx, r, v in ((14, 16, 9, 120), (18, 34, 8, 90), (45, 20, 12, 150), (44, 48, 7, 60), (60, 58, 9, 170)):
        image += v / (1 + np.exp(2 * (np.hypot(y - cy, x - cx) - r)))
    image = np.stack([image * (1 - 0.1 * c) for c in range(channels)])
    return np.round(np.clip(image, 0, 255)).astype(np.float32)[None]


def round_weights(network):
    """Kernels to the nearest binary16: the packages store them so, at half the size."""
    with torch.no_grad():
        for p in network.parameters():
            if p.ndim > 1:
                p.copy_(p.half().float())


def halve_kernels(graph):
    """Store the kernels as float16, each behind a Cast to float32 that any engine folds."""
    casts = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.ndim < 2:
            continue
        half = onnx.numpy_helper.from_array(values.astype(np.float16), tensor.name + ".half")
        casts.append(onnx.helper.make_node("Cast", [half.name], [tensor.name], name=tensor.name + ".cast",
                                           to=onnx.TensorProto.FLOAT))
        tensor.CopyFrom(half)
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)


def export_onnx(network, path):
    dummy = torch.zeros(1, network.cin, 64, 64)
    axes = {0: "batch", 2: "y", 3: "x"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, dummy, str(path), opset_version=17, dynamo=False, input_names=["input"],
                          output_names=["output"], dynamic_axes=dict(input=axes, output=axes))
    model = onnx.load(path)
    model.doc_string, model.producer_version = "", ""
    for node in list(model.graph.node):
        node.doc_string = ""
        if node.op_type == "Constant":
            value = node.attribute[0].t
            value.name = node.output[0]
            model.graph.initializer.append(value)
            model.graph.node.remove(node)
    halve_kernels(model.graph)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--model", choices=net.CONFIGS, required=True)
    ap.add_argument("--weights", type=Path, required=True)
    ap.add_argument("--to", type=Path, help="package folder (default: models/MODEL)")
    ap.add_argument("--version", default="1.0.0")
    args = ap.parse_args()
    about = ABOUT[args.model]
    out = args.to or PACKAGES / args.model
    out.mkdir(parents=True, exist_ok=True)

    network = net.make(args.model)
    network.load_state_dict(torch.load(args.weights))
    network = net.fold_batchnorm(network.eval())
    round_weights(network)
    weights = out / f"{args.model}.onnx"
    replace(weights, lambda p: export_onnx(network, p))

    image = drawn_image(network.cin)
    lo, hi = np.percentile(image.astype(np.float64), data.PERCENTILES)
    x = np.clip((image.astype(np.float64) - lo) / (hi - lo + 1e-6), *data.CLIP)
    with torch.no_grad():
        y = torch.sigmoid(network.double()(torch.from_numpy(x))).numpy().astype(np.float32)
    for name, array in (("test_input.npy", image), ("test_output.npy", y)):
        def write(p, array=array):
            with open(p, "wb") as f:
                np.save(f, array)
        replace(out / name, write)

    def tensor(name):
        return dict(source=name, sha256=sha256(out / name))

    s = network.stride
    description = {
        "format_version": "0.5.4",
        "type": "model",
        "name": about["name"],
        "version": args.version,
        "description": about["description"],
        "authors": [{"name": "CellStream developers"}],
        "license": "MIT",
        "documentation": "README.md",
        "tags": about["tags"],
        "cite": about["cite"],
        "inputs": [{
            "id": "input",
            "description": about["input"],
            "axes": [
                {"type": "batch"},
                {"type": "channel", "channel_names": about["names"]},
                {"type": "space", "id": "y", "size": {"min": 2 * s, "step": s}},
                {"type": "space", "id": "x", "size": {"min": 2 * s, "step": s}},
            ],
            "data": {"type": "float32"},
            "preprocessing": [
                {"id": "scale_range", "kwargs": {
                    "axes": ["channel", "y", "x"], "min_percentile": data.PERCENTILES[0],
                    "max_percentile": data.PERCENTILES[1], "eps": 0.000001}},
                {"id": "clip", "kwargs": {"min": data.CLIP[0], "max": data.CLIP[1]}},
            ],
            "test_tensor": tensor("test_input.npy"),
        }],
        "outputs": [{
            "id": "output",
            "description": "foreground: probability of lying in an object; distance: depth inside the object, "
                           "0 at its edge and 1 at its middle.",
            "axes": [
                {"type": "batch"},
                {"type": "channel", "channel_names": ["foreground", "distance"]},
                {"type": "space", "id": "y", "size": {"tensor_id": "input", "axis_id": "y"}},
                {"type": "space", "id": "x", "size": {"tensor_id": "input", "axis_id": "x"}},
            ],
            "data": {"type": "float32"},
            "postprocessing": [{"id": "sigmoid"}],
            "test_tensor": tensor("test_output.npy"),
        }],
        "weights": {"onnx": {"source": weights.name, "sha256": sha256(weights), "opset_version": 17}},
        "config": {"cellstream": {
            "version": 1,
            "channels": ["foreground", "distance"],
            "input_channels": about["input_channels"],
            "fit": "pad",
            "stride": s,
            "object_diameter_px": about["diameter"],
            "postprocess": about["postprocess"],
        }},
    }
    text = yaml.safe_dump(description, sort_keys=False, default_flow_style=None, width=100)
    replace(out / "rdf.yaml", lambda p: p.write_text(text))
    print(text)


if __name__ == "__main__":
    main()
