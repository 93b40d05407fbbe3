#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Trains a fully connected network on MNIST and looks inside: curves, weights, states on their way to rest, mistakes.

    train_mnist.py [--data FOLDER] [--hidden UNITS] [--epochs N] [--out DIR]

Writes network.safetensors, curves.png, weights.png, states.png and mistakes.png to DIR. Without --data, trains on the
sample of 5000 digits. Needs numpy, and matplotlib (Debian: python3-matplotlib) for the pictures.
"""
import argparse
import os
import sys

import matplotlib
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # the package beside this script, installed or not
import bnnep
from bnnep import Dataset, Network, Optimizer, Part, Workspace, fc

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLES = [os.path.join(HERE, *path.split("/"), "mnist-sample")
           for path in ("../../examples/data", "../../../../bnnep/data")]  # in the source tree, and installed
SAMPLE = next((folder for folder in SAMPLES if os.path.isdir(folder)), SAMPLES[0])


def show_progress(now):
    if sys.stderr.isatty():
        batches = f"batch {now.batches_done} of {now.batches_total}"
        print(f"\r{batches}, error {now.so_far.error:.2%} ", end="", file=sys.stderr)


def train(network, optimizer, training, test, epochs):
    """A row an epoch: training error, test error, flips of each connection."""
    rows = []
    for epoch in range(1, epochs + 1):
        done = optimizer.train_epoch(training, progress=show_progress)
        tested = network.evaluate(test)
        rows.append([done.error, tested.error, *done.flips])
        flips = ", ".join(map(str, done.flips))
        errors = f"error {done.error:.2%}, test error {tested.error:.2%}"
        print(f"epoch {epoch}: {errors}, flips {flips}, {done.seconds:.1f} s")
    return np.array(rows)


def draw_curves(rows, network):
    figure, (errors, flips) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    epochs = np.arange(1, len(rows) + 1)
    errors.plot(epochs, 100 * rows[:, 0], "o-", label="training")
    errors.plot(epochs, 100 * rows[:, 1], "o-", label="test")
    errors.set(xlabel="epoch", ylabel="error (%)", ylim=(0, None))
    for k, connection in enumerate(network.connections):
        weights = connection.rows * connection.columns
        flips.plot(epochs, 100 * rows[:, 2 + k] / weights, "o-", label=f"connection {k}")
    flips.set(xlabel="epoch", ylabel="weights flipped (%)", ylim=(0, None))
    for axis in (errors, flips):
        axis.legend()
        axis.grid(alpha=0.3)
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def draw_tiles(pictures, titles, columns, **how):
    rows = -(-len(pictures) // columns) or 1
    figure, axes = plt.subplots(rows, columns, figsize=(columns, 1.2 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, picture, title in zip(axes.flat, pictures, titles):
        axis.imshow(picture, cmap="gray", interpolation="nearest", **how)
        axis.set_title(title, fontsize=8)
    return figure


def relax_by_steps(network, inputs, steps):
    """How far the states of each layer move in each step of the free phase, and where the hidden ones come to rest."""
    moves = []
    layers = range(1, network.info.layer_count)
    with Workspace(network, max_batch=len(inputs)) as space:
        space.stage(inputs)
        before = [space.state(layer, len(inputs)) for layer in layers]
        for _ in range(steps):
            space.relax(1)
            after = [space.state(layer, len(inputs)) for layer in layers]
            moves.append([np.abs(new - old).mean() for new, old in zip(after, before)])
            before = after
    return np.array(moves), before[0]


def draw_states(moves, hidden):
    figure, (settling, rest) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for layer, curve in enumerate(moves.T, 1):
        moving = np.where(curve > 0, curve, np.nan)  # at rest: no line
        settling.semilogy(np.arange(1, len(moves) + 1), moving, label=f"layer {layer}")
    settling.set(xlabel="time step of the free phase", ylabel="mean change of a state")
    settling.grid(alpha=0.3)
    settling.legend()
    rest.hist(hidden.ravel(), bins=50, log=True)
    rest.set(xlabel="state of a hidden unit at rest", ylabel="units")
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="FOLDER", default=os.environ.get("BNNEP_DATA") or SAMPLE)
    parser.add_argument("--hidden", metavar="UNITS", type=int, default=4096)
    parser.add_argument("--epochs", metavar="N", type=int, default=5)
    parser.add_argument("--out", metavar="DIR", default=".")
    arguments = parser.parse_args()
    try:
        training, test = (Dataset.open(arguments.data, part) for part in Part)
        network = Network(training.shape, [fc(arguments.hidden), fc(10)])
        optimizer = Optimizer(network, gamma=[1e-4, 1e-5], threshold=5e-7, lr_bias=[0.05, 0.025])
        os.makedirs(arguments.out, exist_ok=True)
        rows = train(network, optimizer, training, test, arguments.epochs)
        network.save(os.path.join(arguments.out, "network.safetensors"), note="train_mnist.py")
    except (bnnep.Error, OSError) as error:
        sys.exit(f"train_mnist.py: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped")

    images, labels = test.read()
    classes = network.predict(images)
    wrong = np.flatnonzero(classes != labels)[:40]
    moves, hidden = relax_by_steps(network, images[:64], network.info.free_steps)
    signs = network.connections[0].signs[:40].reshape(-1, *training.shape[1:])
    figures = {
        "curves": draw_curves(rows, network),
        "weights": draw_tiles(signs, [f"unit {n}" for n in range(len(signs))], 10, vmin=-1, vmax=1),
        "states": draw_states(moves, hidden),
        "mistakes": draw_tiles(images[wrong, 0], [f"{labels[n]} taken for {classes[n]}" for n in wrong], 8),
    }
    for name, figure in figures.items():
        path = os.path.join(arguments.out, f"{name}.png")
        figure.savefig(path, dpi=100)
        print(path)


if __name__ == "__main__":
    main()
