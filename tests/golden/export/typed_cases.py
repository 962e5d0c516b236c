#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write tests/golden/ops/typed.txt: operators on float32, int64, int32 and bool tensors, forms of
windows and resizing beyond planes, empty tensors and operators of several outputs.

`typed_cases.py FILE`. Results come from numpy and from PyTorch in float64, which share no code with
the engine. Lines are those of ops_cases.py; `input:TYPE`, `weight:TYPE` and `expect:TYPE` are of
another type than float32, and a case has one `expect` line an output, in order.
"""
import itertools
import math
import sys

import numpy as np
import torch
from torch.nn import functional as F

rng = np.random.default_rng(20)
lines = []
I64, I32, BOOL, F32 = np.int64, np.int32, np.bool_, np.float32


def real(*shape, low=-1.0, high=1.0):
    return rng.uniform(low, high, shape).astype(F32)


def whole(*shape, low=-9, high=9, dtype=I64):
    return rng.integers(low, high + 1, shape).astype(dtype)


def flags(*shape):
    return rng.integers(0, 2, shape).astype(BOOL)


def tensor(kind, a):
    name = {"float64": "float32"}.get(a.dtype.name, a.dtype.name)
    digits = {"float32": "%.9g", "float64": "%.15g"}.get(a.dtype.name, "%.17g")
    values = [digits % v for v in a.astype(np.float64).flatten()]
    kind += "" if name == "float32" else ":" + name
    lines.append(" ".join([kind, ",".join(str(s) for s in a.shape) or "-", *values]))


def case(name, op, args, expected, opset=20, **attrs):
    """args: arrays that are fed, ("constant", array), lists of integers (constant), or None."""
    lines.append(f"case {name} {opset} {op}")
    for key, value in attrs.items():
        if isinstance(value, list):
            lines.append(f"ints {key} " + " ".join(str(v) for v in value))
        else:
            kind = {int: "int", float: "float", str: "text"}[type(value)]
            lines.append(f"{kind} {key} {value}")
    for arg in args:
        if arg is None:
            lines.append("omit")
        elif isinstance(arg, list):
            lines.append(" ".join(["list", *map(str, arg)]))
        elif isinstance(arg, tuple):
            tensor("weight", arg[1])
        else:
            tensor("input", arg)
    for output in expected if isinstance(expected, list) else [expected]:
        tensor("expect", output.numpy() if isinstance(output, torch.Tensor) else np.asarray(output))


def t64(a):
    return torch.from_numpy(a.astype(np.float64))


def arithmetic():
    for dtype in (I64, I32):
        kind = np.dtype(dtype).name
        a, b = whole(2, 3, 4, dtype=dtype), whole(3, 1, dtype=dtype)
        b[b == 0] = 5
        for op, f in {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Max": np.maximum,
                      "Min": np.minimum, "Mod": np.mod,
                      "Div": lambda x, y: np.trunc(x / y).astype(x.dtype)}.items():
            case(f"{op}-{kind}", op, [a, b], f(a, b))
        case(f"Mod-c-{kind}", "Mod", [a, b], np.fmod(a, b), fmod=1)
        case(f"Pow-{kind}", "Pow", [a, np.abs(b) % 4], a ** (np.abs(b) % 4))
        case(f"Sum-{kind}", "Sum", [a, b, a], a + b + a)
        case(f"Neg-{kind}", "Neg", [a], -a)
        case(f"Abs-{kind}", "Abs", [a], np.abs(a))
        case(f"Relu-{kind}", "Relu", [a], np.maximum(a, 0))
        case(f"Clip-{kind}", "Clip", [a, np.array(-3, dtype), np.array(4, dtype)],
             np.clip(a, -3, 4))
    most = np.array([2**62, -2**62, 2**52 + 1], I64)
    case("Add-wraps", "Add", [most, most], most[:] + most)
    x, y = real(2, 3, 4), real(4, low=0.25, high=2)
    case("Mod-float", "Mod", [x, y], np.fmod(x.astype(np.float64), y), fmod=1)
    exponents = whole(4, low=0, high=3)
    case("Pow-mixed", "Pow", [x, exponents], x.astype(np.float64) ** exponents)
    case("Clip-low", "Clip", [x, np.array(0.25, F32)], np.maximum(x, 0.25))
    case("Clip-crossed", "Clip", [x, np.array(0.5, F32), np.array(-0.5, F32)], np.full_like(x, -0.5))


def comparisons():
    pairs = {"float": (np.round(real(2, 3, 4) * 3).astype(F32), np.round(real(3, 1) * 3).astype(F32)),
             "int64": (whole(2, 3, 4, low=-2, high=2), whole(3, 1, low=-2, high=2)),
             "int32": (whole(4, low=-2, high=2, dtype=I32), whole(3, 1, low=-2, high=2, dtype=I32))}
    for kind, (a, b) in pairs.items():
        for op, f in {"Equal": np.equal, "Greater": np.greater, "Less": np.less,
                      "GreaterOrEqual": np.greater_equal, "LessOrEqual": np.less_equal}.items():
            case(f"{op}-{kind}", op, [a, b], f(a, b))
    a, b = flags(2, 3, 4), flags(3, 1)
    for op, f in {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor,
                  "Equal": np.equal}.items():
        case(f"{op}-bool", op, [a, b], f(a, b))
    case("Not", "Not", [a], ~a)
    for kind, values in (("float", (real(2, 1, 4), real(3, 1))), ("bool", (flags(4), flags(3, 4))),
                         ("int64", (whole(2, 3, 4), whole(1))),
                         ("int32", (whole(3, 4, dtype=I32), whole(3, 4, dtype=I32)))):
        choice = flags(2, 3, 1)
        case(f"Where-{kind}", "Where", [choice, *values], np.where(choice, *values))


def casts():
    number = {"float32": 1, "int32": 6, "int64": 7, "bool": 9}
    values = {"float32": np.array([-2.75, -0.5, 0, 0.5, 1.99, 300], F32),
              "int64": np.array([-3, 0, 1, 7, 2**31 - 1], I64),
              "int32": np.array([-3, 0, 1, 7], I32), "bool": np.array([True, False, True])}
    for (a, array), b in itertools.product(values.items(), number):
        case(f"Cast-{a}-{b}", "Cast", [array], array.astype(b), to=number[b])


def positions():
    x = np.round(real(2, 3, 4) * 2).astype(F32)  # with ties
    n = whole(2, 3, 4, low=-2, high=2)
    for op, f in (("ArgMax", np.argmax), ("ArgMin", np.argmin)):
        for name, a in (("float", x), ("int64", n), ("int32", n.astype(I32))):
            case(f"{op}-{name}", op, [a], f(a, 1)[:, None].astype(I64), axis=1)
        case(f"{op}-flat", op, [x], f(x, -1).astype(I64), axis=-1, keepdims=0)
        case(f"{op}-last", op, [x], (x.shape[0] - 1 - f(x[::-1], 0))[None].astype(I64),
             select_last_index=1)
    for kind, a in (("float", real(3, 4, 5)), ("int64", whole(3, 4, 5)), ("bool", flags(3, 4, 5)),
                    ("int32", whole(3, 4, 5, dtype=I32))):
        index = np.array([[3, -4], [0, -1]], I64)
        case(f"Gather-{kind}", "Gather", [a, index], np.take(a, index, 1), axis=1)
        pairs = np.array([[0, 1], [-1, -4], [2, 3]], I64)
        case(f"GatherND-{kind}", "GatherND", [a, pairs], a[pairs[:, 0], pairs[:, 1]])
        single = np.array([[2], [-1], [0]], I64)
        case(f"GatherND-batch-{kind}", "GatherND", [a, single],
             np.stack([a[i, single[i, 0]] for i in range(3)]), batch_dims=1)
    rows = real(4, 2)
    case("Gather-int32", "Gather", [rows, np.array(-2, I32)], rows[2])
    case("Gather-whole", "GatherND", [n, np.array([[[1, 2, 3]], [[0, 0, 0]]], I64)],
         np.array([[n[1, 2, 3]], [n[0, 0, 0]]]))


def movement():
    for kind, a in (("int64", whole(2, 3, 4)), ("int32", whole(2, 3, 4, dtype=I32)),
                    ("bool", flags(2, 3, 4))):
        case(f"Transpose-{kind}", "Transpose", [a], a.transpose(2, 0, 1), perm=[2, 0, 1])
        case(f"Concat-{kind}", "Concat", [a, a[:, :1].copy()], np.concatenate([a, a[:, :1]], 1), axis=1)
        case(f"Slice-{kind}", "Slice", [a, [0, -1], [9, -9], [1, 2], [2, -1]], a[:, ::2, ::-1])
        case(f"Tile-{kind}", "Tile", [a, [1, 2, 3]], np.tile(a, (1, 2, 3)))
        case(f"Expand-{kind}", "Expand", [a[:, :1].copy(), [2, 3, 1]],
             np.broadcast_to(a[:, :1], (2, 3, 4)))
        case(f"Reshape-{kind}", "Reshape", [a, [0, -1]], a.reshape(2, 12))
        case(f"Squeeze-{kind}", "Squeeze", [a[:1].copy(), [0]], a[0])
        case(f"Unsqueeze-{kind}", "Unsqueeze", [a, [1, -1]], a[:, None, :, :, None])
        case(f"Flatten-{kind}", "Flatten", [a], a.reshape(6, 4), axis=2)
        case(f"Identity-{kind}", "Identity", [a], a)
        case(f"Split-{kind}", "Split", [a, [1, 3]], [a[..., :1], a[..., 1:]], axis=-1)
        case(f"Pad-{kind}", "Pad", [a, [0, 1, 0, 0, 0, 2], np.array(1, a.dtype)],
             np.pad(a, ((0, 0), (1, 0), (0, 2)), constant_values=1))
        for mode in ("reflect", "edge", "wrap"):
            case(f"Pad-{mode}-{kind}", "Pad", [a, [0, 1, 2, 1, 0, 1]],
                 np.pad(a, ((0, 1), (1, 0), (2, 1)), mode=mode), mode=mode)
    a = whole(1, 8, 2, 3)
    case("DepthToSpace-int64", "DepthToSpace", [a], F.pixel_shuffle(torch.from_numpy(a), 2),
         blocksize=2, mode="CRD")
    wide = whole(1, 2, 4, 6)
    case("SpaceToDepth-crd", "SpaceToDepth", [wide], F.pixel_unshuffle(torch.from_numpy(wide), 2),
         opset=28, blocksize=2, mode="CRD")
    x = real(2, 7)
    case("Split-uneven", "Split", [x], [x[:, :3], x[:, 3:6], x[:, 6:]], axis=1, num_outputs=3)
    case("Split-11", "Split", [x], [x[:, :2], x[:, 2:]], opset=11, axis=1, split=[2, 5])
    case("Pad-axes", "Pad", [x, [2, -1], np.array(0.5, F32), [-1]],
         np.pad(x, ((0, 0), (2, 0)), constant_values=0.5)[:, :-1])
    case("Slice-9", "Slice", [x], x[:, 1:-2], opset=9, axes=[1], starts=[1], ends=[-2])
    drop = real(3, 4)
    case("Dropout-mask", "Dropout", [drop], [drop, np.ones((3, 4), BOOL)])


def reductions():
    x = real(2, 3, 4, 5)
    n = whole(2, 3, 4)
    functions = {"ReduceSum": np.sum, "ReduceMax": np.max, "ReduceMin": np.min,
                 "ReduceProd": np.prod, "ReduceMean": np.mean}
    for op, f in functions.items():
        for dtype in (I64, I32):
            value = f(n, axis=(0, 2), keepdims=True)
            case(f"{op}-{np.dtype(dtype).name}", op, [n.astype(dtype), [0, -1]],
                 np.trunc(value).astype(dtype))
        case(f"{op}-flat", op, [x, [-1, 1]], f(x.astype(np.float64), axis=(1, 3)), keepdims=0)
        case(f"{op}-nothing", op, [x, []], x, noop_with_empty_axes=1)
        case(f"{op}-all", op, [x, []], f(x.astype(np.float64), keepdims=True))
    empty = {"ReduceSum": 0, "ReduceMax": -np.inf, "ReduceMin": np.inf, "ReduceProd": 1,
             "ReduceMean": np.nan, "ReduceL2": 0}
    for op, value in empty.items():
        case(f"{op}-empty", op, [np.zeros((2, 0, 3), F32), [1]], np.full((2, 1, 3), float(value)))
    case("ReduceMax-empty-int32", "ReduceMax", [np.zeros((2, 0), I32), [1]],
         np.full((2, 1), np.iinfo(I32).min, I32))
    case("ReduceMin-empty-int64", "ReduceMin", [np.zeros((2, 0), I64), [1]],
         np.full((2, 1), np.iinfo(I64).max))
    b = flags(3, 4)
    case("ReduceMax-bool", "ReduceMax", [b, [1]], b.max(1, keepdims=True))
    case("ReduceMin-bool", "ReduceMin", [b, [1]], b.min(1, keepdims=True))
    case("ReduceSum-13", "ReduceSum", [x, [1]], x.astype(np.float64).sum(1), opset=13, keepdims=0)
    case("ReduceMax-11", "ReduceMax", [x], x.max((1, 2), keepdims=True), opset=11, axes=[1, -2])


def windows():
    def conv(name, op, shape, weight, f, args, **attrs):
        x, w = real(*shape), real(*weight)
        bias = real(f(t64(x), t64(w), **args).shape[1])
        case(name, op, [x, ("constant", w), ("constant", bias)],
             f(t64(x), t64(w), t64(bias), **args), **attrs)

    conv("conv-1d", "Conv", (2, 4, 9), (6, 2, 3), F.conv1d,
         {"stride": 2, "padding": 2, "dilation": 2, "groups": 2}, strides=[2], pads=[2, 2],
         dilations=[2], group=2)
    conv("conv-3d", "Conv", (1, 2, 5, 6, 4), (3, 2, 3, 2, 3), F.conv3d,
         {"stride": (1, 2, 1), "padding": (1, 0, 2), "dilation": (1, 1, 2)}, strides=[1, 2, 1],
         pads=[1, 0, 2, 1, 0, 2], dilations=[1, 1, 2])
    conv("transposed-1d", "ConvTranspose", (2, 3, 5), (3, 2, 4), F.conv_transpose1d,
         {"stride": 3, "padding": 1, "output_padding": 2}, strides=[3], pads=[1, 1],
         output_padding=[2])
    conv("transposed-3d", "ConvTranspose", (1, 4, 2, 3, 3), (4, 1, 2, 3, 2), F.conv_transpose3d,
         {"stride": (2, 1, 2), "groups": 2, "dilation": (1, 2, 1)}, strides=[2, 1, 2], group=2,
         dilations=[1, 2, 1])
    x, w = real(1, 2, 4, 3), real(2, 1, 3, 3)
    full = F.conv_transpose2d(t64(x), t64(w), stride=2)
    case("transposed-shape", "ConvTranspose", [x, ("constant", w)], full[:, :, :8, :6],
         strides=[2, 2], output_shape=[8, 6], auto_pad="SAME_UPPER")
    case("transposed-larger", "ConvTranspose", [x, ("constant", w)], F.pad(full, (0, 1, 0, 2)),
         strides=[2, 2], output_shape=[11, 8])
    case("transposed-same-lower", "ConvTranspose", [x, ("constant", w)], full[:, :, 1:, 1:],
         strides=[2, 2], auto_pad="SAME_LOWER")
    line, volume, plane = real(2, 3, 11), real(1, 2, 5, 6, 7), real(2, 2, 7, 6)
    case("max-pool-1d", "MaxPool", [line], F.max_pool1d(t64(line), 3, 2, 1), kernel_shape=[3],
         strides=[2], pads=[1, 1])
    case("max-pool-3d", "MaxPool", [volume], F.max_pool3d(t64(volume), 2, (1, 2, 2), 1, (2, 1, 2),
         ceil_mode=True), kernel_shape=[2, 2, 2], strides=[1, 2, 2], pads=[1] * 6,
         dilations=[2, 1, 2], ceil_mode=1)
    case("average-pool-1d", "AveragePool", [line],
         F.avg_pool1d(t64(line), 4, 3, 2, ceil_mode=True, count_include_pad=False),
         kernel_shape=[4], strides=[3], pads=[2, 2], ceil_mode=1)
    for include in (0, 1):
        case(f"average-pool-3d-{include}", "AveragePool", [volume],
             F.avg_pool3d(t64(volume), 3, 2, 1, ceil_mode=True, count_include_pad=bool(include)),
             kernel_shape=[3, 3, 3], strides=[2, 2, 2], pads=[1] * 6, ceil_mode=1,
             count_include_pad=include)
    case("average-pool-same", "AveragePool", [plane],
         F.avg_pool2d(F.pad(t64(plane), (0, 1, 1, 1)), 3, 2) * 9 /
         F.avg_pool2d(F.pad(torch.ones(1, 1, 7, 6, dtype=torch.float64), (0, 1, 1, 1)), 3, 2) / 9,
         kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    values, where = F.max_pool2d(t64(plane), 3, 2, 1, return_indices=True)
    planes = torch.arange(4).reshape(2, 2, 1, 1) * 42
    case("max-pool-indices", "MaxPool", [plane], [values, where + planes], kernel_shape=[3, 3],
         strides=[2, 2], pads=[1] * 4)
    columns = where % 6 * 7 + where // 6
    case("max-pool-indices-columns", "MaxPool", [plane], [values, columns + planes],
         kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, storage_order=1)
    case("global-average-3d", "GlobalAveragePool", [volume], t64(volume).mean((2, 3, 4), True))
    case("global-max-1d", "GlobalMaxPool", [line], t64(line).amax(2, True))


def norms():
    x = real(2, 4, 3, 5) * 2 + 1
    for axis in (0, 1, 2, 3, -1, -3):
        shape = x.shape[axis:]
        w, b = real(*shape), real(*shape)
        axes = tuple(range(axis % 4, 4))
        mean = t64(x).mean(axes, True)
        deviation = (t64(x).var(axes, unbiased=False, keepdim=True) + 1e-5).rsqrt()
        case(f"layer-norm-{axis}", "LayerNormalization", [x, ("constant", w), ("constant", b)],
             [F.layer_norm(t64(x), shape, t64(w), t64(b)), mean, deviation], axis=axis)
    w = real(5)
    case("layer-norm-no-shift", "LayerNormalization", [x, ("constant", w)],
         F.layer_norm(t64(x), (5,), t64(w)))
    v, s, b = real(2, 4, 3, 2, 5), real(4), real(4)
    case("instance-norm-3d", "InstanceNormalization", [v, ("constant", s), ("constant", b)],
         F.instance_norm(t64(v), weight=t64(s), bias=t64(b)))
    case("group-norm-1d", "GroupNormalization", [x[:, :, :, 0].copy(), ("constant", s),
         ("constant", b)], F.group_norm(t64(x[:, :, :, 0]), 2, t64(s), t64(b)), opset=21,
         num_groups=2)
    m, var = real(4), real(4, low=0.5, high=2)
    case("batch-norm-3d", "BatchNormalization", [v, *(("constant", a) for a in (s, b, m, var))],
         F.batch_norm(t64(v), t64(m), t64(var), t64(s), t64(b)))
    case("batch-norm-rank-2", "BatchNormalization",
         [x[:, :, 0, 0].copy(), *(("constant", a) for a in (s, b, m, var))],
         F.batch_norm(t64(x[:, :, 0, 0]), t64(m), t64(var), t64(s), t64(b)))


def products():
    for name, a, b in (("vectors", (4,), (4,)), ("row", (4,), (2, 4, 3)), ("column", (2, 3, 4), (4,)),
                       ("batches", (2, 1, 3, 4), (5, 4, 2)), ("wide", (4,), (4, 6))):
        a, b = real(*a), real(*b)
        case(f"matmul-{name}", "MatMul", [a, b], a.astype(np.float64) @ b)
    a, b, c = real(3, 4), real(4, 5), real(3, 1)
    case("gemm-column", "Gemm", [a, b, c], a.astype(np.float64) @ b + c)
    case("gemm-scalar", "Gemm", [a, b, np.array(0.5, F32)], a.astype(np.float64) @ b + 0.5)
    x = real(2, 3, 4) * 4
    case("softmax-first", "Softmax", [x], t64(x).softmax(0), axis=0)
    case("softmax-9", "Softmax", [x], t64(x).flatten(2).softmax(2), opset=9, axis=2)


# ---- Resize: each axis is a matrix of weights ------------------------------------------------

def source(mode, at, before, after, scale, length, region):
    if mode == "align_corners":
        return at * (before - 1) / (length - 1) if length != 1 else 0.0
    if mode == "asymmetric":
        return at / scale
    if mode == "pytorch_half_pixel" and length <= 1:
        return 0.0
    if mode == "tf_crop_and_resize":
        first, last = region
        if after == 1:
            return 0.5 * (first + last) * (before - 1)
        return first * (before - 1) + at * (last - first) * (before - 1) / (after - 1)
    offset = before / 2 * (1 - after / length) if mode == "half_pixel_symmetric" else 0
    return offset + (at + 0.5) / scale - 0.5


def cubic(x, a):
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


ROUND = {"round_prefer_floor": lambda x: math.ceil(x - 0.5), "floor": math.floor,
         "round_prefer_ceil": lambda x: math.floor(x + 0.5), "ceil": math.ceil}


def weights(before, after, scale, kind="linear", coord="half_pixel", nearest="round_prefer_floor",
            a=-0.75, antialias=False, exclude=False, region=(0, 1)):
    matrix = np.zeros((after, before))
    for at in range(after):
        x = source(coord, at, before, after, scale, before * scale, region)
        if kind == "nearest":
            matrix[at, min(max(ROUND[nearest](x), 0), before - 1)] = 1
            continue
        wide = 1 / scale if antialias and scale < 1 else 1.0
        row = {i: cubic((i - x) / wide, a) if kind == "cubic" else max(0, 1 - abs(i - x) / wide)
               for i in range(-4 * before - 4, 5 * before + 4)}
        if exclude:
            row = {i: w for i, w in row.items() if 0 <= i < before}
        total = sum(row.values()) if antialias or exclude else 1
        for i, w in row.items():
            matrix[at, min(max(i, 0), before - 1)] += w / total
    return matrix


def resized(x, sizes, scales, **how):
    y = x.astype(np.float64)
    for d, (size, scale) in enumerate(zip(sizes, scales)):
        region = how.get("regions", {}).get(d, (0, 1))
        matrix = weights(x.shape[2 + d], size, scale, region=region,
                         **{k: v for k, v in how.items() if k != "regions"})
        y = np.moveaxis(np.tensordot(matrix, y, (1, 2 + d)), 0, 2 + d)
    return y


def resizes():
    x = real(1, 2, 5, 6)

    def sized(name, sizes, how, **attrs):
        scales = [s / b for s, b in zip(sizes, x.shape[2:])]
        case(f"resize-{name}", "Resize", [x, None, None, [1, 2, *sizes]],
             resized(x, sizes, scales, **how), **attrs)

    for down in (False, True):
        sizes, way = ((3, 4), "down") if down else ((8, 9), "up")
        for coord in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
            sized(f"cubic-{coord}-{way}", sizes, {"kind": "cubic", "coord": coord}, mode="cubic",
                  coordinate_transformation_mode=coord)
            for nearest in ROUND:
                sized(f"nearest-{coord}-{nearest}-{way}", sizes,
                      {"kind": "nearest", "coord": coord, "nearest": nearest}, mode="nearest",
                      coordinate_transformation_mode=coord, nearest_mode=nearest)
        sized(f"cubic-outside-{way}", sizes, {"kind": "cubic", "a": -0.5, "exclude": True},
              mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1)
        for kind in ("linear", "cubic"):
            for exclude in (False, True):
                sized(f"antialias-{kind}-{int(exclude)}-{way}", sizes,
                      {"kind": kind, "antialias": True, "exclude": exclude}, mode=kind,
                      antialias=1, exclude_outside=int(exclude))
    smooth = F.interpolate(t64(x), size=(3, 2), mode="bilinear", antialias=True)
    case("resize-antialias-torch", "Resize", [x, None, None, [1, 2, 3, 2]], smooth, mode="linear",
         antialias=1, exclude_outside=1)
    smooth = F.interpolate(t64(x), size=(7, 11), mode="bicubic", align_corners=True)
    case("resize-cubic-torch", "Resize", [x, None, None, [1, 2, 7, 11]], smooth, mode="cubic",
         coordinate_transformation_mode="align_corners")
    scale = [float(F32(s)) for s in (0.7, 1.3)]
    for coord in ("half_pixel_symmetric", "half_pixel", "align_corners"):
        case(f"resize-scales-{coord}", "Resize",
             [x, None, ("constant", np.array([1, 1, *scale], F32))],
             resized(x, (3, 7), scale, coord=coord), mode="linear",
             coordinate_transformation_mode=coord)
    region = {0: (0.25, 0.75), 1: (1.0, 0.125)}
    roi = np.array([0, 0, 0.25, 1.0, 1, 1, 0.75, 0.125], F32)
    crop = {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}
    case("resize-crop", "Resize", [x, ("constant", roi), None, [1, 2, 4, 3]],
         resized(x, (4, 3), (0.8, 0.5), coord="tf_crop_and_resize", regions=region), **crop)
    above = np.array([-1, 0, -0.25, 1], F32)  # all rows lie outside
    case("resize-crop-outside", "Resize", [x, ("constant", above), None, [4, 6]],
         np.full((1, 2, 4, 6), 2.5), axes=[2, 3], extrapolation_value=2.5, **crop)
    for policy, choose in (("not_larger", min), ("not_smaller", max)):
        factor = choose(12 / 5, 10 / 6)
        size = tuple(int(math.floor(factor * b + 0.5)) for b in (5, 6))
        case(f"resize-{policy}", "Resize", [x, None, None, [10, 12]],
             resized(x, size, (factor, factor)), mode="linear", axes=[3, 2],
             keep_aspect_ratio_policy=policy)
    line, volume = real(2, 3, 7), real(1, 2, 3, 4, 5)
    case("resize-line", "Resize", [line, None, None, [2, 3, 11]],
         F.interpolate(t64(line), size=11, mode="linear"), mode="linear")
    case("resize-volume", "Resize", [volume, None, None, [1, 2, 5, 3, 7]],
         F.interpolate(t64(volume), size=(5, 3, 7), mode="trilinear"), mode="linear")
    case("resize-volume-nearest", "Resize", [volume, None, ("constant", np.array([1, 1, 2, 1, 3], F32))],
         F.interpolate(t64(volume), scale_factor=(2, 1, 3)), mode="nearest",
         coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    case("upsample-linear", "Upsample", [x, ("constant", np.array([1, 1, 2, 1.5], F32))],
         resized(x, (10, 9), (2, 1.5), coord="asymmetric"), opset=9, mode="linear")


def makers():
    for dtype in (I64, I32, F32):
        a, b, c = (np.array(v, dtype) for v in (7, -4, -3))
        case(f"Range-{np.dtype(dtype).name}", "Range", [("constant", a), ("constant", b),
             ("constant", c)], np.arange(7, -4, -3, dtype))
    case("Range-none", "Range", [("constant", np.array(3, I64)), ("constant", np.array(3, I64)),
         ("constant", np.array(1, I64))], np.zeros(0, I64))
    case("ConstantOfShape", "ConstantOfShape", [[2, 3]], np.full((2, 3), 1.5, F32), value=1.5)
    case("ConstantOfShape-int64", "ConstantOfShape", [[2]], np.full(2, -7, I64), value=-7)
    case("Shape", "Shape", [real(2, 3, 4, 5)], np.array([3, 4], I64), start=1, end=-1)
    row = real(1, 2)
    case("Concat-empty", "Concat", [np.zeros((0, 2), F32), row], row, axis=0)
    case("Add-empty", "Add", [np.zeros((0, 2), F32), row], np.zeros((0, 2), F32))
    case("Slice-empty", "Slice", [np.zeros((2, 0), F32), [5], [-9], [1], [-1]], np.zeros((2, 0), F32))
    case("MatMul-empty", "MatMul", [np.zeros((2, 0), F32), np.zeros((0, 3), F32)],
         np.zeros((2, 3), F32))
    case("Pad-empty", "Pad", [np.zeros((2, 0), F32), [0, 1, 0, 1], np.array(2, F32)],
         np.full((2, 2), 2, F32))
    case("Gather-empty", "Gather", [row, np.zeros((0,), I64)], np.zeros((0, 2), F32))
    case("Relu-empty", "Relu", [np.zeros((2, 0), F32)], np.zeros((2, 0), F32))


for family in (arithmetic, comparisons, casts, positions, movement, reductions, windows, norms,
               products, resizes, makers):
    family()
with open(sys.argv[1], "w", encoding="ascii") as out:
    out.write("\n".join(lines) + "\n")
