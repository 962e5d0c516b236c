#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write small ONNX files of many operators as a corpus for fuzzing: `fuzz_corpus.py DIR`."""
import pathlib
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def tensor(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def write(path, nodes, weights, opset=17, shape=("n", 3, "h", "w")):
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)],
        [tensor(k, v) for k, v in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    n = helper.make_node
    f = lambda *shape: np.ones(shape, np.float32)
    i = lambda *values: np.array(values, np.int64)
    write(folder / "conv", [
        n("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        n("BatchNormalization", ["c", "b", "b", "b", "b"], ["d"]),
        n("Relu", ["d"], ["e"]),
        n("ConvTranspose", ["e", "t"], ["y"], strides=[2, 2]),
    ], {"w": f(4, 3, 3, 3), "b": f(4), "t": f(4, 2, 2, 2)})
    write(folder / "resize", [
        n("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        n("Shape", ["x"], ["s"]),
        n("Slice", ["s", "two", "four", "zero"], ["hw"]),
        n("Shape", ["p"], ["ps"]),
        n("Slice", ["ps", "zero", "two", "zero"], ["nc"]),
        n("Concat", ["nc", "hw"], ["size"], axis=0),
        n("Resize", ["p", "", "", "size"], ["r"], mode="linear",
          coordinate_transformation_mode="align_corners"),
        n("Concat", ["x", "r"], ["y"], axis=1),
    ], {"zero": i(0), "two": i(2), "four": i(4)})
    write(folder / "attention", [
        n("GlobalAveragePool", ["x"], ["g"]),
        n("Shape", ["g"], ["s"]),
        n("Gather", ["s", "one"], ["c"], axis=0),
        n("Constant", [], ["minus"], value=tensor("v", i(-1))),
        n("Concat", ["minus", "c"], ["flat"], axis=0),
        n("Reshape", ["g", "flat"], ["v"]),
        n("Identity", ["m"], ["m2"]),
        n("MatMul", ["v", "m2"], ["a"]),
        n("Sigmoid", ["a"], ["b"]),
        n("Unsqueeze", ["b", "axes"], ["d"]),
        n("Mul", ["x", "d"], ["y"]),
    ], {"one": i(1), "m": f(3, 3), "axes": i(2, 3)})
    write(folder / "moves", [
        n("Split", ["x", "parts"], ["p", "q"], axis=1),
        n("Pad", ["p", "pads"], ["r"], mode="reflect"),
        n("Slice", ["r", "start", "end", "axes", "step"], ["t"]),
        n("Transpose", ["t"], ["u"], perm=[0, 1, 3, 2]),
        n("ConstantOfShape", ["shape"], ["z"], value=tensor("v", np.array([2], np.float32))),
        n("Expand", ["z", "shape"], ["e"]),
        n("Tile", ["e", "repeats"], ["f"]),
        n("ReduceMean", ["u", "axes"], ["k"]),
        n("Add", ["k", "f"], ["l"]),
        n("Flatten", ["l"], ["h"]),
        n("Gemm", ["h", "w", "b"], ["i"], transB=1),
        n("Softmax", ["i"], ["y"], axis=-1),
    ], {"parts": i(1, 2), "pads": i(0, 0, 1, 1, 0, 0, 1, 1), "start": i(-1, 0), "end": i(-30, 30),
        "axes": i(2, 3), "step": i(-1, 2), "shape": i(1, 1, 1, 1), "repeats": i(1, 1, 2, 2),
        "w": f(5, 4), "b": f(5)}, opset=18)
    write(folder / "old", [
        n("Upsample", ["x", "scales"], ["u"], mode="nearest"),
        n("Slice", ["u"], ["s"], starts=[1], ends=[9], axes=[3]),
        n("Clip", ["s"], ["c"], min=0.0, max=6.0),
        n("InstanceNormalization", ["c", "w", "w"], ["y"]),
    ], {"scales": np.array([1, 1, 2, 2], np.float32), "w": f(3)}, opset=9)
    write(folder / "arithmetic", [
        n("Range", ["a", "b", "c"], ["r"]),
        n("Cast", ["r"], ["f"], to=1),
        n("Mod", ["r", "b"], ["m"]),
        n("Equal", ["m", "a"], ["e"]),
        n("Where", ["e", "r", "m"], ["w"]),
        n("ReduceProd", ["w"], ["p"], keepdims=0),
        n("Cast", ["p"], ["q"], to=1),
        n("Mul", ["x", "q"], ["y"]),
    ], {"a": np.array(0, np.int64), "b": np.array(9, np.int64), "c": np.array(2, np.int64)})
    write(folder / "typed", [
        n("ArgMax", ["x"], ["a"], axis=1),
        n("Gather", ["table", "a"], ["g"], axis=0),
        n("Cast", ["x"], ["k"], to=6),
        n("Div", ["k", "k3"], ["d"]),
        n("Cast", ["d"], ["m"], to=7),
        n("GatherND", ["table", "pairs"], ["t"]),
        n("Add", ["m", "t"], ["o"]),
        n("Greater", ["o", "t"], ["h"]),
        n("Not", ["h"], ["i"]),
        n("Where", ["i", "o", "m"], ["w"]),
        n("ReduceMax", ["w", "axes"], ["r"]),
        n("Pad", ["r", "pads", "t"], ["p"], mode="constant"),
        n("Clip", ["p", "", "t"], ["c"]),
        n("Pow", ["x", "k3"], ["q"]),
        n("Cast", ["c"], ["f"], to=1),
        n("Min", ["f", "q"], ["y"]),
    ], {"table": np.arange(6).reshape(3, 2), "k3": np.array([3], np.int32),
        "pairs": np.array([1, -1]), "axes": i(-1), "pads": i(0, 0, 0, 0, 0, 0, 0, 15)}, opset=20)
    write(folder / "volumes", [
        n("Unsqueeze", ["x", "axes"], ["u"]),
        n("Conv", ["u", "w"], ["c"], pads=[1, 1, 1, 1, 1, 1], dilations=[1, 2, 1]),
        n("AveragePool", ["c"], ["p"], kernel_shape=[1, 2, 3], strides=[1, 2, 2], ceil_mode=1,
          pads=[0, 1, 1, 0, 0, 1], count_include_pad=1),
        n("Resize", ["p", "", "scales"], ["r"], mode="cubic", antialias=1, exclude_outside=1),
        n("ReduceMean", ["r", "axes"], ["m"], keepdims=0),
        n("LayerNormalization", ["m", "s"], ["l", "mean", "deviation"], axis=-1),
        n("Sub", ["l", "mean"], ["e"]),
        n("MaxPool", ["e"], ["q", "where"], kernel_shape=[2, 2]),
        n("Resize", ["q", "roi", "", "sizes"], ["z"], axes=[2, 3], extrapolation_value=2.0,
          coordinate_transformation_mode="tf_crop_and_resize", mode="linear"),
        n("Cast", ["where"], ["v"], to=1),
        n("ReduceL2", ["v"], ["n"]),
        n("Mul", ["z", "n"], ["y"]),
    ], {"axes": i(2), "w": f(2, 3, 1, 3, 2), "scales": np.array([1, 1, 1, 0.5, 1], np.float32),
        "s": f(9), "roi": np.array([0, 0.25, 1, 1.25], np.float32), "sizes": i(3, 5)}, opset=18)


if __name__ == "__main__":
    main()
