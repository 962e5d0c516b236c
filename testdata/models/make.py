# SPDX-License-Identifier: MIT
"""Make the small packages that the tests run (python3 with numpy, onnx, onnxruntime).

    python3 testdata/models/make.py

tiny    fully convolutional, stride 4, safe to tile: bright things on dark ground
whole   InstanceNormalization, one size of 48 x 64, format 0.4: not safe to tile
pair    three outputs: a style vector, two flows, a probability; the maps come from the last two
steep   eight channels, no preprocessing: samples near the largest float overflow in the transforms of
        a Winograd convolution, and not in a direct one
bare    no package: a network with its weights in a file beside it, two channels to a probability
Weights are set by hand or by a seeded generator; the files are the same on every run.
"""
import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent


def save_model(path, nodes, inputs, outputs, weights):
    tensors = [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in weights.items()]
    graph = helper.make_graph(nodes, path.stem, inputs, outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())


def box(cin, cout, seed):
    """3x3 kernels near a box blur, all positive: maps stay smooth."""
    rng = np.random.default_rng(seed)
    w = np.full((cout, cin, 3, 3), 1 / (9 * cin)) * rng.uniform(0.8, 1.2, (cout, cin, 3, 3))
    return w.astype(np.float32)


def tiny(folder):
    f32 = TensorProto.FLOAT
    weights = {
        "stem.w": box(1, 4, 1), "stem.b": np.zeros(4),
        "half.w": box(4, 6, 2), "half.b": np.zeros(6),
        "quarter.w": box(6, 6, 3), "quarter.b": np.full(6, 0.01),
        "side.w": np.full((6, 4, 1, 1), 0.25), "side.b": np.zeros(6),
        "head.w": np.stack([np.full((6, 1, 1), 2.0), np.linspace(0.5, 1.0, 6).reshape(6, 1, 1)]),
        "head.b": np.array([-8.0, -4.0]),
        "scales": np.array([1, 1, 4, 4]),
    }
    conv = dict(kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    nodes = [
        helper.make_node("Conv", ["input", "stem.w", "stem.b"], ["a"], "stem", **conv),
        helper.make_node("Relu", ["a"], ["b"], "stem_relu"),
        helper.make_node("MaxPool", ["b"], ["c"], "pool1", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["c", "half.w", "half.b"], ["d"], "half", **conv),
        helper.make_node("Relu", ["d"], ["e"], "half_relu"),
        helper.make_node("MaxPool", ["e"], ["f"], "pool2", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["f", "quarter.w", "quarter.b"], ["g"], "quarter", **conv),
        helper.make_node("Resize", ["g", "", "scales"], ["h"], "up", mode="nearest",
                         coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        helper.make_node("Conv", ["b", "side.w", "side.b"], ["i"], "side", kernel_shape=[1, 1]),
        helper.make_node("Add", ["h", "i"], ["j"], "join"),
        helper.make_node("Conv", ["j", "head.w", "head.b"], ["output"], "head", kernel_shape=[1, 1]),
    ]
    save_model(folder / "tiny.onnx", nodes,
               [helper.make_tensor_value_info("input", f32, ["n", 1, "y", "x"])],
               [helper.make_tensor_value_info("output", f32, ["n", 2, "y", "x"])], weights)


def whole(folder):
    f32 = TensorProto.FLOAT
    weights = {
        "stem.w": box(3, 4, 4), "norm.s": np.ones(4), "norm.b": np.zeros(4),
        "head.w": np.full((1, 4, 1, 1), 0.8), "head.b": np.array([-0.5]),
    }
    nodes = [
        helper.make_node("Conv", ["image", "stem.w"], ["a"], "stem", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("InstanceNormalization", ["a", "norm.s", "norm.b"], ["b"], "norm"),
        helper.make_node("Relu", ["b"], ["c"], "relu"),
        helper.make_node("Conv", ["c", "head.w", "head.b"], ["mask"], "head", kernel_shape=[1, 1]),
    ]
    save_model(folder / "whole.onnx", nodes,
               [helper.make_tensor_value_info("image", f32, ["n", 3, "y", "x"])],
               [helper.make_tensor_value_info("mask", f32, ["n", 1, "y", "x"])], weights)


def pair(folder):
    f32 = TensorProto.FLOAT
    flow = np.zeros((2, 4, 3, 3), np.float32)
    flow[0, :, 0, 1], flow[0, :, 2, 1] = -0.5, 0.5  # differences in y, then in x
    flow[1, :, 1, 0], flow[1, :, 1, 2] = -0.5, 0.5
    weights = {
        "stem.w": box(1, 4, 5), "stem.b": np.linspace(0, 0.3, 4), "flow.w": flow,
        "head.w": np.full((1, 4, 1, 1), 3.0), "head.b": np.array([-5.0]),
    }
    conv = dict(kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    nodes = [
        helper.make_node("Conv", ["image", "stem.w", "stem.b"], ["a"], "stem", **conv),
        helper.make_node("Relu", ["a"], ["b"], "stem_relu"),
        helper.make_node("GlobalAveragePool", ["b"], ["c"], "mean"),
        helper.make_node("Flatten", ["c"], ["style"], "flatten"),
        helper.make_node("Conv", ["b", "flow.w"], ["flows"], "flow", **conv),
        helper.make_node("Conv", ["b", "head.w", "head.b"], ["prob"], "head", kernel_shape=[1, 1]),
    ]
    plane = ["n", None, "y", "x"]
    save_model(folder / "pair.onnx", nodes,
               [helper.make_tensor_value_info("image", f32, ["n", 1, "y", "x"])],
               [helper.make_tensor_value_info("style", f32, ["n", 4]),
                helper.make_tensor_value_info("flows", f32, plane[:1] + [2] + plane[2:]),
                helper.make_tensor_value_info("prob", f32, plane[:1] + [1] + plane[2:])], weights)


def bare(folder):
    f32 = TensorProto.FLOAT
    weights = {"w": box(2, 1, 5), "b": np.array([-1.0])}
    nodes = [helper.make_node("Conv", ["two", "w", "b"], ["a"], "smooth", kernel_shape=[3, 3],
                              pads=[1, 1, 1, 1]),
             helper.make_node("Sigmoid", ["a"], ["probability"], "last")]
    shape = ["n", 2, "h", "w"]
    path = folder / "beside.onnx"
    save_model(path, nodes, [helper.make_tensor_value_info("two", f32, shape)],
               [helper.make_tensor_value_info("probability", f32, ["n", 1, "h", "w"])], weights)
    (folder / "beside.onnx.data").unlink(missing_ok=True)  # it would be appended to
    onnx.save_model(onnx.load(path), path, save_as_external_data=True, location="beside.onnx.data",
                    size_threshold=0)


def discs(channels, height, width):
    y, x = np.mgrid[:height, :width].astype(np.float64)
    image = 10 + 0.2 * x
    for cy, cx, r in ((12, 14, 7), (30, 40, 9), (25, 15, 4)):
        image += 150 / (1 + np.exp(np.hypot(y - cy, x - cx) - r))
    return np.round(np.stack([image * (1 - 0.1 * c) for c in range(channels)]))[None].astype(np.float32)


def scale_range(image, low, high, eps=1e-6):
    a, b = np.percentile(image.astype(np.float64), [low, high])
    return ((image.astype(np.float64) - a) / (b - a + eps)).astype(np.float32)


def run(path, name, x):
    y = onnxruntime.InferenceSession(str(path)).run(None, {name: x})[0]
    return (1 / (1 + np.exp(-y.astype(np.float64)))).astype(np.float32)


def run_pair(path, x):
    names = ("style", "flows", "prob")
    y = dict(zip(names, onnxruntime.InferenceSession(str(path)).run(list(names), {"image": x})))
    y["prob"] = (1 / (1 + np.exp(-y["prob"].astype(np.float64)))).astype(np.float32)
    return y


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


TINY = """\
format_version: 0.5.4
type: model
name: tiny
version: 1.0.0
description: Bright things on dark ground, for tests.
license: MIT
inputs:
- id: input
  axes:
  - {{type: batch}}
  - {{type: channel, channel_names: [intensity]}}
  - {{type: space, id: y, size: {{min: 8, step: 4}}}}
  - {{type: space, id: x, size: {{min: 8, step: 4}}}}
  data: {{type: float32}}
  preprocessing:
  - id: scale_range
    kwargs: {{axes: [channel, y, x], min_percentile: 1, max_percentile: 99.8}}
  - id: clip
    kwargs: {{min: -0.5, max: 2.0}}
  test_tensor: {{source: test_input.npy, sha256: {input}}}
outputs:
- id: output
  axes:
  - {{type: batch}}
  - {{type: channel, channel_names: [foreground, distance]}}
  - {{type: space, id: y, size: {{tensor_id: input, axis_id: y}}}}
  - {{type: space, id: x, size: {{tensor_id: input, axis_id: x}}}}
  data: {{type: float32}}
  postprocessing:
  - id: sigmoid
  test_tensor: {{source: test_output.npy, sha256: {output}}}
weights:
  onnx: {{source: tiny.onnx, sha256: {weights}, opset_version: 17}}
config:
  cellstream:
    version: 1
    channels: [foreground, distance]
    input_channels: mean
    fit: pad
    stride: 4
    postprocess: {{threshold: 0.5, split: distance, seed_depth: 0.1, min_area: 20}}
"""

WHOLE = """\
format_version: 0.4.10
type: model
name: whole
description: Whole-image statistics and one size, for tests.
license: MIT
inputs:
- name: image
  axes: bcyx
  shape: [1, 3, 48, 64]
  data_type: float32
  preprocessing:
  - name: scale_linear
    kwargs: {{axes: xy, gain: 0.00392156862745098, offset: 0.0}}
  - name: zero_mean_unit_variance
    kwargs: {{mode: per_sample, axes: xy}}
outputs:
- name: mask
  axes: bcyx
  shape: {{reference_tensor: image, scale: [1.0, 0.0, 1.0, 1.0], offset: [0.0, 0.5, 0.0, 0.0]}}
  data_type: float32
  postprocessing:
  - name: sigmoid
  - name: binarize
    kwargs: {{threshold: 0.4}}
test_inputs: [test_input.npy]
test_outputs: [test_output.npy]
weights:
  onnx: {{source: whole.onnx, sha256: {weights}, opset_version: 17}}
"""


PAIR = """\
format_version: 0.5.4
type: model
name: pair
description: Several outputs, for tests.
license: MIT
inputs:
- id: image
  axes:
  - {{type: batch}}
  - {{type: channel, channel_names: [intensity]}}
  - {{type: space, id: y, size: {{min: 4, step: 1}}}}
  - {{type: space, id: x, size: {{min: 4, step: 1}}}}
  preprocessing:
  - {{id: scale_linear, kwargs: {{gain: 0.01, offset: 0}}}}
  test_tensor: {{source: test_input.npy, sha256: {input}}}
outputs:
- id: prob
  axes:
  - {{type: batch}}
  - {{type: channel, channel_names: [probability]}}
  - {{type: space, id: y, size: {{tensor_id: image, axis_id: y}}}}
  - {{type: space, id: x, size: {{tensor_id: image, axis_id: x}}}}
  postprocessing: [{{id: sigmoid}}]
  test_tensor: {{source: test_prob.npy, sha256: {prob}}}
- id: flows
  axes:
  - {{type: batch}}
  - {{type: channel, channel_names: [y, x]}}
  - {{type: space, id: y, size: {{tensor_id: image, axis_id: y}}}}
  - {{type: space, id: x, size: {{tensor_id: image, axis_id: x}}}}
  test_tensor: {{source: test_flows.npy, sha256: {flows}}}
- id: style
  axes: [{{type: batch}}, {{type: channel, channel_names: [a, b, c, d]}}]
  test_tensor: {{source: test_style.npy, sha256: {style}}}
weights:
  onnx: {{source: pair.onnx, sha256: {weights}, opset_version: 17}}
config:
  cellstream:
    version: 1
    channels: {{flow_x: {{output: flows, channel: 1}}, foreground: prob}}
    input_channels: mean
"""


STEEP = """\
format_version: 0.5.4
type: model
name: steep
version: 1.0.0
description: A mean of the neighbourhood, for tests of samples near the largest float.
license: MIT
inputs:
- id: image
  axes:
  - {{type: batch}}
  - {{type: channel, channel_names: [intensity]}}
  - {{type: space, id: y, size: {{min: 4, step: 1}}}}
  - {{type: space, id: x, size: {{min: 4, step: 1}}}}
outputs:
- id: mean
  axes:
  - {{type: batch}}
  - {{type: channel, channel_names: [foreground]}}
  - {{type: space, id: y, size: {{tensor_id: image, axis_id: y}}}}
  - {{type: space, id: x, size: {{tensor_id: image, axis_id: x}}}}
weights:
  onnx: {{source: steep.onnx, sha256: {weights}, opset_version: 17}}
"""


def make_steep():
    f32 = TensorProto.FLOAT
    folder = HERE / "steep"
    folder.mkdir(exist_ok=True)
    weights = {"eight.w": np.full((8, 1, 1, 1), 1.5), "mean.w": np.full((1, 8, 3, 3), 1 / 144)}
    nodes = [helper.make_node("Conv", ["image", "eight.w"], ["a"], "eight", kernel_shape=[1, 1]),
             helper.make_node("Conv", ["a", "mean.w"], ["mean"], "mean", kernel_shape=[3, 3],
                              pads=[1, 1, 1, 1])]
    shape = ["n", 1, "y", "x"]
    save_model(folder / "steep.onnx", nodes, [helper.make_tensor_value_info("image", f32, shape)],
               [helper.make_tensor_value_info("mean", f32, shape)], weights)
    (folder / "rdf.yaml").write_text(STEEP.format(weights=sha(folder / "steep.onnx")))


def make_pair():
    folder = HERE / "pair"
    folder.mkdir(exist_ok=True)
    pair(folder)
    image = discs(1, 16, 20)
    np.save(folder / "test_input.npy", image)
    outputs = run_pair(folder / "pair.onnx", (image * 0.01).astype(np.float32))
    for name, y in outputs.items():
        np.save(folder / f"test_{name}.npy", y)
    files = {name: sha(folder / f"test_{name}.npy") for name in ("input", *outputs)}
    (folder / "rdf.yaml").write_text(PAIR.format(weights=sha(folder / "pair.onnx"), **files))


def main():
    make_pair()
    make_steep()
    (HERE / "bare").mkdir(exist_ok=True)
    bare(HERE / "bare")
    for name, make, text in (("tiny", tiny, TINY), ("whole", whole, WHOLE)):
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        make(folder)
        if name == "tiny":
            image = discs(1, 40, 52)
            x = np.clip(scale_range(image, 1, 99.8), -0.5, 2)
            y = run(folder / "tiny.onnx", "input", x)
        else:
            image = discs(3, 48, 64)
            d = image.astype(np.float64) / 255
            x = ((d - d.mean((2, 3), keepdims=True)) / (d.std((2, 3), keepdims=True) + 1e-6)).astype(np.float32)
            y = (run(folder / "whole.onnx", "image", x) > 0.4).astype(np.float32)
        np.save(folder / "test_input.npy", image)
        np.save(folder / "test_output.npy", y)
        (folder / "rdf.yaml").write_text(text.format(
            weights=sha(folder / f"{name}.onnx"), input=sha(folder / "test_input.npy"),
            output=sha(folder / "test_output.npy")))
        print(name, "foreground", float((y[:, 0] > 0.5).mean()), "range", y.min(), y.max())


main()
