#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a batch costs a program in PyTorch: the networks of the paper as its users write them.

    peer.py time PRESET [FRACTION] [--shortcuts TOLERANCE] [--network FILE] [--data DIR]

Weights are dense float32 matrices, every step computes every product anew, and all steps are done. One batch of 64
random sparse inputs: free phase, nudged phase, contrast, momentum, flips. Prints "PRESET seconds_per_batch X". With a
FRACTION of the steps (8+4 at least), what the others would take is extrapolated, and the line says so.

With --shortcuts it is what a good engineer makes of that: the drive of the first layer is computed once a batch, a
phase ends for the batch when a step changes no state by more than TOLERANCE, and updates are made in place. How long
that takes depends on the network: --network takes the weights of a file that bnnep-train wrote, --data the first
images of MNIST. The line then says how many steps were done.

Threads: NT in the environment, 2 by default. DEVICE in the environment, such as cuda, computes there, in float32,
without TF32. Needs PyTorch (Debian: python3-torch).
"""
import argparse
import gzip
import json
import os
import struct
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

BATCH = 64
# Layers input first: units, or channels of convolutions with kernels of 5; T, Kmax and beta of the paper's commands.
PRESETS = {
    "mnist-fc1": dict(units=[784, 4096, 10], steps=(50, 10), beta=0.3),
    "mnist-fc2": dict(units=[784, 4096, 4096, 10], steps=(250, 10), beta=0.3),
    "mnist-conv": dict(channels=[1, 32, 64], edge=28, padding=2, pool=2, units=[10], steps=(150, 10), beta=0.3),
    "cifar10-conv": dict(
        channels=[3, 64, 128, 256, 256], edge=32, padding=2, pool=2, units=[10], steps=(150, 10), beta=0.3
    ),
    "mnist-fc1-bin": dict(units=[784, 8192, 100], steps=(20, 10), beta=2.0, binary=True),
    "mnist-fc2-bin": dict(units=[784, 8192, 8192, 6000], steps=(30, 10), beta=2.0, binary=True),
    "mnist-conv-bin": dict(
        channels=[1, 256, 512], edge=28, padding=1, pool=3, units=[700], steps=(100, 50), beta=1.0, binary=True
    ),
}
CLASSES, KERNEL, THETA, LEAK = 10, 5, 0.5, 0.5
GAMMA = THRESHOLD = LR_BIAS = 1e-6


class Linear:
    """A fully connected layer: a flattened map in, units out."""

    def __init__(self, inputs, units):
        alpha = 0.5 / inputs**0.5
        self.weight = torch.empty(units, inputs).bernoulli_().mul_(2 * alpha).sub_(alpha)
        self.bias = torch.zeros(units)
        self.shape = (units,)

    def forward(self, below):
        return F.linear(below.flatten(1), self.weight, self.bias), None

    def feedback(self, above, pooled):
        return above @ self.weight

    def correlate(self, below, above, pooled):
        return above.t() @ below.flatten(1), above.sum(0)


class Convolution:
    """A convolution and max-pooling; `pooled` is what the pooling took, and the shape before it."""

    def __init__(self, inputs, channels, edge, padding, pool):
        alpha = 0.5 / (inputs * KERNEL**2) ** 0.5
        self.weight = torch.empty(channels, inputs, KERNEL, KERNEL).bernoulli_().mul_(2 * alpha).sub_(alpha)
        self.bias = torch.zeros(channels)
        self.padding, self.pool = padding, pool
        self.edge = (edge + 2 * padding - KERNEL + 1) // pool
        self.shape = (channels, self.edge, self.edge)

    def forward(self, below):
        maps = F.conv2d(below, self.weight, self.bias, padding=self.padding)
        value, places = F.max_pool2d(maps, self.pool, return_indices=True)
        return value, (places, maps.shape)

    def unpool(self, above, pooled):
        return F.max_unpool2d(above, pooled[0], self.pool, output_size=pooled[1])

    def feedback(self, above, pooled):
        return F.conv_transpose2d(self.unpool(above, pooled), self.weight, padding=self.padding)

    def correlate(self, below, above, pooled):
        maps = self.unpool(above, pooled)
        kernel = F.conv2d(below.transpose(0, 1), maps.transpose(0, 1), padding=self.padding)
        return kernel.transpose(0, 1), maps.sum((0, 2, 3))


class Network:
    def __init__(self, units, steps, beta, channels=(), edge=0, padding=0, pool=1, binary=False):
        self.steps, self.beta, self.binary, self.convolutional = steps, beta, binary, len(channels) > 0
        self.input = (channels[0], edge, edge) if channels else (units[0],)
        self.layers = []
        for inputs, outputs in zip(channels, channels[1:]):
            self.layers.append(Convolution(inputs, outputs, edge, padding, pool))
            edge = self.layers[-1].edge
        widths = [channels[-1] * edge**2, *units] if channels else units
        self.layers += [Linear(*pair) for pair in zip(widths, widths[1:])]
        self.momenta = [torch.zeros_like(layer.weight) for layer in self.layers]

    def activations(self, x, states):
        return [x] + ([(s >= THETA).float() for s in states] if self.binary else states)

    def step(self, x, states, target=None, beta=0.0, prediction=None):
        """The states after a step, and what the poolings took in it."""
        a = self.activations(x, states)
        pulls = [layer.forward(below) for layer, below in zip(self.layers, a)]
        after = []
        for k, (state, (pull, _)) in enumerate(zip(states, pulls)):
            output = k + 1 == len(states)
            if not output:
                pull = pull + self.layers[k + 1].feedback(a[k + 2], pulls[k + 1][1]).view_as(pull)
            nudge = None
            if output and target is not None:
                nudge = beta * (target - (state if prediction is None else prediction))
            after.append(self.move(state, pull, nudge))
        return after, [pooled for _, pooled in pulls]

    def move(self, state, pull, nudge):
        if self.binary:
            pull = pull * ((state - THETA).abs() <= 0.5)
            pull = pull if nudge is None else pull + nudge
            return ((1 - LEAK) * state + LEAK * pull).clamp_(0, 1)
        state = pull.clamp_(0, 1)
        if nudge is None:
            return state
        return state + nudge if self.convolutional else (state + nudge).clamp_(0, 1)

    def relax(self, x, states, steps, **nudge):
        for _ in range(steps):
            states, pooled = self.step(x, states, **nudge)
        return states, pooled

    def correlations(self, x, states, pooled):
        a = self.activations(x, states)
        return [layer.correlate(a[k], a[k + 1], pooled[k]) for k, layer in enumerate(self.layers)]

    def learn(self, free, nudged):
        gain = 1 / (self.beta * BATCH)
        beyond = torch.ge if self.convolutional else torch.gt
        for k, layer in enumerate(self.layers):
            (weight, bias), (weight_free, bias_free) = nudged[k], free[k]
            self.momenta[k].mul_(1 - GAMMA).add_(weight.sub_(weight_free), alpha=GAMMA * gain)
            layer.weight = layer.weight.where(~beyond(-layer.weight.sign() * self.momenta[k], THRESHOLD), -layer.weight)
            layer.bias += LR_BIAS * gain * (bias - bias_free)

    def train(self, x, target, free_steps, nudged_steps):
        start = 1.0 if self.binary else 0.5 if self.convolutional else 0.0
        states = [torch.full((BATCH, *layer.shape), start) for layer in self.layers]
        free, pooled_free = self.relax(x, states, free_steps)
        prediction = free[-1] if self.binary and self.convolutional else None
        nudge = dict(target=target, beta=self.beta, prediction=prediction)
        nudged, pooled = self.relax(x, free, nudged_steps, **nudge)
        self.learn(self.correlations(x, free, pooled_free), self.correlations(x, nudged, pooled))


class ShortNetwork(Network):
    """With the shortcuts that PyTorch allows."""

    def __init__(self, tolerance, **preset):
        super().__init__(**preset)
        self.tolerance, self.drive, self.done = tolerance, None, []

    def step(self, x, states, target=None, beta=0.0, prediction=None):
        a = self.activations(x, states)
        pulls = [self.drive] + [layer.forward(below) for layer, below in zip(self.layers[1:], a[1:])]
        after = []
        for k, (state, (pull, _)) in enumerate(zip(states, pulls)):
            nudge = None
            if k + 1 < len(states):
                pull = pull + self.layers[k + 1].feedback(a[k + 2], pulls[k + 1][1]).view_as(pull)
            elif target is not None:
                nudge = beta * (target - (state if prediction is None else prediction))
            else:
                pull = pull.clone()  # the drive is kept
            after.append(self.move(state, pull, nudge))
        return after, [pooled for _, pooled in pulls]

    def relax(self, x, states, steps, **nudge):
        if not nudge or nudge["target"] is None:
            self.drive, self.done = self.layers[0].forward(x), []
        done = 0
        for done in range(1, steps + 1):
            before = states
            states, pooled = self.step(x, states, **nudge)
            if max((s - b).abs_().max().item() for s, b in zip(states, before)) <= self.tolerance:
                break
        self.done.append(done)
        return states, pooled

    def learn(self, free, nudged):
        gain = 1 / (self.beta * BATCH)
        beyond = torch.ge if self.convolutional else torch.gt
        for layer, momentum, (weight, bias), (weight_free, bias_free) in zip(self.layers, self.momenta, nudged, free):
            momentum.mul_(1 - GAMMA).add_(weight.sub_(weight_free), alpha=GAMMA * gain)
            pull = torch.sign(layer.weight, out=weight).neg_().mul_(momentum)
            layer.weight.mul_(beyond(pull, THRESHOLD).to(weight.dtype).mul_(-2).add_(1))
            layer.bias.add_(bias.sub_(bias_free), alpha=LR_BIAS * gain)


def load_weights(net, path):
    """Signs, scaling factors and biases of a network file of libbnnep, a safetensors file."""
    data = Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    if json.loads(header["__metadata__"]["network"]).get("feedback"):
        sys.exit(f"{path}: feeds back weaker than the program that this one is compared with")

    def tensor(name, dtype):
        begin, end = header[name]["data_offsets"]
        return np.frombuffer(data[8 + length + begin : 8 + length + end], dtype)

    for k, layer in enumerate(net.layers):
        alpha = torch.from_numpy(tensor(f"connection.{k}.alpha", np.float32).copy())
        rows = layer.weight.shape[0]
        bits = np.unpackbits(tensor(f"connection.{k}.signs", np.uint8).reshape(rows, -1), axis=1, bitorder="little")
        signs = bits[:, : layer.weight[0].numel()].astype(np.float32) * 2 - 1
        scale = alpha.view(-1, *[1] * (layer.weight.dim() - 1))
        layer.weight = torch.from_numpy(signs).view_as(layer.weight).mul_(scale).to(layer.weight.device)
        layer.bias = torch.from_numpy(tensor(f"connection.{k}.bias", np.float32).copy()).to(layer.weight.device)


def load_images(folder, shape):
    path = Path(folder) / "train-images-idx3-ubyte"
    data = path.read_bytes() if path.exists() else gzip.open(f"{path}.gz").read()
    pixels = np.frombuffer(data, np.uint8, BATCH * 784, offset=16).astype(np.float32) / 255
    return torch.from_numpy(pixels).view(BATCH, *shape)


def time_batch(options):
    name, fraction, preset = options.preset, options.fraction, PRESETS[options.preset]
    short = options.shortcuts is not None
    net = ShortNetwork(options.shortcuts, **preset) if short else Network(**preset)
    if options.network:
        load_weights(net, options.network)
    x = torch.rand(BATCH, *net.input) * (torch.rand(BATCH, *net.input) > 0.8)
    if options.data:
        x = load_images(options.data, net.input).to(x.device)
    target = F.one_hot(torch.arange(BATCH) % CLASSES, CLASSES).float()
    target = target.repeat_interleave(preset["units"][-1] // CLASSES, 1)

    def seconds(*steps):
        started = time.perf_counter()
        net.train(x, target, *steps)
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter() - started

    # Enough steps for their time to show beside that of the update.
    some = [min(steps, max(least, int(steps * fraction))) for steps, least in zip(net.steps, (8, 4))]
    seconds(2, 2)
    few = min(seconds(2, 2), seconds(2, 2)) if fraction < 1 else 0.0
    taken, note = seconds(*some), ""
    if fraction < 1:
        taken = few + (taken - few) / (sum(some) - 4) * (sum(net.steps) - 4)
        note = f" (from {some[0]}+{some[1]} of {net.steps[0]}+{net.steps[1]} steps)"
    elif short:
        note = f" ({'+'.join(map(str, net.done))} of {net.steps[0]}+{net.steps[1]} steps)"
    print(f"{name} seconds_per_batch {taken:.4f}{note}", flush=True)


def main():
    parser = argparse.ArgumentParser(description="What a batch costs a program in PyTorch.")
    parser.add_argument("time", choices=["time"])
    parser.add_argument("preset", choices=PRESETS)
    parser.add_argument("fraction", nargs="?", type=float, default=1.0, help="do this part of the steps, and extrapolate")
    parser.add_argument("--shortcuts", type=float, metavar="TOLERANCE", help="end phases there; see the source")
    parser.add_argument("--network", help="a network file of libbnnep")
    parser.add_argument("--data", help="a folder with MNIST")
    options = parser.parse_args()
    if options.shortcuts is not None and options.fraction != 1:
        parser.error("with --shortcuts phases end by themselves: no fraction")
    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ.get("NT", "2")))
    if "DEVICE" in os.environ:
        torch.set_default_device(os.environ["DEVICE"])
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with torch.no_grad():
        time_batch(options)


if __name__ == "__main__":
    main()
