#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Trains the paper's networks with full-precision weights: what binary ones are compared with.

    float.py PRESET --data DIR [--epochs N] [--seed N] [--train-limit N] [--test-limit N] [--rates X...]

The dynamics are those of bench/peer.py with its shortcuts, in PyTorch. Weights are float32, drawn uniformly from
+-1/sqrt(inputs), and follow the contrast by plain gradient descent, without momentum or decay: W += rate * contrast / (beta
* batch). The sign of beta is drawn for each batch. A phase ends for the batch when a step changes no state by more than
--tolerance. Images are read and normalised by libbnnep, and those of CIFAR-10 mirrored and cropped as it does, at random.
Prints a line an epoch: errors in percent.

Needs PyTorch (Debian: python3-torch) and the module bnnep (PYTHONPATH, BNNEP_LIBRARY). Threads: NT in the environment,
2 by default; DEVICE, such as cuda.
"""
import argparse
import os
import time

import numpy as np
import torch
import torch.nn.functional as F

from bnnep import Dataset, Part, Transform
from peer import BATCH, CLASSES, PRESETS, ShortNetwork

# Rates of the layers, input first, as in the papers whose networks these are: Scellier and Bengio 2017 (two rates for one
# hidden layer, three for two), Ernoult et al. 2019 (convolutions on MNIST), Laborieux et al. 2021 (CIFAR-10).
RATES = {
    "mnist-fc1": [0.1, 0.05],
    "mnist-fc2": [0.4, 0.1, 0.01],
    "mnist-conv": [0.15, 0.035, 0.015],
    "cifar10-conv": [0.25, 0.15, 0.1, 0.08, 0.05],
}


class FloatNetwork(ShortNetwork):
    def __init__(self, tolerance, rates, **preset):
        super().__init__(tolerance, **preset)
        self.rates = rates
        for layer in self.layers:
            layer.weight.uniform_(-1, 1).div_(layer.weight[0].numel() ** 0.5)

    def learn(self, free, nudged):
        for layer, rate, (weight, bias), (weight_free, bias_free) in zip(self.layers, self.rates, nudged, free):
            layer.weight.add_(weight.sub_(weight_free), alpha=rate / (self.beta * BATCH))
            layer.bias.add_(bias.sub_(bias_free), alpha=rate / (self.beta * BATCH))

    def settle(self, x):
        states = [torch.full((len(x), *layer.shape), 0.5 if self.convolutional else 0.0) for layer in self.layers]
        return self.relax(x, states, self.steps[0])

    def learn_batch(self, x, target, beta):
        """Returns how many images were wrong after the free phase."""
        self.beta = beta
        free, pooled_free = self.settle(x)
        nudged, pooled = self.relax(x, free, self.steps[1], target=target, beta=beta)
        self.learn(self.correlations(x, free, pooled_free), self.correlations(x, nudged, pooled))
        return wrong(free[-1], target)


def wrong(outputs, target):
    return (outputs.argmax(1) != target.argmax(1)).sum().item()


def load(folder, part, limit, shape):
    data = Dataset.open(folder, part)
    count = min(limit or len(data), len(data))
    if shape[0] == 3:
        data = data.transformed(Transform.cifar10(Part.TEST))
    inputs, labels = data.read(0, count)
    target = F.one_hot(torch.from_numpy(np.array(labels)).long(), CLASSES).float()
    return torch.from_numpy(np.array(inputs)).view(count, *shape), target


def augment(x, draws):
    """Mirrors half of the images, and crops all at random after their edges were repeated 4 times."""
    out = torch.empty_like(x)
    edge = F.pad(x, (4, 4, 4, 4), mode="replicate")
    for n in range(len(x)):
        top, left = torch.randint(9, (2,), generator=draws, device="cpu")
        image = edge[n, :, top : top + x.shape[2], left : left + x.shape[3]]
        out[n] = image.flip(2) if torch.rand(1, generator=draws, device="cpu") < 0.5 else image
    return out


def train(net, options):
    device = torch.zeros(0).device
    x, target = load(options.data, Part.TRAINING, options.train_limit, net.input)
    test_x, test_target = load(options.data, Part.TEST, options.test_limit, net.input)
    draws = torch.Generator().manual_seed(options.seed)
    for epoch in range(1, options.epochs + 1):
        started, errors = time.perf_counter(), 0
        order = torch.randperm(len(x), generator=draws, device="cpu")
        for batch in order[: len(x) // BATCH * BATCH].split(BATCH):
            images = augment(x[batch], draws) if net.input[0] == 3 else x[batch]
            beta = abs(net.beta) * (1 if torch.rand(1, generator=draws, device="cpu") < 0.5 else -1)
            errors += net.learn_batch(images.to(device), target[batch].to(device), beta)
        failed = sum(
            wrong(net.settle(some.to(device))[0][-1], there.to(device))
            for some, there in zip(test_x.split(500), test_target.split(500))
        )
        shares = 100 * errors / (len(x) // BATCH * BATCH), 100 * failed / len(test_x)
        print(
            f"epoch={epoch} train_error={shares[0]:.2f} test_error={shares[1]:.2f} steps={'+'.join(map(str, net.done))} "
            f"seconds={time.perf_counter() - started:.1f}",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description="Trains the paper's networks with full-precision weights.")
    parser.add_argument("preset", choices=RATES)
    parser.add_argument("--data", required=True, help="folder with MNIST or CIFAR-10")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--train-limit", type=int, help="train on the first images")
    parser.add_argument("--test-limit", type=int, help="test on the first images")
    parser.add_argument("--rates", type=float, nargs="+", help="of the layers, input first")
    parser.add_argument("--tolerance", type=float, default=1e-3)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(int(os.environ.get("NT", "2")))
    if "DEVICE" in os.environ:
        torch.set_default_device(os.environ["DEVICE"])
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    rates = options.rates or RATES[options.preset]
    net = FloatNetwork(options.tolerance, rates, **PRESETS[options.preset])
    if len(rates) != len(net.layers):
        parser.error(f"{options.preset} has {len(net.layers)} layers: as many rates are needed")
    with torch.no_grad():
        train(net, options)


if __name__ == "__main__":
    main()
