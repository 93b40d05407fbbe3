#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a settle tolerance changes: the contrast of a batch, beside that without a tolerance.

    tolerance.py [--samples N] [--settle TOL,TOL...] [--ref] --data FOLDER PRESET...

For each preset a network as it is made, on the first N images of the training set. Prints rows of a table in Markdown:
|contrast - that at tolerance 0| / |that at tolerance 0| of each connection, input first, and the mean number of free
steps. With --ref, differences from the reference backend, which adds in double, at the same tolerance: what the cpu
backend adds to what the tolerance does (slow). Needs the package of bindings/python and the library (README), and the files of MNIST or CIFAR-10 in FOLDER.
"""
import argparse

import numpy as np
from bnnep import Context, Dataset, Network, Nudge, Optimizer, Transform, conv, fc

PRESETS = {
    "mnist-fc1": (50, [fc(4096), fc(10)]),
    "mnist-fc2": (250, [fc(4096), fc(4096), fc(10)]),
    "mnist-conv": (150, [conv(32, 5, 2, 2), conv(64, 5, 2, 2), fc(10)]),
    "cifar10-conv": (150, [conv(n, 5, 2, 2) for n in (64, 128, 256, 256)] + [fc(10)]),
}


def contrasts(preset, tolerance, data, samples, backend="cpu"):
    """Momenta of gamma 1 after one batch, in which nothing flips, and the free steps."""
    steps, connections = PRESETS[preset]
    shape = data.shape if preset.endswith("conv") else (int(np.prod(data.shape)), 1, 1)
    network = Network(shape, connections, context=Context(backend), free_steps=steps, settle_tolerance=tolerance,
                      max_batch=samples, seed=1)
    optimizer = Optimizer(network, gamma=1.0, threshold=1e30, lr_bias=0.0, beta=0.3, nudge=Nudge.FIXED)
    report = optimizer.train_batch(*data.read(0, samples))
    return [optimizer.momentum(k).astype(np.float64) for k in range(len(connections))], report.steps_free


def row(preset, tolerance, exact, other, steps):
    errors = (np.linalg.norm(a - b) / np.linalg.norm(a) for a, b in zip(exact, other))
    print(f"| {preset} | {tolerance} | {' '.join(f'{e:.0e}' for e in errors)} | {steps:.0f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, metavar="FOLDER")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--settle", default="1e-6", metavar="TOL,TOL...")
    parser.add_argument("--ref", action="store_true", help="compare with the reference backend at the same tolerance")
    parser.add_argument("presets", nargs="+", choices=PRESETS, metavar="PRESET")
    arguments = parser.parse_args()
    print("| preset | tolerance | differences of the contrasts | free steps |\n|---|---|---|---|")
    for preset in arguments.presets:
        data = Dataset.open(arguments.data)
        if preset.startswith("cifar10"):
            data = data.transformed(Transform.cifar10())
        exact, _ = contrasts(preset, 0.0, data, arguments.samples)
        for tolerance in arguments.settle.split(","):
            other, steps = contrasts(preset, float(tolerance), data, arguments.samples)
            if arguments.ref:
                exact, _ = contrasts(preset, float(tolerance), data, arguments.samples, "ref")
            row(preset, tolerance, exact, other, steps)


if __name__ == "__main__":
    main()
