#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One task after another: how much of the first is forgotten, with and without consolidation.

    PYTHONPATH=bindings/python BNNEP_LIBRARY=build/release/libbnnep.so bench/tasks.py --data data/mnist [--held-out] PAIR

PAIR: digits: MNIST's 0 to 4, then 5 to 9; fashion: MNIST, then Fashion-MNIST less its mean pixel, with the same ten outputs. A network of one
hidden layer, by the default rule but for consolidation. Errors in % on test images, or, with --held-out, on the last 10000 training images, which are
not trained on then: of both tasks after each, and where the answer is sought among the task's own classes (digits: five). "together": both at once, as many
epochs.
"""

import argparse
import gzip
import os

import numpy as np

from bnnep import Context, Dataset, Dynamics, Network, Optimizer, Schedule, Start, fc


def read(folder, name):
    """An IDX file of bytes, plain or compressed, as an array [count, values]."""
    path = os.path.join(folder, name)
    with open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz") as file:
        data = np.frombuffer(file.read(), np.uint8)
    dimensions = int(data[3])
    count = int.from_bytes(data[4:8].tobytes(), "big")
    return data[4 + 4 * dimensions :].reshape(count, -1)


def load(folder, held_out, mean=0.0):
    """Training inputs and labels, then those that errors are counted on."""
    parts = []
    for part in ("train", "t10k"):
        images = read(folder, f"{part}-images-idx3-ubyte").astype(np.float32) / 255.0 - np.float32(mean)
        parts.append((images, read(folder, f"{part}-labels-idx1-ubyte")[:, 0].astype(np.int32)))
    if not held_out:
        return parts
    (images, labels), _ = parts
    return [(images[:-10000], labels[:-10000]), (images[-10000:], labels[-10000:])]


class Task:
    """What is learnt, and what it is judged by; the classes that its answers are sought among, where that is not all."""

    def __init__(self, parts, classes=range(10)):
        chosen = [np.isin(labels, list(classes)) for _, labels in parts]
        (self.inputs, self.labels), (self.test, self.wanted) = (
            (np.ascontiguousarray(images[some]), np.ascontiguousarray(labels[some]))
            for (images, labels), some in zip(parts, chosen)
        )
        self.classes = list(classes)
        self.data = Dataset(self.inputs, self.labels, classes=10)

    def errors(self, network):
        scores = network.scores(self.test)
        among = np.array(self.classes)[scores[:, self.classes].argmax(axis=1)]
        return [100.0 * np.mean(answer != self.wanted) for answer in (scores.argmax(axis=1), among)]


def tasks_of(pair, arguments):
    mnist = load(arguments.data, arguments.held_out)
    if pair == "digits":
        return [Task(mnist, range(5)), Task(mnist, range(5, 10))]
    return [Task(mnist), Task(load(arguments.fashion, arguments.held_out, 73.0 / 256.0))]


def make(arguments, seed, consolidation):
    binary = arguments.binary
    how = {"dynamics": Dynamics.BINARY, "expand_output": 10} if binary else {"schedule": Schedule.OVER_RELAXED}
    outputs = 100 if binary else 10
    network = Network((784,), [fc(arguments.hidden), fc(outputs)], classes=10, seed=seed, start=Start.BALANCED,
                      free_steps=20 if binary else 0, settle_tolerance=0.0 if binary else 1e-3, context=Context(threads=1),
                      **how)  # fmt: skip
    return network, Optimizer(network, seed=seed, consolidation=consolidation)


def one_after_another(tasks, arguments, seed, consolidation):
    network, optimizer = make(arguments, seed, consolidation)
    row = []
    for task in tasks:
        for _ in range(arguments.epochs):
            optimizer.train_epoch(task.data)
        if arguments.weights_alone:
            optimizer.lr_bias = 0.0
            if not arguments.binary:  # whose factors the default rule leaves alone
                optimizer.lr_alpha = 0.0
        row += [error for judged in tasks for error in judged.errors(network)]
    return row


def together(tasks, arguments, seed):
    network, optimizer = make(arguments, seed, 0.0)
    both = Dataset.concat([task.data for task in tasks])
    for _ in range(arguments.epochs):
        optimizer.train_epoch(both)
    return [error for judged in tasks for error in judged.errors(network)]


def show(name, seed, errors):
    """Of each task: errors among all classes, and among its own where those are fewer."""
    print(f"| {name} | {seed} | " + " | ".join(f"{error:.2f}" for error in errors) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pair", choices=["digits", "fashion"])
    parser.add_argument("--data", default="data/mnist", metavar="DIR", help="MNIST [data/mnist]")
    parser.add_argument("--fashion", default="/usr/share/datasets/fashion-mnist", metavar="DIR", help="Fashion-MNIST")
    parser.add_argument("--held-out", action="store_true", help="errors on held-out training images")
    parser.add_argument("--hidden", type=int, default=1024, metavar="N", help="hidden units [1024]")
    parser.add_argument("--binary", action="store_true", help="binary activations")
    parser.add_argument("--epochs", type=int, default=5, metavar="N", help="of each task [5]")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="S")
    parser.add_argument("--consolidation", type=float, nargs="+", default=[0.0, 1.0], metavar="C")
    parser.add_argument("--weights-alone", action="store_true", help="biases and scaling factors stay after the first task")
    parser.add_argument("--together", action="store_true", help="both at once too")
    arguments = parser.parse_args()
    tasks = tasks_of(arguments.pair, arguments)
    kinds = [f"{task} {when}{among}" for when in ("after the first", "after both") for task in ("first", "second")
             for among in ("", ", its classes")]  # fmt: skip
    print("| consolidation | seed | " + " | ".join(kinds) + " |\n" + "|---" * (2 + len(kinds)) + "|")
    for seed in arguments.seeds:
        for consolidation in arguments.consolidation:
            show(f"{consolidation:g}", seed, one_after_another(tasks, arguments, seed, consolidation))
        if arguments.together:
            show("together", seed, [float("nan")] * 4 + together(tasks, arguments, seed))


if __name__ == "__main__":
    main()
