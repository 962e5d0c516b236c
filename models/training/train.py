"""Train one of the bundled models.

    CELLSTREAM_DATA=... python models/training/train.py --model nuclei --minutes 90

The learning rate follows the wall clock, so the run ends on time on any machine.
Writes OUT/last.pt (to resume) and OUT/ema.pt (averaged weights, to export).
"""
import argparse
import copy
import math
import os
import queue
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

import data
import net
import post

# By kind of image: share of the examples, range of their scales.
NUCLEI = {
    "fluorescence_gray": dict(share=0.58, scales=(0.6, 1.7)),
    "histology_colour": dict(share=0.32, scales=(0.6, 1.6)),
    "brightfield_gray": dict(share=0.10, scales=(0.7, 1.7)),
}
SPHEROID = {
    "cells_phase_contrast": dict(share=0.66, scales=(0.7, 1.4)),
    "spheroid_brightfield_small": dict(share=0.14, scales=(0.7, 3.0)),
    "spheroid_brightfield_large": dict(share=0.12, scales=(0.35, 1.3)),
    "spheroid_fluorescence": dict(share=0.08, scales=(0.3, 1.2)),
}
SETUP = {
    "nuclei": dict(kinds=NUCLEI, size=256, batch=8, rate=3e-3, small=20),
    "spheroid": dict(kinds=SPHEROID, size=448, batch=3, rate=2e-3, small=20),
}


class Sampler:
    """Draws kinds by share; inside a kind, rare kinds of image more often than their number."""

    def __init__(self, items, setup, channels, seed):
        self.setup, self.channels, self.strength = setup, channels, 1.0
        self.rng = np.random.default_rng(seed)
        self.kinds = {}
        for kind in setup["kinds"]:
            own = [i for i in items if i.kind == kind]
            number = {s: sum(i.subkind == s for i in own) for s in {i.subkind for i in own}}
            p = np.array([number[i.subkind] ** -0.35 for i in own])
            self.kinds[kind] = (own, p / p.sum())

    def example(self, seed):
        rng = np.random.default_rng(seed)
        kinds = list(self.setup["kinds"])
        share = np.array([self.setup["kinds"][k]["share"] for k in kinds])
        kind = kinds[rng.choice(len(kinds), p=share / share.sum())]
        items, p = self.kinds[kind]
        item = items[rng.choice(len(items), p=p)]
        return data.sample(item, self.setup["size"], self.setup["kinds"][kind]["scales"], self.channels, rng,
                           self.strength)

    def batch(self):
        seeds = self.rng.integers(2 ** 62, size=self.setup["batch"])
        examples = [self.example(s) for s in seeds]
        x = torch.from_numpy(np.stack([e[0] for e in examples]))
        maps = torch.from_numpy(np.stack([e[1] for e in examples]))
        return x.to(memory_format=torch.channels_last), maps


def loss_of(logits, maps):
    maps = maps.float()
    foreground, distance, weight = maps[:, 0] / 255, maps[:, 1] / 255, maps[:, 2] / 32
    l0, l1 = logits[:, 0], logits[:, 1]
    bce = (F.binary_cross_entropy_with_logits(l0, foreground, reduction="none") * weight).mean()
    p = torch.sigmoid(l0)
    overlap = (p * foreground).sum((1, 2))
    dice = 1 - ((2 * overlap + 50) / (p.sum((1, 2)) + foreground.sum((1, 2)) + 50)).mean()
    relief = (F.binary_cross_entropy_with_logits(l1, distance, reduction="none") * weight).mean() \
        + 2 * ((torch.sigmoid(l1) - distance).abs() * weight).mean()
    return bce + 0.5 * dice + relief


def predict(network, x):
    """Sigmoid outputs (c, y, x) of one image (c, y, x), padded to the stride by reflection."""
    _, h, w = x.shape
    s = network.stride
    x = np.pad(x, ((0, 0), (0, -h % s), (0, -w % s)), mode="reflect")
    x = torch.from_numpy(x)[None].to(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        y = network(x)
    return torch.sigmoid(y.float())[0, :, :h, :w].numpy()


def evaluate(model, network, items):
    network.eval()
    score = {}
    for item in items:
        p = predict(network, data.normalised(item, network.cin))
        if model == "nuclei":
            labels = post.instances(post.quantise(p[0]), post.quantise(p[1]), seed_depth=0.2)
            value = post.average_precision(item.labels, labels)
        else:
            value = post.foreground_iou(item.labels, p[0] > 0.5)
        score.setdefault(item.kind, []).append(value)
        score.setdefault("all", []).append(value)
    return {k: float(np.mean(v)) for k, v in sorted(score.items())}


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--model", choices=net.CONFIGS, required=True)
    ap.add_argument("--minutes", type=float, default=90)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--out", type=Path, default=Path("out"))
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--resume", action="store_true")
    ap.add_argument("--validate-every", type=float, default=6, help="minutes")
    args = ap.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    cv2.setNumThreads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    setup = SETUP[args.model]
    network = net.make(args.model).to(memory_format=torch.channels_last)
    average = copy.deepcopy(network)
    decay, plain = [], []
    for p in network.parameters():
        (decay if p.ndim > 1 else plain).append(p)
    optimiser = torch.optim.AdamW([dict(params=decay, weight_decay=0.02),
                                   dict(params=plain, weight_decay=0)], lr=setup["rate"])
    step, spent = 0, 0.0
    if args.resume:
        state = torch.load(args.out / "last.pt")
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent = state["step"], state["spent"]

    train, val = data.load(args.model, "train"), data.load(args.model, "val")
    for item in train:
        item.maps = data.targets(item.labels, setup["small"])
    sampler = Sampler(train, setup, network.cin, args.seed + step)
    ready = queue.Queue(maxsize=3)

    def fill():
        while True:
            ready.put(sampler.batch())

    threading.Thread(target=fill, daemon=True).start()

    begin = time.monotonic() - spent * 60
    last_check = time.monotonic()
    total, seen = 0.0, 0
    while True:
        minutes = (time.monotonic() - begin) / 60
        done = minutes / args.minutes
        if done < 1:
            rate = setup["rate"] * min(1, (step + 1) / 300) * (0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * done)))
            for group in optimiser.param_groups:
                group["lr"] = rate
            sampler.strength = 1.0 if done < 0.8 else 0.4  # end on images closer to real ones
            x, maps = ready.get()
            network.train()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = network(x)
            loss = loss_of(logits.float(), maps)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
            optimiser.step()
            step += 1
            total, seen = total + loss.item(), seen + 1
            with torch.no_grad():
                keep = min(0.999, 1 - 1 / (1 + step / 5))
                torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - keep)
                for a, b in zip(average.buffers(), network.buffers()):
                    a.copy_(a + (b - a) * (1 - keep) if a.is_floating_point() else b)
        if done >= 1 or time.monotonic() - last_check > args.validate_every * 60:
            score = evaluate(args.model, average, val)
            text = " ".join(f"{k}={v:.4f}" for k, v in score.items())
            print(f"{minutes:.1f} min, step {step}, loss {total / max(seen, 1):.4f}, {text}", flush=True)
            total, seen, last_check = 0.0, 0, time.monotonic()
            state = dict(network=network.state_dict(), average=average.state_dict(),
                         optimiser=optimiser.state_dict(), step=step, spent=minutes)
            for name, content in (("last.pt", state), ("ema.pt", average.state_dict())):
                torch.save(content, args.out / (name + ".part"))
                os.replace(args.out / (name + ".part"), args.out / name)
            if done >= 1:
                break


if __name__ == "__main__":
    main()
