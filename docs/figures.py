#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Draws the figures of docs/algorithm.md from the algorithm itself, in NumPy, on the sample of MNIST.

    figures.py [--out DIR]

Writes algorithm-*.svg to DIR (default: pictures/ beside this file). A network of 784-512-10 is trained here on the 5000
images of the sample for one epoch, and its states and momenta are drawn. The random numbers are NumPy's: it is another run
than any of the library's. Needs numpy and matplotlib (Debian: python3-numpy python3-matplotlib).
"""
import argparse
import gzip
import os

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
SAMPLE = os.path.join(HERE, "..", "examples", "data", "mnist-sample")
T, KMAX, BETA, BATCH = 50, 10, 0.3, 64
GAMMA, TAU, LR_BIAS = (1e-4, 1e-5), (5e-7, 5e-7), (0.05, 0.025)  # of the preset mnist-fc1, input first
BLUE, ORANGE, GREEN, RED, GREY = "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#777777"


# --- the algorithm, for one hidden layer and full-precision activations ------------------------------------------------


def clamp(values):
    return np.clip(values, 0.0, 1.0)


class Network:
    def __init__(self, sizes, random):
        self.signs, self.alpha, self.bias = [], [], []
        for columns, rows in zip(sizes, sizes[1:]):
            bound = 1.0 / np.sqrt(columns)
            weights = random.uniform(-bound, bound, (rows, columns))
            self.signs.append(np.where(weights >= 0.0, 1.0, -1.0).astype(np.float32))
            self.alpha.append(np.float32(round(np.abs(weights).mean(), 4)))
            self.bias.append(random.uniform(-bound, bound, rows).astype(np.float32))
        self.momentum = [np.zeros_like(signs) for signs in self.signs]

    def weights(self, k):
        return self.alpha[k] * self.signs[k]

    def step(self, drive, hidden, output, target=None, beta=0.0):
        """All layers move at once, from the states of the step before."""
        up = output @ self.weights(1)
        ahead = clamp(hidden @ self.weights(1).T + self.bias[1])
        if beta:
            ahead = clamp(ahead + beta * (target - output))  # clamped again
        return clamp(drive + up), ahead

    def relax(self, x, hidden, output, steps, target=None, beta=0.0):
        """The states after each step, the first being those it starts from."""
        drive = x @ self.weights(0).T + self.bias[0]
        states = [(hidden, output)]
        for _ in range(steps):
            states.append(self.step(drive, *states[-1], target, beta))
        return states

    def free(self, x):
        zero = [np.zeros((len(x), len(bias)), np.float32) for bias in self.bias]
        return self.relax(x, *zero, T)

    def learn(self, x, target, beta):
        """One batch: two phases, contrast, momenta, flips. Returns the number of flips a connection."""
        hidden, output = self.free(x)[-1]
        nudged_hidden, nudged_output = self.relax(x, hidden, output, KMAX, target, beta)[-1]
        before, after = (x, hidden, output), (x, nudged_hidden, nudged_output)
        flips = []
        for k in range(2):
            gradient = (after[k + 1].T @ after[k] - before[k + 1].T @ before[k]) / (beta * len(x))
            bias = (after[k + 1] - before[k + 1]).sum(axis=0) / (beta * len(x))
            self.momentum[k] = (1.0 - GAMMA[k]) * self.momentum[k] + GAMMA[k] * gradient
            flip = -self.signs[k] * self.momentum[k] > TAU[k]
            self.signs[k][flip] *= -1.0
            self.bias[k] += LR_BIAS[k] * bias
            flips.append(int(flip.sum()))
        return flips


def read_sample():
    def read(name, header):
        with gzip.open(os.path.join(SAMPLE, name)) as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    images = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(np.float32) / 255.0
    return images, read("train-labels-idx1-ubyte.gz", 8)


# --- figures -----------------------------------------------------------------------------------------------------------


def draw_network(axis):
    """Layers, connections and the nudge."""
    names = ("layer 0\ninput x", "layer 1\nhidden $s_1$", "layer 2\noutput $s_2$")
    for k, name in enumerate(names):
        axis.add_patch(plt.Rectangle((3 * k, 0), 1.2, 3, fill=True, facecolor="#eef3f8", edgecolor=BLUE))
        axis.text(3 * k + 0.6, 1.5, name, ha="center", va="center")

    def arrow(start, end, height, label, colour, above):
        axis.annotate("", (end, height), (start, height), arrowprops={"arrowstyle": "->", "color": colour, "lw": 1.8})
        axis.text((start + end) / 2, height + (0.15 if above else -0.2), label, ha="center",
                  va="bottom" if above else "top", color=colour)

    arrow(1.25, 2.95, 2.0, "$W_0 x + b_0$", BLUE, True)
    arrow(4.25, 5.95, 2.0, "$W_1 s_1 + b_1$", BLUE, True)
    arrow(5.95, 4.25, 1.0, r"$W_1^{\,T} s_2$", GREEN, False)
    arrow(9.2, 7.25, 1.5, r"nudge: $\beta\,(y - s_2)$", ORANGE, True)
    axis.text(9.3, 1.5, "target y", ha="left", va="center", color=ORANGE)
    axis.text(2.1, -0.55, "connection 0\n$W_0=\\alpha_0 B_0$, $B_0$ of $\\pm1$", ha="center", va="top", color=GREY)
    axis.text(5.1, -0.55, "connection 1, both ways\n$W_1=\\alpha_1 B_1$", ha="center", va="top", color=GREY)
    axis.set(xlim=(-0.1, 10.6), ylim=(-1.4, 3.1), aspect="equal")
    axis.set_axis_off()


def figure_network():
    figure, axis = plt.subplots(figsize=(9, 3.8), layout="constrained")
    draw_network(axis)
    return figure


def figure_activations():
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    v = np.linspace(-1, 2, 301)
    left.plot(v, clamp(v), color=BLUE)
    left.set(title="full precision: $s=\\rho(v)$, the hard sigmoid", xlabel="input v of a unit", ylabel="state s")
    s = np.linspace(0, 1, 501)
    low, high = s[s < 0.5], s[s >= 0.5]
    right.plot(low, np.zeros_like(low), color=BLUE)
    right.plot(high, np.ones_like(high), color=BLUE)
    right.plot([0.5], [1.0], "o", color=BLUE, markersize=5)
    right.axvline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    right.text(0.51, 0.45, "$\\theta$", color=GREY)
    right.set(title="binary: $a=H(s-\\theta)$, the Heaviside step", xlabel="state s", ylabel="activation a")
    for axis in (left, right):
        axis.grid(alpha=0.3)
    return figure


def figure_phases(network, images, labels):
    """States of one digit through both phases, and how much still moves."""
    # one whose equilibrium is neither right nor far from it
    settled = network.free(images[:500])[-1][1]
    right = settled[np.arange(500), labels[:500]]
    place = int(np.argmin(np.abs(right - 0.45)))
    x, label = images[place : place + 1], int(labels[place])
    target = np.eye(10, dtype=np.float32)[label][None]
    free = network.free(x)
    nudged = network.relax(x, *free[-1], KMAX, target, BETA)
    outputs = np.array([output[0] for _, output in free + nudged[1:]])
    hidden = np.array([state[0] for state, _ in free + nudged[1:]])
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    steps = np.arange(len(outputs))
    for unit in range(10):
        right_class = unit == label
        left.plot(steps, outputs[:, unit], color=ORANGE if right_class else GREY, linewidth=2 if right_class else 0.8,
                  label=f"class {label}, the right one" if right_class else "the other classes" if unit == 0 else None)
    change = np.abs(np.diff(hidden, axis=0)).max(axis=1)
    right.semilogy(steps[1:], np.where(change > 0.0, change, np.nan), color=BLUE, marker="o", markersize=3)
    left.set(title="output states of one digit", xlabel="time step", ylabel="$s_2$", ylim=(-0.03, 1.03))
    right.set(title="largest change of a hidden state in a step", xlabel="time step", ylabel="max $|\\Delta s_1|$",
              ylim=(1e-9, 2))
    for axis in (left, right):
        axis.axvspan(T, T + KMAX, color=ORANGE, alpha=0.12, linewidth=0)
        axis.text(T + KMAX / 2, 0.93, "nudged", ha="center", color=ORANGE, transform=axis.get_xaxis_transform())
        axis.text(T / 2, 0.93, "free", ha="center", color=GREY, transform=axis.get_xaxis_transform())
        axis.grid(alpha=0.3)
    left.legend(loc="center left", bbox_to_anchor=(0.0, 0.75), fontsize=9)
    return figure


def figure_flip(track, signs):
    """The momentum of one weight against the two thresholds, and its sign."""
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(9, 4.2), sharex=True, layout="constrained", gridspec_kw={"height_ratios": (3, 1)}
    )
    batches = np.arange(1, len(track) + 1)
    above.plot(batches, track * 1e7, color=BLUE, label="momentum m")
    above.axhline(TAU[0] * 1e7, color=RED, linestyle="--", linewidth=1, label="$+\\tau$: a weight of $-1$ flips above")
    above.axhline(-TAU[0] * 1e7, color=RED, linestyle=":", linewidth=1, label="$-\\tau$: a weight of $+1$ flips below")
    flips = np.flatnonzero(np.diff(signs)) + 1
    for axis in (above, below):
        for place in flips:
            axis.axvline(batches[place], color=GREY, linewidth=0.8, alpha=0.6)
        axis.grid(alpha=0.3)
    above.set(ylabel="m  ($10^{-7}$)")
    above.legend(loc="best", fontsize=9)
    below.step(batches, signs, where="post", color=GREEN)
    below.set(xlabel="batch", ylabel="sign", yticks=(-1, 1), yticklabels=("−1", "+1"), ylim=(-1.5, 1.5))
    return figure


def train(images, labels):
    """One epoch; the network, and what one weight that flips several times went through."""
    random = np.random.default_rng(1)
    network = Network((784, 512, 10), random)
    momenta, signs = [], []
    for first in range(0, len(images) - BATCH + 1, BATCH):
        x = images[first : first + BATCH]
        target = np.eye(10, dtype=np.float32)[labels[first : first + BATCH]]
        network.learn(x, target, BETA * random.choice((-1.0, 1.0)))
        momenta.append(network.momentum[0].copy())
        signs.append(network.signs[0].copy())
    signs, momenta = np.array(signs), np.array(momenta)
    changes = np.abs(np.diff(signs, axis=0)).sum(axis=0) / 2
    unit, pixel = np.unravel_index(np.argmax(changes == min(3, changes.max())), changes.shape)
    return network, momenta[:, unit, pixel], signs[:, unit, pixel]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", metavar="DIR", default=os.path.join(HERE, "pictures"), help="where the figures go")
    out = parser.parse_args().out
    os.makedirs(out, exist_ok=True)
    # The same file each time; text as outlines, since viewers have other fonts.
    plt.rcParams.update({"svg.hashsalt": "bnnep", "svg.fonttype": "path"})
    images, labels = read_sample()
    network, track, signs = train(images, labels)
    figures = {
        "network": figure_network(),
        "activations": figure_activations(),
        "phases": figure_phases(network, images, labels),
        "flip": figure_flip(track, signs),
    }
    for name, figure in figures.items():
        path = os.path.join(out, f"algorithm-{name}.svg")
        figure.savefig(path, metadata={"Date": None})
        print(path)


if __name__ == "__main__":
    main()
