#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Networks of other families against double precision: `zoo_check.py [-b BACKENDS] [--direct] DIR`.

DIR was written by zoo_export.py. Prints one line for each network and exporter: opset, nodes, and
for each backend the runs that were made, the error of the worst output, ONNX Runtime's of the same
output, and the ratio of the two, which may be at most 2 by direct convolutions (--direct) and on
"ref", else 4. Rounding errors of one image scatter by chance, so that an error is the root of the
mean square over the runs. Ends with the number of networks that pass on all backends; the exit
status is 1 when that is not all of them.
"""
import argparse
import json
import math
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]


def run_one(helper, direct, backend, folder, entry, run):
    """The errors of the outputs, or the reason why not."""
    model, key = folder / entry["model"], run["key"]
    expected = [folder / f"{key}-expected-{i}.npy" for i in range(len(run["onnxruntime"]))]
    done = subprocess.run([helper, *direct, backend, model, folder / f"{key}-input.npy", *expected],
                          capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr or done.stdout or f"status {done.returncode}").strip()
    return [float(e) for e in done.stdout.split()]


def mean(runs, output):
    return math.sqrt(sum(run[output] ** 2 for run in runs) / len(runs))


def compare(results, rivals):
    """(worst ratio, its error, ONNX Runtime's) of the outputs."""
    pairs = [(mean(results, i), mean(rivals, i)) for i in range(len(rivals[0]))]
    return max((ours / max(rival, 1e-9), ours, rival) for ours, rival in pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-b", "--backends", default="cpu,ref")
    parser.add_argument("--direct", action="store_const", const=["--direct"], default=[])
    parser.add_argument("--only", help="a part of the name")
    parser.add_argument("--helper", default=ROOT / "build/tests/helpers/net-error")
    parser.add_argument("dir", type=pathlib.Path)
    args = parser.parse_args()
    entries = json.loads((args.dir / "zoo.json").read_text())
    passed = {}
    for name, entry in sorted(entries.items()):
        if args.only and not re.search(args.only, name):
            continue
        if "runs" not in entry:
            print(f"{name:32} not exported: {entry['failure']}")
            continue
        line = f"{name:32} opset {entry['opset']} nodes {entry['nodes']:4}"
        good = bool(entry["runs"])
        for backend in args.backends.split(","):
            results = [run_one(args.helper, args.direct, backend, args.dir, entry, run)
                       for run in entry["runs"]]
            reasons = [r for r in results if isinstance(r, str)]
            if reasons:
                line += f" | {backend} fail: {reasons[0]}"
                good = False
            elif results:
                ratio, error, rival = compare(results, [r["onnxruntime"] for r in entry["runs"]])
                good = good and ratio <= (2 if args.direct or backend == "ref" else 4)
                line += (f" | {backend} {len(results)} runs, error {error:.1e}, ONNX Runtime "
                         f"{rival:.1e}, ratio {ratio:.2f}")
        print(line, "| pass" if good else "| fail", flush=True)
        network = entry["network"]
        passed[network] = passed.get(network, True) and good
    print(f"{sum(passed.values())} of {len(passed)} networks pass")
    return not all(passed.values())


if __name__ == "__main__":
    sys.exit(main())
