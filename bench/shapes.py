#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Does the default rule learn whatever the shape?

    PYTHONPATH=bindings/python BNNEP_LIBRARY=build/release/libbnnep.so bench/shapes.py [--shapes N] [--first I] [--updates N]

Random networks and data: 1 to 4 hidden layers of 16 to 2048 units, 2 to 100 classes, 4 to 3000 inputs, batches of 1 to 256, full-precision
and binary activations in turn. A class is a random point with noise of 0.15 around it; 600 updates or --updates, or ten times through the data. Prints a row
for each shape: the training error of the last epoch as a share of chance; then how many stayed above half of it.
"""

import argparse

import numpy as np

from bnnep import Context, Dataset, Dynamics, Network, Optimizer, Start, fc


def draw(index):
    rng = np.random.default_rng(index)

    def between(least, most):
        return int(round(np.exp(rng.uniform(np.log(least), np.log(most)))))

    hidden = [between(16, 2048) for _ in range(between(1, 4))]
    return rng, hidden, between(2, 100), between(4, 3000), between(1, 256)


def share_of_chance(index, updates):
    rng, hidden, classes, inputs, batch = draw(index)
    binary = index % 2 == 1
    count = min(2000, 20 * classes)
    labels = (np.arange(count) % classes).astype(np.int32)
    points = rng.uniform(0.0, 1.0, (classes, inputs))
    data = np.clip(points[labels] + rng.normal(0.0, 0.15, (count, inputs)), 0.0, 1.0).astype(np.float32)
    expand = 5 if binary else 1
    options = {"dynamics": Dynamics.BINARY, "expand_output": expand} if binary else {}
    layers = [*map(fc, hidden), fc(classes * expand)]
    network = Network((inputs,), layers, classes=classes, seed=index, max_batch=batch, free_steps=20 + 20 * len(hidden),
                      start=Start.BALANCED, context=Context(threads=1), **options)  # fmt: skip
    optimizer = Optimizer(network, seed=index)
    whole = Dataset(data, labels)
    epochs = max(10, -(-updates * batch // count))
    report = [optimizer.train_epoch(whole, batch) for _ in range(epochs)][-1]
    shape = f"{inputs}-{'-'.join(map(str, hidden))}-{classes}"
    share = report.error / (1.0 - 1.0 / classes)
    print(f"| {index} | {shape} | {'binary' if binary else 'full'} | {batch} | {epochs} | {share:.2f} |", flush=True)
    return share


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", type=int, default=200, metavar="N", help="how many [200]")
    parser.add_argument("--first", type=int, default=0, metavar="I", help="number of the first [0]")
    parser.add_argument("--updates", type=int, default=600, metavar="N", help="updates of each, at least [600]")
    arguments = parser.parse_args()
    print("| shape | layers | activations | batch | epochs | error, of chance |\n|---|---|---|---|---|---|")
    shares = [share_of_chance(arguments.first + i, arguments.updates) for i in range(arguments.shapes)]
    print(f"\n{sum(share > 0.5 for share in shares)} of {len(shares)} above half of chance")


if __name__ == "__main__":
    main()
