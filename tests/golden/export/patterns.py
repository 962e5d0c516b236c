#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write tests/golden/patterns: tiny networks of today's building blocks: `patterns.py DIR`.

Each is exported at 16x16 by the TorchScript exporter (weights inside) and by the current one
(weights in a file beside), with free batch, height and width. DIR gets NAME-EXPORTER.onnx, and
NAME-input.npy and NAME-expected-K.npy for another size, the outputs in double precision; errors.txt
has ONNX Runtime's relative L2 errors: a line for each file, a number for each output. Needs torch,
numpy, onnx, onnxruntime.
"""
import copy
import pathlib
import sys
import warnings

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

import networks
import zoo_export
from zoo_networks import Cellpose

SHAPE = (2, 3, 16, 24)


class SqueezeExcite(nn.Module):
    def __init__(self, channels, inner, gate):
        super().__init__()
        self.down = nn.Conv2d(channels, 4, 1)
        self.up = nn.Conv2d(4, channels, 1)
        self.inner, self.gate = inner, gate

    def forward(self, x):
        return x * self.gate(self.up(self.inner(self.down(F.adaptive_avg_pool2d(x, 1)))))


class Efficient(nn.Module):
    """EfficientNet's block: expansion, depthwise, squeeze and excitation, all with SiLU."""

    def __init__(self, act=nn.SiLU, inner=nn.SiLU, gate=nn.Sigmoid, dilation=1):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, 1, 1, bias=False), nn.BatchNorm2d(6), act())
        self.expand = nn.Sequential(nn.Conv2d(6, 12, 1, bias=False), nn.BatchNorm2d(12), act())
        self.depthwise = nn.Sequential(
            nn.Conv2d(12, 12, 5, padding=2 * dilation, dilation=dilation, groups=12, bias=False),
            nn.BatchNorm2d(12), act())
        self.gate = SqueezeExcite(12, inner(), gate())
        self.project = nn.Sequential(nn.Conv2d(12, 6, 1, bias=False), nn.BatchNorm2d(6))

    def forward(self, x):
        x = self.stem(x)
        return x + self.project(self.gate(self.depthwise(self.expand(x))))


class Mobile(Efficient):
    """MobileNetV3's: hard-swish, a hard gate, a dilated depthwise convolution."""

    def __init__(self):
        super().__init__(nn.Hardswish, nn.ReLU, nn.Hardsigmoid, 2)


class Pyramid(nn.Module):
    """DeepLabV3's pooling: three dilations and the mean of the whole plane."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.arms = nn.ModuleList(
            nn.Conv2d(8, 6, 1 if d == 0 else 3, padding=d, dilation=max(d, 1)) for d in (0, 2, 4))
        self.whole = nn.Conv2d(8, 6, 1)
        self.head = nn.Conv2d(24, 2, 1)

    def forward(self, x):
        size = x.shape[2:]
        x = torch.relu(self.stem(x))
        whole = torch.relu(self.whole(F.adaptive_avg_pool2d(x, 1)))
        parts = [torch.relu(arm(x)) for arm in self.arms]
        parts.append(F.interpolate(whole, size=x.shape[2:], mode="bilinear", align_corners=False))
        return F.interpolate(self.head(torch.cat(parts, 1)), size=size, mode="bilinear",
                             align_corners=False)


class Attention(nn.Module):
    """SegFormer's block: attention over tokens, keys reduced in space, a depthwise mixer."""

    def __init__(self, width=8, heads=2):
        super().__init__()
        self.heads = heads
        self.embed = nn.Conv2d(3, width, 3, 2, 1)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-6) for _ in range(3))
        self.query = nn.Linear(width, width)
        self.reduce = nn.Conv2d(width, width, 2, 2)
        self.key_value = nn.Linear(width, 2 * width)
        self.project = nn.Linear(width, width)
        self.first = nn.Linear(width, 2 * width)
        self.mix = nn.Conv2d(2 * width, 2 * width, 3, 1, 1, groups=2 * width)
        self.second = nn.Linear(2 * width, width)
        self.head = nn.Conv2d(width, 2, 1)

    def attend(self, x, height, width):
        n, tokens, channels = x.shape
        q = self.query(x).reshape(n, tokens, self.heads, -1).transpose(1, 2)
        plane = x.transpose(1, 2).reshape(n, channels, height, width)
        small = self.norms[1](self.reduce(plane).flatten(2).transpose(1, 2))
        kv = self.key_value(small).reshape(n, -1, 2, self.heads, channels // self.heads)
        k, v = kv.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * (channels // self.heads) ** -0.5).softmax(-1)
        return self.project((weights @ v).transpose(1, 2).reshape(n, tokens, channels))

    def forward(self, x):
        size = x.shape[2:]
        plane = self.embed(x)
        height, width = plane.shape[2:]
        x = plane.flatten(2).transpose(1, 2)
        x = x + self.attend(self.norms[0](x), height, width)
        y = self.first(self.norms[2](x))
        y = self.mix(y.transpose(1, 2).reshape(len(y), -1, height, width))
        x = x + self.second(F.gelu(y.flatten(2).transpose(1, 2)))
        plane = x.transpose(1, 2).reshape(plane.shape)
        return F.interpolate(self.head(plane), size=size, mode="bilinear", align_corners=True)


class ConvNext(nn.Module):
    """ConvNeXt's block: depthwise 7x7, LayerNorm over channels between permutes, GELU by tanh."""

    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 2, 2)
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.first, self.second = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.ones(width))
        self.up = nn.ConvTranspose2d(width, 2, 2, 2)

    def forward(self, x):
        x = self.stem(x)
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.gamma * self.second(F.gelu(self.first(y), approximate="tanh"))
        return self.up(x + y.permute(0, 3, 1, 2))


