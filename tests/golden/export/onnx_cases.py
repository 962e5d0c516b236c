#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the ONNX project's own node cases and run them: `onnx_cases.py FOLDER [-d ref|cpu]`.

They come with the Python package `onnx`. Each becomes FOLDER/NAME with model.onnx and
test_data_set_N, and build/tests/onnx-case runs them all. The goal is that all cases pass whose
operators are on OPERATORS and whose tensors are float32, int64 or bool, and that every other one
passes or is refused with a reason. Prints the cases of the goal with -l; exit status 1 when one of
them does not pass, or when any other fails.
"""
import argparse
import collections
import pathlib
import subprocess
import sys

import numpy as np
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

OPERATORS = set("""Conv ConvTranspose BatchNormalization InstanceNormalization GroupNormalization
LayerNormalization Relu LeakyRelu PRelu Clip HardSwish HardSigmoid Sigmoid Softmax Tanh Elu Softplus
Gelu Erf Mish Exp Log Sqrt Pow Abs Neg Add Sub Mul Div Max Min MatMul Gemm Concat Split Slice Pad
Transpose Reshape Flatten Squeeze Unsqueeze Expand Tile Gather GatherND Shape Constant
ConstantOfShape Cast Identity Dropout MaxPool AveragePool GlobalAveragePool GlobalMaxPool ReduceMean
ReduceMax ReduceMin ReduceSum ReduceL2 ArgMax Resize Upsample DepthToSpace SpaceToDepth Where Equal
Range""".split())
TYPES = set("float32 int64 bool".split())
# Training: a network that runs has none.
BEYOND = set("""test_batchnorm_epsilon_training_mode test_batchnorm_example_training_mode
test_training_dropout test_training_dropout_default test_training_dropout_default_mask
test_training_dropout_mask""".split())


def is_array(value):
    return isinstance(value, (np.ndarray, np.generic))


def is_goal(case):
    arrays = [a for data in case.data_sets for side in data for a in side]
    return (case.name not in BEYOND and
            all(n.op_type in OPERATORS and not n.domain for n in case.model.graph.node) and
            all(is_array(a) and np.asarray(a).dtype.name in TYPES for a in arrays))


def write(case, folder):
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(case.model.SerializeToString())
    for i, data in enumerate(case.data_sets):
        where = folder / f"test_data_set_{i}"
        where.mkdir()
        for what, values in zip(("input", "output"), data):
            for k, value in enumerate(values):
                if is_array(value):
                    proto = numpy_helper.from_array(np.asarray(value), f"{what}_{k}")
                elif hasattr(value, "SerializeToString"):
                    proto = value
                else:  # sequences and optionals, which no tensor can hold
                    continue
                (where / f"{what}_{k}.pb").write_bytes(proto.SerializeToString())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("-d", "--device", default="ref")
    parser.add_argument("-l", "--list", action="store_true", help="print the cases of the goal")
    parser.add_argument("--program", default="build/tests/onnx-case")
    options = parser.parse_args()
    cases = sorted(collect_testcases(None), key=lambda case: case.name)
    goal = {case.name for case in cases if is_goal(case)}
    if options.list:
        print("\n".join(sorted(goal)))
    print(f"{len(cases)} cases, {len(goal)} of them of the goal")
    for case in cases:
        if not (options.folder / case.name).exists():
            write(case, options.folder / case.name)
    done = subprocess.run([options.program, "-d", options.device,
                           *(str(options.folder / case.name) for case in cases)],
                          stdout=subprocess.PIPE, text=True)
    counts, bad = collections.Counter(), 0
    for line in done.stdout.splitlines():
        outcome, name, *reason = line.split(" ", 2)
        if name not in goal and not name.startswith("test_"):
            continue
        counts[outcome, name in goal] += 1
        if outcome == "fail" or (name in goal and outcome != "pass"):
            print(line)
            bad += 1
    for (outcome, in_goal), count in sorted(counts.items()):
        print(f"{count} {outcome} {'of the goal' if in_goal else 'of the others'}")
    return bad > 0 or sum(counts.values()) != len(cases)


if __name__ == "__main__":
    sys.exit(main())
