# SPDX-License-Identifier: MIT
"""Run by bench/rivals: one image through each engine in turn, ROUNDS times; medians in ms.

Engines wait for each other, so that none runs beside another; each has had one run to warm up.
"""
import argparse
import os
import statistics
import subprocess
import time

import numpy
import onnxruntime
import openvino


def ours(program, threads, cpu_time):
    def open_model(path, size, _):
        flags = ["-i", "-t", str(threads)] + (["-c"] if cpu_time else [])
        child = subprocess.Popen([program, *flags, f"{path}:{size}"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def run():
            child.stdin.write("\n")
            child.stdin.flush()
            return float(child.stdout.readline())
        return run
    return open_model


def timed(call, cpu_time):
    clock = time.process_time if cpu_time else time.perf_counter

    def run():
        start = clock()
        call()
        return (clock() - start) * 1e3
    return run


def onnx_runtime(threads, cpu_time):
    def open_model(path, _, image):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Its threads must not spin while the others run.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: image}
        return timed(lambda: session.run(None, feed), cpu_time)
    return open_model


def open_vino(threads, cpu_time):
    def open_model(path, _, image):
        core = openvino.Core()
        model = core.read_model(path)
        model.reshape(image.shape)
        compiled = core.compile_model(model, "CPU", {
            "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads})
        request = compiled.create_infer_request()
        return timed(lambda: request.infer([image]), cpu_time)
    return open_model


def main():
    parser = argparse.ArgumentParser(prog="rivals")
    parser.add_argument("--program", required=True)
    parser.add_argument("-t", "--threads", type=int, default=0)
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-c", "--cpu-time", action="store_true",
                        help="processor time, for one thread on a busy machine")
    parser.add_argument("models", nargs="+")
    args = parser.parse_args()
    if not args.threads:
        args.threads = len(os.sched_getaffinity(0))
    print(f"onnxruntime {onnxruntime.__version__}, openvino {openvino.__version__}, "
          f"{args.threads} threads, {'processor' if args.cpu_time else 'elapsed'} time; median (best) in ms of {args.rounds}")
    for model in args.models:
        path, _, size = model.partition(":")
        size = int(size or 1024)
        channels = onnxruntime.InferenceSession(path).get_inputs()[0].shape[1]
        channels = channels if isinstance(channels, int) else 3
        image = numpy.random.default_rng(1).standard_normal((1, channels, size, size), numpy.float32)
        engines = {"cellstream": ours(args.program, args.threads, args.cpu_time),
                   "onnxruntime": onnx_runtime(args.threads, args.cpu_time),
                   "openvino": open_vino(args.threads, args.cpu_time)}
        runs = {name: make(path, size, image) for name, make in engines.items()}
        times = {name: [] for name in runs}
        for run in runs.values():
            run()
        for _ in range(args.rounds):
            for name, run in runs.items():
                times[name].append(run())
        medians = {name: statistics.median(values) for name, values in times.items()}
        line = "  ".join(f"{name} {medians[name]:.1f} ({min(times[name]):.1f})" for name in times)
        ratio = medians["cellstream"] / medians["openvino"]
        print(f"{path.rsplit('/', 1)[-1]} {size}: {line}  cellstream/openvino {ratio:.3f}",
              flush=True)


if __name__ == "__main__":
    main()
