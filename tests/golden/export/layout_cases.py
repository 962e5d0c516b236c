#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write tests/golden/onnx-cases/: a few cases of our own in the ONNX project's layout, which
tests/cli/onnx-case.sh runs. `layout_cases.py DIR`. Each shows one outcome of onnx-case.
"""
import pathlib
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper

X = np.array([[1.5, -2, 0.25], [4, 4, -8]], np.float32)


def case(name, nodes, inputs, outputs, opset=17):
    folder = pathlib.Path(sys.argv[1]) / name
    (folder / "test_data_set_0").mkdir(parents=True, exist_ok=True)
    infos = [[helper.make_tensor_value_info(
        f"{kind}{i}", helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for i, a in enumerate(arrays)] for kind, arrays in (("x", inputs), ("y", outputs))]
    model = helper.make_model(helper.make_graph(nodes, name, *infos), ir_version=8,
                              opset_imports=[helper.make_opsetid("", opset)])
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for i, a in enumerate(arrays):
            (folder / "test_data_set_0" / f"{kind}_{i}.pb").write_bytes(
                numpy_helper.from_array(a, f"{kind}_{i}").SerializeToString())


node = helper.make_node
case("argmax-where", [node("ArgMax", ["x0"], ["a"], axis=1),
                      node("Greater", ["x0", "x1"], ["g"]),
                      node("Where", ["g", "x0", "x1"], ["w"]),
                      node("Identity", ["a"], ["y0"]), node("Identity", ["g"], ["y1"]),
                      node("Identity", ["w"], ["y2"])],
     [X, np.array([1], np.float32)],
     [X.argmax(1)[:, None], X > 1, np.where(X > 1, X, 1).astype(np.float32)])
case("reshape", [node("Reshape", ["x0", "x1"], ["y0"])], [X, np.array([3, -1])],
     [X.reshape(3, 2)])
case("range", [node("Range", ["x0", "x1", "x2"], ["y0"])],
     [np.array(v) for v in (1, 9, 3)], [np.arange(1, 9, 3)])
case("wrong-value", [node("Neg", ["x0"], ["y0"])], [X], [X])
case("wrong-shape", [node("Neg", ["x0"], ["y0"])], [X], [-X[:1]])
case("wrong-type", [node("Shape", ["x0"], ["y0"])], [X], [np.array([2, 3], np.int32)])
case("wrong-index", [node("Gather", ["x0", "x1"], ["y0"])], [X, np.array([2])], [X[:1]])
case("double", [node("Neg", ["x0"], ["y0"])], [X.astype(np.float64)], [-X.astype(np.float64)])
case("unknown", [node("Frobnicate", ["x0"], ["y0"])], [X], [X])
