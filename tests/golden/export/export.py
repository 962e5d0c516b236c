#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Export the three networks with seeded random weights: `export.py [--small] DIR`.

Writes DIR/NAME.onnx (opset 17, dynamic height and width) and, for each size, NAME-SIZE-input.npy
(float32), NAME-SIZE-expected.npy (the output in double precision) and a line of errors.json: the
relative L2 error of ONNX Runtime against double precision. Needs torch, numpy, onnx, onnxruntime.
"""
import argparse
import json
import pathlib

import numpy as np
import onnx
import onnxruntime
import torch
from torch.nn import functional as F

import networks


def count(model, size):
    """Multiply-accumulates of convolutions and linear layers, and numbers of layers."""
    facts = {"gmac": 0.0, "convolutions": 0, "norms": 0}

    def hook(module, inputs, output):
        if isinstance(module, torch.nn.InstanceNorm2d):
            facts["norms"] += 1
        elif isinstance(module, torch.nn.ConvTranspose2d):
            facts["convolutions"] += 1
            facts["gmac"] += inputs[0].numel() * module.weight[0].numel() / 1e9
        elif isinstance(module, torch.nn.Conv2d):
            facts["convolutions"] += 1
            facts["gmac"] += output.numel() * module.weight[0].numel() / 1e9

    handles = [m.register_forward_hook(hook) for m in model.modules()]
    with torch.no_grad():
        model(torch.zeros(1, 3, size, size))
    for handle in handles:
        handle.remove()
    facts["gmac"] = round(facts["gmac"], 1)
    facts["parameters"] = sum(p.numel() for p in model.parameters())
    return facts


def banded(convolve, rows=128):
    """A convolution in bands of rows: double precision goes through im2col, which is large."""
    def call(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
        down = stride[0] if isinstance(stride, tuple) else stride
        pad = padding[0] if isinstance(padding, tuple) else padding
        x = F.pad(x, (pad, pad, pad, pad))
        kernel = weight.shape[2]
        total = (x.shape[2] - kernel) // down + 1
        parts = [convolve(x[:, :, r * down:(min(r + rows, total) - 1) * down + kernel], weight,
                          bias, stride, 0, dilation, groups) for r in range(0, total, rows)]
        return torch.cat(parts, dim=2)
    return call


def exact(model, x):
    plain = F.conv2d
    F.conv2d = banded(plain)
    try:
        with torch.no_grad():
            return model.double()(x.double()).numpy()
    finally:
        F.conv2d = plain
        model.float()


def rel_l2(got, expected):
    return float(np.linalg.norm(got.astype(np.float64) - expected) / np.linalg.norm(expected))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="small variants, for golden tests")
    parser.add_argument("--only", help="one network")
    parser.add_argument("--sizes", help="HxW,HxW...")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("dir", type=pathlib.Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.dir.mkdir(parents=True, exist_ok=True)
    sizes = args.sizes or ("64x96" if args.small else "256x256,1024x1024")
    sizes = [tuple(int(v) for v in s.split("x")) for s in sizes.split(",")]
    errors_path = args.dir / "errors.json"
    errors = json.loads(errors_path.read_text()) if errors_path.exists() else {}
    makers = networks.SMALL if args.small else networks.FULL
    models = {}
    axes = {0: "n", 2: "h", 3: "w"}
    for seed, (name, maker) in enumerate(makers.items(), start=1):
        if args.only in (None, name):
            models[name] = networks.randomise(maker(), seed)
            torch.onnx.export(
                models[name], torch.zeros(1, 3, 64, 64), str(args.dir / f"{name}.onnx"),
                opset_version=17, dynamo=False, input_names=["image"], output_names=["logits"],
                dynamic_axes={"image": axes, "logits": axes})
            onnx.checker.check_model(str(args.dir / f"{name}.onnx"))
    for height, width in sizes:
        for seed, (name, model) in enumerate(models.items(), start=100):
            size = f"{height}" if height == width else f"{height}x{width}"
            key = f"{name}-{size}"
            generator = torch.Generator().manual_seed(seed)
            x = torch.randn(1, 3, height, width, generator=generator)
            expected = exact(model, x)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = args.threads
            session = onnxruntime.InferenceSession(str(args.dir / f"{name}.onnx"), options)
            got = session.run(None, {"image": x.numpy()})[0]
            np.save(args.dir / f"{key}-input.npy", x.numpy())
            np.save(args.dir / f"{key}-expected.npy", expected)
            errors[key] = {"onnxruntime": rel_l2(got, expected)}
            errors_path.write_text(json.dumps(errors, indent=1, sort_keys=True) + "\n")
            print(key, errors[key], flush=True)
    if not args.small:
        for name, model in models.items():
            print(name, count(model, 1024), flush=True)


if __name__ == "__main__":
    main()
