# SPDX-License-Identifier: MIT
"""Run by bench/gpu: the three networks in PyTorch on the same device, images a second.

Modes: eager with channels last, the same compiled, and the same replayed as a CUDA graph; fp16 on a
GPU, fp32 on a CPU. The network alone is timed, with its input and output on the device: no copies
of images, which CellStream's figures include. Weights are random, from seeds. A line a measurement,
tabs between: network, "pytorch MODE", batch, images a second; or "failed: REASON".
"""
import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/golden/export"))
try:
    import torch
    import networks
except ImportError as error:
    sys.exit(f"left out: {error}")

MODELS = {"unet": networks.UNet, "cbam_resunet": networks.CbamResUNet, "hrnet": networks.HRNet}


def eager(model, x):
    return lambda: model(x)


def compiled(model, x):
    fast = torch.compile(model)
    return lambda: fast(x)


def graph(model, x):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            model(x)
    torch.cuda.current_stream().wait_stream(side)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        model(x)
    return captured.replay


MODES = {"eager": eager, "graph": graph, "compiled": compiled}


def rate(run, batch, device, seconds, end):
    """For at least `seconds` and three rounds, but not beyond `end`."""
    def wait():
        if device == "cuda":
            torch.cuda.synchronize()
    for _ in range(3):
        run()
    wait()
    start, runs = time.perf_counter(), 0
    while runs < 3 or time.perf_counter() - start < seconds:
        run()
        runs += 1
        if runs % 3 == 0:
            wait()
        if time.monotonic() > end:
            break
    wait()
    return runs * batch / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--modes", default="eager,graph,compiled")
    parser.add_argument("--batches", default="1,2,4,8")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--width", type=int, default=0, help="of the networks; 0: their own")
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--budget", type=float, default=240, help="seconds in all")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("left out: PyTorch finds no GPU")
    torch.backends.cudnn.benchmark = True
    dtype = torch.float16 if options.device == "cuda" else torch.float32
    print(f"# PyTorch {torch.__version__}, CUDA {torch.version.cuda}, {dtype}, channels last")
    end = time.monotonic() + options.budget
    for mode in options.modes.split(","):
        for name, make in MODELS.items():
            torch.manual_seed(1)
            model = make(**({"width": options.width} if options.width else {}))
            model = model.eval().to(options.device, dtype, memory_format=torch.channels_last)
            for batch in map(int, options.batches.split(",")):
                result = "left out: no time"
                if time.monotonic() < end:
                    x = torch.rand(batch, 3, options.size, options.size).to(
                        options.device, dtype, memory_format=torch.channels_last)
                    try:
                        with torch.inference_mode():
                            run = MODES[mode](model, x)
                            result = f"{rate(run, batch, options.device, options.seconds, end):.2f}"
                    except Exception as error:  # one mode's failure is a result
                        result = f"failed: {str(error).splitlines()[0] if str(error) else type(error)}"
                print(f"{name}\tpytorch {mode}\t{batch}\t{result}", flush=True)


main()
