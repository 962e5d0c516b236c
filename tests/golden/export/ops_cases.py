#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write tests/golden/ops/cases.txt: single operators with results in double precision.

`ops_cases.py FILE`. Inputs are float32, results come from PyTorch in float64, which shares no code
with the engine. Lines: case NAME OPSET OP | int|float|text|ints NAME VALUE... | input|weight SHAPE
VALUES | list VALUES | omit | expect SHAPE VALUES.
"""
import sys

import torch
from torch.nn import functional as F

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
lines = []


def rand(*shape, low=-1.0, high=1.0):
    return (torch.rand(*shape) * (high - low) + low).float().double()


def numbers(t):
    return ",".join(str(s) for s in t.shape) + " " + " ".join(
        "%.9g" % v for v in t.flatten().tolist())


def exact(t):
    return ",".join(str(s) for s in t.shape) + " " + " ".join(
        "%.15g" % v for v in t.flatten().tolist())


def case(name, op, args, expected, opset=17, **attrs):
    """args: tensors (the first is the input, others weights), lists of integers, or None."""
    lines.append(f"case {name} {opset} {op}")
    for key, value in attrs.items():
        if isinstance(value, list):
            lines.append(f"ints {key} " + " ".join(str(v) for v in value))
        else:
            kind = {int: "int", float: "float", str: "text"}[type(value)]
            lines.append(f"{kind} {key} {value}")
    for i, arg in enumerate(args):
        if arg is None:
            lines.append("omit")
        elif isinstance(arg, list):
            lines.append("list " + " ".join(str(v) for v in arg))
        else:
            lines.append(("input " if i == 0 else "weight ") + numbers(arg))
    lines.append("expect " + exact(expected))


def windows():
    x, w, b = rand(2, 4, 7, 6), rand(6, 4, 3, 3), rand(6)
    case("conv", "Conv", [x, w, b], F.conv2d(x, w, b, padding=1), pads=[1, 1, 1, 1])
    case("conv-no-bias", "Conv", [x, w], F.conv2d(x, w))
    case("conv-1x1", "Conv", [x, w[:, :, :1, :1].contiguous()], F.conv2d(x, w[:, :, :1, :1]))
    case("conv-stride", "Conv", [x, w, b], F.conv2d(x, w, b, stride=(2, 3), padding=(1, 0)),
         strides=[2, 3], pads=[1, 0, 1, 0])
    case("conv-dilation", "Conv", [x, w, b], F.conv2d(x, w, b, padding=2, dilation=2),
         dilations=[2, 2], pads=[2, 2, 2, 2])
    case("conv-group", "Conv", [x, w[:, :2].contiguous(), b],
         F.conv2d(x, w[:, :2], b, padding=1, groups=2), pads=[1, 1, 1, 1], group=2)
    d = rand(4, 1, 5, 3)
    case("conv-depthwise", "Conv", [x, d], F.conv2d(x, d, padding=(2, 1), groups=4),
         pads=[2, 1, 2, 1], group=4)
    case("conv-uneven-pads", "Conv", [x, w, b], F.conv2d(F.pad(x, (2, 1, 0, 3)), w, b),
         pads=[0, 2, 3, 1])
    case("conv-same-upper", "Conv", [x, w, b], F.conv2d(F.pad(x, (0, 1, 1, 1)), w, b, stride=(2, 2)),
         strides=[2, 2], auto_pad="SAME_UPPER")
    t = rand(4, 3, 2, 2)
    case("transposed", "ConvTranspose", [x, t, rand(3) * 0], F.conv_transpose2d(x, t, stride=2),
         strides=[2, 2])
    t, b = rand(4, 3, 3, 4), rand(3)
    case("transposed-pads", "ConvTranspose", [x, t, b],
         F.conv_transpose2d(x, t, b, stride=(2, 3), padding=(1, 2), output_padding=(1, 0)),
         strides=[2, 3], pads=[1, 2, 1, 2], output_padding=[1, 0])
    t, b = rand(4, 2, 3, 3), rand(4)
    case("transposed-group", "ConvTranspose", [x, t, b],
         F.conv_transpose2d(x, t, b, stride=2, dilation=2, groups=2), strides=[2, 2],
         dilations=[2, 2], group=2)
    case("max-pool", "MaxPool", [x], F.max_pool2d(x, 3, 2, 1), kernel_shape=[3, 3],
         strides=[2, 2], pads=[1, 1, 1, 1])
    case("max-pool-ceil", "MaxPool", [x], F.max_pool2d(x, 2, 2, ceil_mode=True),
         kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    case("max-pool-dilation", "MaxPool", [x], F.max_pool2d(x, (2, 3), 1, dilation=(3, 2)),
         kernel_shape=[2, 3], dilations=[3, 2])
    case("average-pool", "AveragePool", [x],
         F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), kernel_shape=[3, 3], strides=[2, 2],
         pads=[1, 1, 1, 1])
    case("average-pool-pads", "AveragePool", [x], F.avg_pool2d(x, 3, 2, 1), kernel_shape=[3, 3],
         strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1)
    case("average-pool-ceil", "AveragePool", [x],
         F.avg_pool2d(x, (3, 2), (2, 4), (1, 1), ceil_mode=True), kernel_shape=[3, 2],
         strides=[2, 4], pads=[1, 1, 1, 1], ceil_mode=1, count_include_pad=1)
    case("global-average", "GlobalAveragePool", [x], F.adaptive_avg_pool2d(x, 1))
    case("global-max", "GlobalMaxPool", [x], F.adaptive_max_pool2d(x, 1))


def norms():
    x = rand(2, 4, 5, 3) * 3 + 1
    s, b, m, v = rand(4), rand(4), rand(4), rand(4, low=0.5, high=2)
    case("batch-norm", "BatchNormalization", [x, s, b, m, v],
         F.batch_norm(x, m, v, s, b, eps=1e-3), epsilon=1e-3)
    case("instance-norm", "InstanceNormalization", [x, s, b],
         F.instance_norm(x, weight=s, bias=b, eps=1e-5))
    case("group-norm", "GroupNormalization", [x, s, b], F.group_norm(x, 2, s, b, eps=1e-4),
         opset=21, num_groups=2, epsilon=1e-4)
    two, shift = rand(2), rand(2)
    case("group-norm-18", "GroupNormalization", [x, two, shift],
         F.group_norm(x, 2, two.repeat_interleave(2), shift.repeat_interleave(2)), opset=18,
         num_groups=2)
    w, c = rand(5, 3), rand(5, 3)
    case("layer-norm", "LayerNormalization", [x, w, c], F.layer_norm(x, (5, 3), w, c), axis=-2)


def resizes():
    x = rand(1, 2, 5, 4)
    one = lambda h, w: torch.tensor([1.0, 1.0, h, w])
    up = lambda **k: F.interpolate(x, **k)
    case("resize-nearest", "Resize", [x, None, one(2, 3)], up(scale_factor=(2, 3)),
         mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    case("resize-nearest-down", "Resize", [x, None, one(0.5, 0.5)],
         up(scale_factor=0.5, mode="nearest"), mode="nearest",
         coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    case("resize-nearest-half", "Resize", [x, None, None, [1, 2, 9, 7]],
         up(size=(9, 7), mode="nearest-exact"), mode="nearest",
         coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_ceil")
    for mode, corners in (("half_pixel", False), ("align_corners", True)):
        name = mode.replace("_", "-")
        case(f"resize-{name}", "Resize", [x, None, None, [1, 2, 9, 11]],
             up(size=(9, 11), mode="bilinear", align_corners=corners), mode="linear",
             coordinate_transformation_mode=mode)
        case(f"resize-{name}-down", "Resize", [x, None, None, [1, 2, 3, 2]],
             up(size=(3, 2), mode="bilinear", align_corners=corners), mode="linear",
             coordinate_transformation_mode=mode)
    case("resize-pytorch-half-pixel", "Resize", [x, None, one(2, 2)],
         up(scale_factor=2, mode="bilinear", align_corners=False), mode="linear",
         coordinate_transformation_mode="pytorch_half_pixel")
    case("resize-axes", "Resize", [x, None, None, [7, 10]],
         up(size=(10, 7), mode="bilinear", align_corners=False), opset=18, mode="linear",
         axes=[3, 2])
    case("upsample-9", "Upsample", [x, one(2, 2)], up(scale_factor=2), opset=9, mode="nearest")
    case("resize-10", "Resize", [x, one(3, 2)], up(scale_factor=(3, 2)), opset=10, mode="nearest")


def elements():
    x = rand(2, 3, 4, 2) * 4
    plain = {"Relu": F.relu, "Sigmoid": torch.sigmoid, "HardSwish": F.hardswish,
             "Softplus": F.softplus, "Tanh": torch.tanh, "Erf": torch.erf, "Mish": F.mish,
             "Exp": torch.exp, "Abs": torch.abs, "Neg": torch.neg, "Floor": torch.floor,
             "Ceil": torch.ceil}
    for op, function in plain.items():
        case(op.lower(), op, [x], function(x), opset=20 if op == "Mish" else 17)
    case("gelu", "Gelu", [x], F.gelu(x), opset=20)
    case("gelu-tanh", "Gelu", [x], F.gelu(x, approximate="tanh"), opset=20, approximate="tanh")
    case("leaky-relu", "LeakyRelu", [x], F.leaky_relu(x, 0.125), alpha=0.125)
    case("elu", "Elu", [x], F.elu(x, 1.5), alpha=1.5)
    case("hard-sigmoid", "HardSigmoid", [x], torch.clamp(0.25 * x + 0.5, 0, 1), alpha=0.25)
    case("clip", "Clip", [x, torch.tensor([-0.5]), torch.tensor([1.25])], x.clamp(-0.5, 1.25))
    case("clip-10", "Clip", [x], x.clamp(0, 1), opset=10, min=0.0, max=1.0)
    slope = rand(3, 1, 1)
    case("prelu", "PRelu", [x, slope], torch.where(x < 0, x * slope, x))
    positive = x.abs() + 0.125
    case("log", "Log", [positive], positive.log())
    case("sqrt", "Sqrt", [positive], positive.sqrt())
    for name, other in (("full", rand(2, 3, 4, 2)), ("channel", rand(3, 1, 1)),
                        ("plane", rand(2, 1, 4, 2)), ("scalar", rand(1))):
        other = other + 2 * other.sign()
        for op, function in {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul,
                             "Div": torch.div, "Max": torch.maximum,
                             "Min": torch.minimum}.items():
            case(f"{op.lower()}-{name}", op, [x, other], function(x, other))
    case("wider", "Mul", [rand(3, 1, 2) * 0 + 2, x], 2 * x)
    case("pow", "Pow", [positive, torch.tensor([1.5])], positive ** 1.5)
    case("sum", "Sum", [x, slope, positive], x + slope + positive)
    case("mean", "Mean", [x, slope, positive], (x + slope + positive) / 3)


def matrices():
    x = rand(2, 3, 4, 5)
    case("softmax", "Softmax", [x], x.softmax(1), axis=1)
    case("softmax-last", "Softmax", [x], x.softmax(-1))
    case("softmax-11", "Softmax", [x], x.flatten(1).softmax(1).view_as(x), opset=11)
    w = rand(5, 6)
    case("matmul", "MatMul", [x, w], x @ w)
    w = rand(3, 5, 2)
    case("matmul-batch", "MatMul", [x, w], x @ w)
    a, w, b = rand(3, 4), rand(6, 4), rand(6)
    case("gemm", "Gemm", [a, w, b], 0.5 * (a @ w.T) + 2 * b, transB=1, alpha=0.5, beta=2.0)
    case("gemm-plain", "Gemm", [a.T.contiguous(), w.T.contiguous()], a @ w.T, transA=1)
    for op, function in {"ReduceMean": torch.mean, "ReduceSum": torch.sum,
                         "ReduceMax": torch.amax, "ReduceMin": torch.amin}.items():
        case(f"{op.lower()}-channels", op, [x, [1]], function(x, dim=1, keepdim=True), opset=18)
        case(f"{op.lower()}-plane", op, [x, [2, -1]], function(x, dim=(2, 3)), opset=18,
             keepdims=0)
    case("reduce-l2", "ReduceL2", [x], x.norm(dim=(2, 3), keepdim=True), axes=[2, 3])
    case("reduce-prod", "ReduceProd", [x], x.prod(dim=1, keepdim=True), axes=[1])
    case("reduce-all", "ReduceMean", [x], x.mean().view(1, 1, 1, 1))


def moves():
    x = rand(2, 4, 3, 5)
    case("transpose", "Transpose", [x], x.permute(0, 2, 3, 1), perm=[0, 2, 3, 1])
    case("concat", "Concat", [x, rand(2, 1, 3, 5) * 0 + 1], torch.cat([x, torch.ones(2, 1, 3, 5)], 1),
         axis=1)
    case("concat-width", "Concat", [x, x[..., :2].contiguous()], torch.cat([x, x[..., :2]], 3),
         axis=-1)
    case("slice", "Slice", [x, [1, -1], [4, -9], [1, 3], [2, -2]], x[:, 1:4:2].flip(3)[..., ::2])
    case("gather", "Gather", [x, [2, -4, 2]], x[:, [2, 0, 2]], axis=1)
    case("pad", "Pad", [x, [0, 0, 1, 2, 0, 1, 0, 1], torch.tensor([1.5])],
         F.pad(x, (2, 1, 1, 0, 0, 1), value=1.5))
    case("pad-cut", "Pad", [x, [0, 0, -1, 2, 0, 0, 0, -1]], F.pad(x, (2, -1, -1, 0)))
    case("pad-reflect", "Pad", [x, [0, 0, 2, 1, 0, 0, 1, 3]],
         F.pad(x, (1, 3, 2, 1), mode="reflect"), mode="reflect")
    case("pad-edge", "Pad", [x, [0, 0, 2, 1, 0, 0, 1, 3]],
         F.pad(x, (1, 3, 2, 1), mode="replicate"), mode="edge")
    case("pad-wrap", "Pad", [x, [0, 0, 2, 1, 0, 0, 1, 3]],
         F.pad(x, (1, 3, 2, 1), mode="circular"), opset=19, mode="wrap")
    case("expand", "Expand", [x[:, :1].contiguous(), [2, 3, 1, 1]], x[:, :1].expand(2, 3, 3, 5))
    case("tile", "Tile", [x, [1, 2, 3, 1]], x.repeat(1, 2, 3, 1))
    case("reshape", "Reshape", [x, [0, -1, 5]], x.reshape(2, 12, 5))
    case("flatten", "Flatten", [x], x.flatten(1))
    case("squeeze", "Squeeze", [x[:1].contiguous(), [0]], x[0])
    case("unsqueeze", "Unsqueeze", [x, [-1]], x.unsqueeze(-1))
    case("identity", "Identity", [x], x)
    d = rand(1, 8, 2, 3)
    case("depth-to-space-crd", "DepthToSpace", [d], F.pixel_shuffle(d, 2), blocksize=2, mode="CRD")
    case("depth-to-space", "DepthToSpace", [d],
         d.view(1, 2, 2, 2, 2, 3).permute(0, 3, 4, 1, 5, 2).reshape(1, 2, 4, 6), blocksize=2)
    s = rand(1, 2, 4, 6)
    case("space-to-depth", "SpaceToDepth", [s],
         s.view(1, 2, 2, 2, 3, 2).permute(0, 3, 5, 1, 2, 4).reshape(1, 8, 2, 3), blocksize=2)
    update, changed = rand(3, 5), x.clone()
    changed[1, 2] = update
    case("scatter-nd", "ScatterND", [x, [1, -2], update], changed)
    case("sign", "Sign", [x.round()], x.round().sign())


for family in (windows, norms, resizes, elements, matrices, moves):
    family()
with open(sys.argv[1], "w", encoding="ascii") as out:
    out.write("\n".join(lines) + "\n")
