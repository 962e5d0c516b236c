#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run the ONNX project's own node cases on a backend: `onnx_cases.py BACKEND [HELPER]`.

They come with the Python package `onnx`. Inputs that are not float32 become initialisers, since
the engine takes sizes and axes from constants only; outputs that are not float32 are cast. Prints
what failed, what was refused, and a count by outcome.
"""
import collections
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

KNOWN = set("""Conv ConvTranspose BatchNormalization InstanceNormalization GroupNormalization
LayerNormalization Relu LeakyRelu PRelu Clip HardSwish HardSigmoid Sigmoid Softmax Tanh Elu Softplus
Gelu Erf Mish Exp Log Sqrt Pow Abs Neg Floor Ceil Add Sub Mul Div Mod Max Min Sum Mean MatMul Gemm
Concat Split Slice Pad Transpose Reshape Flatten Squeeze Unsqueeze Expand Tile Gather Shape
ConstantOfShape Cast Identity Dropout MaxPool AveragePool GlobalAveragePool GlobalMaxPool ReduceMean
ReduceMax ReduceMin ReduceSum ReduceProd ReduceL2 Resize Upsample DepthToSpace SpaceToDepth Where
Equal Greater Less Range Constant""".split())


def prepare(case, folder):
    """Model and arrays in the engine's terms, or None when the case is not for it."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    if any(n.op_type not in KNOWN or n.domain for n in graph.node) or not case.data_sets:
        return None
    given, expected = case.data_sets[0]
    if not all(isinstance(a, (np.ndarray, np.generic)) for a in [*given, *expected]):
        return None
    given, expected = [np.asarray(a) for a in given], [np.asarray(a) for a in expected]
    parameters = any(n.op_type in ("Clip", "Resize", "Upsample", "Pad") for n in graph.node)
    arrays = {v.name: a for v, a in zip(graph.input, given)}
    outputs = [(v.name, a) for v, a in zip(graph.output, expected)]
    inputs = []
    kinds = (np.float32, np.int64, np.int32, np.bool_)
    everything = list(arrays.values()) + [a for _, a in outputs]
    if any(a.dtype not in kinds for a in everything):
        return None
    for value in list(graph.input):  # sizes, limits and the like are constants too
        array = arrays[value.name]
        if array.dtype == np.float32 and array.size and not (parameters and inputs):
            inputs.append(array)
        else:
            graph.initializer.append(numpy_helper.from_array(array, value.name))
            graph.input.remove(value)
    if not inputs:
        graph.input.append(helper.make_tensor_value_info("unread", TensorProto.FLOAT, [1]))
        inputs.append(np.zeros(1, np.float32))
    del graph.output[:]
    for name, array in outputs:
        last = name
        opsets = [o for o in model.opset_import if not o.domain]
        if opsets[0].version > 21:  # the operators meant here are the same in 21
            opsets[0].version = 21
        if array.dtype != np.float32:
            last = name + "_float"
            graph.node.append(helper.make_node("Cast", [name], [last], to=TensorProto.FLOAT))
        graph.output.append(helper.make_tensor_value_info(last, TensorProto.FLOAT, None))
    onnx.save(model, folder / "model.onnx")
    for i, array in enumerate(inputs):
        np.save(folder / f"in{i}.npy", np.ascontiguousarray(array))
    for i, (_, array) in enumerate(outputs):
        np.save(folder / f"out{i}.npy", np.ascontiguousarray(array.astype(np.float32)))
    return ([f"{folder}/in{i}.npy" for i in range(len(inputs))],
            [f"{folder}/out{i}.npy" for i in range(len(outputs))])


def main():
    backend = sys.argv[1]
    program = sys.argv[2] if len(sys.argv) > 2 else "build/tests/helpers/onnx-case"
    counts = collections.Counter()
    for case in sorted(collect_testcases(None), key=lambda case: case.name):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            files = prepare(case, folder)
            if files is None:
                continue
            done = subprocess.run([program, backend, folder / "model.onnx", *files[0], "=",
                                   *files[1]], capture_output=True, text=True)
            outcome = {0: "passed", 4: "refused"}.get(done.returncode, "FAILED")
            counts[outcome] += 1
            if outcome != "passed":
                print(outcome, case.name, (done.stderr or done.stdout).strip(), flush=True)
    print(dict(counts))


if __name__ == "__main__":
    main()