class Shuffle(nn.Module):
    """Group norms, leaky ReLU, reflected borders, an upsampling by pixel shuffle."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, 2, bias=False), nn.GroupNorm(4, 8)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x):
        x = self.norm(self.first(F.pad(x, (1, 1, 1, 1), mode="reflect")))
        return self.shuffle(self.second(F.leaky_relu(x, 0.1)))


class Windows(nn.Module):
    """Swin's: attention in shifted windows of 4x4, with a bias a pair of places."""

    def __init__(self, width=6, heads=2, side=4):
        super().__init__()
        self.heads, self.side = heads, side
        self.stem = nn.Conv2d(3, width, 2, 2)
        self.norm = nn.LayerNorm(width)
        self.all = nn.Linear(width, 3 * width)
        self.bias = nn.Parameter(torch.zeros(1, heads, side * side, side * side))
        self.project = nn.Linear(width, width)

    def forward(self, x):
        x = self.stem(x).permute(0, 2, 3, 1)
        n, height, width, channels = x.shape
        s, shift = self.side, self.side // 2
        y = torch.roll(self.norm(x), (-shift, -shift), (1, 2))
        y = y.reshape(n, height // s, s, width // s, s, channels).permute(0, 1, 3, 2, 4, 5)
        y = self.all(y.reshape(-1, s * s, channels))
        q, k, v = y.reshape(-1, s * s, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        y = (q @ k.transpose(-2, -1) + self.bias).softmax(-1) @ v
        y = self.project(y.transpose(1, 2).reshape(-1, s * s, channels))
        y = y.reshape(n, height // s, width // s, s, s, channels).permute(0, 1, 3, 2, 4, 5)
        y = torch.roll(y.reshape(n, height, width, channels), (shift, shift), (1, 2))
        return (x + y).permute(0, 3, 1, 2)


class Styled(Cellpose):
    """Cellpose's, small: maps and a style vector."""

    def __init__(self):
        super().__init__((3, 4, 6))


PATTERNS = {"efficient": Efficient, "mobile": Mobile, "pyramid": Pyramid, "attention": Attention,
            "convnext": ConvNext, "shuffle": Shuffle, "windows": Windows, "styled": Styled}
OPSETS = {"attention": 16}  # layer norms as exporters of that time spelled them out


def strip(path, weights):
    """Remove where in the exporter's code a node came from."""
    model = onnx.load(str(path))
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for entry in [model, model.graph, *model.graph.value_info, *model.graph.input,
                  *model.graph.output]:
        entry.ClearField("metadata_props")
        entry.ClearField("doc_string")
    pathlib.Path(f"{path}.data").unlink(missing_ok=True)
    onnx.save_model(model, str(path), save_as_external_data=weights, size_threshold=100,
                    location=f"{path.name}.data")


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    zoo_export.EXPORTED = (2, 16, 16)
    lines = []
    for seed, (name, maker) in enumerate(PATTERNS.items(), start=1):
        torch.manual_seed(seed)
        model = zoo_export.calibrate(networks.randomise(maker(), seed), 3, seed)
        x = torch.randn(*SHAPE, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            expected = zoo_export.tuple_of(copy.deepcopy(model).double()(x.double()))
        np.save(folder / f"{name}-input.npy", x.numpy())
        for i, output in enumerate(expected):
            np.save(folder / f"{name}-expected-{i}.npy", output.numpy())
        for exporter in ("script", "dynamo"):
            path = folder / f"{name}-{exporter}.onnx"
            zoo_export.export(model, 3, path, exporter, True, OPSETS.get(name, 17))
            strip(path, exporter == "dynamo")
            got = zoo_export.session(path).run(None, {"image": x.numpy()})
            errors = [zoo_export.rel_l2(g, e.numpy()) for g, e in zip(got, expected)]
            lines.append(" ".join([f"{name}-{exporter}", *(f"{e:.2e}" for e in errors)]))
            print(lines[-1], flush=True)
    (folder / "errors.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
