# SPDX-License-Identifier: MIT
"""Run by bench/rivals: one image through each engine in turn, ROUNDS times; medians in ms.

Engines wait for each other, so that none runs beside another; each has had one run to warm up.
"""
import argparse
import importlib.util
import os
import pathlib
import statistics
import subprocess
import tempfile
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


def compile_openvino(path, image, threads, hint):
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape(image.shape)
    return core.compile_model(model, "CPU", {
        "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": hint,
        "INFERENCE_NUM_THREADS": threads})


def open_vino(threads, cpu_time):
    def open_model(path, _, image):
        request = compile_openvino(path, image, threads, "LATENCY").create_infer_request()
        return timed(lambda: request.infer([image]), cpu_time)
    return open_model


def open_vino_throughput(threads, cpu_time):
    """Its own choice of requests at once, each with one image; time of one image."""
    def open_model(path, _, image):
        queue = openvino.AsyncInferQueue(compile_openvino(path, image, threads, "THROUGHPUT"))
        count = 2 * len(queue)

        def infer():
            for _ in range(count):
                queue.start_async([image])
            queue.wait_all()
        run = timed(infer, cpu_time)
        return lambda: run() / count
    return open_model


def ncnn_(threads, cpu_time):
    """Converted by pnnx; all in fp32, which is not its default."""
    import ncnn
    converter = pathlib.Path(importlib.util.find_spec("pnnx").origin).with_name("pnnx")

    def open_model(path, _, image):
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder, "model.onnx")
            model.symlink_to(os.path.abspath(path))
            shape = ",".join(map(str, image.shape))
            subprocess.run([converter, model, f"inputshape=[{shape}]", "fp16=0"], check=True,
                           cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            net = ncnn.Net()
            net.opt.num_threads = threads
            for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage",
                         "bf16_packed"):
                if hasattr(net.opt, f"use_{name}"):
                    setattr(net.opt, f"use_{name}", False)
            if net.load_param(f"{folder}/model.ncnn.param") or \
                    net.load_model(f"{folder}/model.ncnn.bin"):
                raise RuntimeError("ncnn does not load what pnnx made")
        mat = ncnn.Mat(image[0])

        def infer():
            extractor = net.create_extractor()
            extractor.input("in0", mat)
            extractor.extract("out0")[1].numpy()
        return timed(infer, cpu_time)
    return open_model


ENGINES = {"onnxruntime": onnx_runtime, "openvino": open_vino,
           "openvino-throughput": open_vino_throughput, "ncnn": ncnn_}


def measure(path, size, threads, args):
    channels = onnxruntime.InferenceSession(path).get_inputs()[0].shape[1]
    channels = channels if isinstance(channels, int) else 3
    image = numpy.random.default_rng(1).standard_normal((1, channels, size, size), numpy.float32)
    runs = {"cellstream": ours(args.program, threads, args.cpu_time)(path, size, image)}
    for name in args.engines.split(","):
        try:
            runs[name] = ENGINES[name](threads, args.cpu_time)(path, size, image)
        except (ImportError, AttributeError, subprocess.CalledProcessError, RuntimeError) as why:
            print(f"left out: {name}: {str(why).splitlines()[0]}")
    times = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(args.rounds):
        for name, run in runs.items():
            times[name].append(run())
    medians = {name: statistics.median(values) for name, values in times.items()}
    line = "  ".join(f"{name} {medians[name]:.1f} ({min(times[name]):.1f})" for name in times)
    best = min((name for name in medians if name != "cellstream"), key=medians.get, default=None)
    ratio = f"  cellstream/{best} {medians['cellstream'] / medians[best]:.3f}" if best else ""
    print(f"{path.rsplit('/', 1)[-1]} {size}, {threads} threads: {line}{ratio}", flush=True)


def main():
    everything = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="rivals")
    parser.add_argument("--program", required=True)
    parser.add_argument("-t", "--threads", default="all", help="list of numbers, or all")
    parser.add_argument("-s", "--sizes", default="1024", help="list, for models without :SIZE")
    parser.add_argument("-e", "--engines", default=",".join(ENGINES))
    parser.add_argument("-r", "--rounds", type=int, default=5)
    parser.add_argument("-c", "--cpu-time", action="store_true",
                        help="processor time, for one thread on a busy machine")
    parser.add_argument("models", nargs="+")
    args = parser.parse_args()
    print(f"onnxruntime {onnxruntime.__version__}, openvino {openvino.__version__}, fp32; "
          f"{'processor' if args.cpu_time else 'elapsed'} time of an image, "
          f"median (best) in ms of {args.rounds}")
    for threads in args.threads.split(","):
        for model in args.models:
            path, _, size = model.partition(":")
            for side in [size] if size else args.sizes.split(","):
                measure(path, int(side), everything if threads == "all" else int(threads), args)


if __name__ == "__main__":
    main()
