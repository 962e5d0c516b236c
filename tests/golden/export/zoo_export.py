#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Export networks of other families: `zoo_export.py [--only NAMES] [--exporter E] DIR`.

Each network (zoo_networks.py) is written by the TorchScript exporter (opset 17, weights inside) and
by the current one (its own opset, weights in a file beside), with free batch, height and width
where the exporter manages it. For each run, at the exported size and at others, one of them a batch
of two, DIR gets the input, every output in double precision, and in zoo.json ONNX Runtime's relative
L2 error against it. zoo_check.py reads them. Needs torch, torchvision, timm,
segmentation-models-pytorch, numpy, onnx, onnxruntime.
"""
import argparse
import copy
import json
import pathlib
import traceback
import warnings

import numpy as np
import onnx
import onnxruntime
import torch

import networks
import zoo_networks

EXPORTED = (2, 128, 128)  # batch, height, width; a batch of one would be taken for a constant
RUNS = [(1, 128, 128), (2, 160, 192), (1, 224, 320), (1, 256, 256)]


def calibrate(model, channels, seed):
    """Batch norms get the statistics of seeded noise, so that no activation grows without bound."""
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    generator = torch.Generator().manual_seed(seed)
    model.eval()
    for norm in norms:
        norm.train()
    with torch.no_grad():
        model(torch.randn(4, channels, *EXPORTED[1:], generator=generator))
    return model.eval()


def tuple_of(outputs):
    return tuple(outputs) if isinstance(outputs, (tuple, list)) else (outputs,)


def export(model, channels, path, exporter, free, opset=17):
    sample = torch.zeros(EXPORTED[0] if free else 1, channels, *EXPORTED[1:])
    names = list(getattr(model, "names", ("logits",)))
    if exporter == "script":
        axes = {"image": {0: "n", 2: "h", 3: "w"}}
        axes.update({name: {0: "n"} for name in names})
        torch.onnx.export(model, sample, str(path), dynamo=False, opset_version=opset,
                          input_names=["image"], output_names=names,
                          dynamic_axes=axes if free else None)
    else:
        auto = torch.export.Dim.AUTO
        torch.onnx.export(model, (sample,), str(path), dynamo=True, external_data=True,
                          input_names=["image"], output_names=names, verbose=False,
                          dynamic_shapes=({0: auto, 2: auto, 3: auto},) if free else None)
    onnx.checker.check_model(str(path))


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options)


def facts(path):
    model = onnx.load(str(path), load_external_data=False)
    opset = next(o.version for o in model.opset_import if not o.domain)
    return {"opset": opset, "nodes": len(model.graph.node),
            "operators": sorted({n.op_type for n in model.graph.node})}


def rel_l2(got, expected):
    return float(np.linalg.norm(got.astype(np.float64) - expected) / np.linalg.norm(expected))


def expectations(name, model, channels, folder):
    """Inputs and outputs in double precision; returns a list of (key, input, outputs)."""
    double, runs = copy.deepcopy(model).double(), []
    for seed, (batch, height, width) in enumerate(RUNS, start=500):
        key = f"{name}-{batch}x{height}x{width}"
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(batch, channels, height, width, generator=generator)
        try:
            with torch.no_grad():
                outputs = [y.numpy() for y in tuple_of(double(x.double()))]
        except (RuntimeError, AssertionError, ValueError) as reason:
            print(f"{key}: not for this size: {str(reason).splitlines()[0]}", flush=True)
            continue
        np.save(folder / f"{key}-input.npy", x.numpy())
        for i, output in enumerate(outputs):
            np.save(folder / f"{key}-expected-{i}.npy", output)
        runs.append((key, x.numpy(), outputs))
    return runs


def one(name, model, channels, runs, exporter, folder):
    path = folder / f"{name}-{exporter}.onnx"
    entry = {"network": name, "exporter": exporter, "model": path.name}
    for free in (True, False):
        try:
            export(model, channels, path, exporter, free)
            ort = session(path)
            ort.run(None, {"image": runs[0][1]})
            break
        except Exception as reason:  # whatever an exporter raises
            entry["failure"] = f"{type(reason).__name__}: {str(reason).splitlines()[0][:200]}"
            (folder / f"{name}-{exporter}.log").write_text(traceback.format_exc())
    else:
        return entry
    entry.pop("failure", None)
    entry.update(facts(path))
    entry["parameters"] = sum(p.numel() for p in model.parameters())
    entry["runs"] = []
    for key, x, expected in runs:
        try:
            got = ort.run(None, {"image": x})
        except Exception:  # a graph of one size or batch
            continue
        if [g.shape for g in got] != [e.shape for e in expected]:
            continue
        errors = [rel_l2(g, e) for g, e in zip(got, expected)]
        if max(errors) < 1e-2:  # else what was exported is another function at this size
            entry["runs"].append({"key": key, "onnxruntime": errors})
    return entry


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="names, commas between")
    parser.add_argument("--exporter", choices=("script", "dynamo"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("dir", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    warnings.simplefilter("ignore")
    args.dir.mkdir(parents=True, exist_ok=True)
    index = args.dir / "zoo.json"
    entries = json.loads(index.read_text()) if index.exists() else {}
    for seed, (name, (maker, channels)) in enumerate(zoo_networks.ZOO.items(), start=1):
        if args.only and name not in args.only.split(","):
            continue
        torch.manual_seed(seed)
        model = calibrate(networks.randomise(maker(), seed), channels, seed)
        runs = expectations(name, model, channels, args.dir)
        for exporter in [args.exporter] if args.exporter else ("script", "dynamo"):
            entry = one(name, model, channels, runs, exporter, args.dir)
            entries[f"{name}-{exporter}"] = entry
            index.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n")
            short = {k: v for k, v in entry.items() if k != "operators"}
            print(name, exporter, short, flush=True)


if __name__ == "__main__":
    main()
