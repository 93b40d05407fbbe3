#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Draws runs of bnnep-train: error, loss and flips per epoch, how each connection learns, the first connection's binary
weights, and what the network makes of test images.

    plot_run.py [--out DIR] [--data FOLDER [--programs DIR]] RUN...

Each RUN is a run's folder (DATA-0-.../<date>/S-<n>). Several runs of one network are drawn as their mean, with a band of one
standard deviation. Writes curves, learning and weights, as .png and .svg, to DIR (default: the first run's folder). With --data, a
folder laid out as MNIST's or CIFAR-10's, it also writes, of the first run's best network and the folder's test set:
confusion (which class is taken for which), mistakes (images that are taken for another class, the surest first) and settling
(the share of neurons that change in each step of the free phase). For these it calls bnnep-classify and bnnep-settle, which
lie in --programs DIR, or where the shell finds them.
Needs matplotlib and pandas (Debian: python3-matplotlib python3-pandas).
"""
import argparse
import gzip
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

SETTLED = 256  # images that the settling curve is the mean of


def refuse(what):
    sys.exit(f"plot_run.py: {what}")


def read_results(runs):
    """A frame a run; only the epochs that all of them have."""
    frames = [pd.read_csv(os.path.join(run, "results.csv")) for run in runs]
    columns = set(map(tuple, (frame.columns for frame in frames)))
    if len(columns) > 1:
        refuse("the runs are of different networks: their results.csv have different columns")
    epochs = min(len(frame) for frame in frames)
    if epochs == 0:
        refuse("there is a run without a finished epoch")
    return [frame.head(epochs) for frame in frames]


def read_header(run):
    """The header of a run's last checkpoint, the network that it describes, and where its tensors begin."""
    with open(os.path.join(run, "checkpoint.safetensors"), "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
    return header, json.loads(header["__metadata__"]["network"]), 8 + length


def read_signs(run, connection=0):
    """Signs of one connection as an array of +1 and -1, [rows, columns], and the network's description."""
    header, network, begin = read_header(run)
    about = header[f"connection.{connection}.signs"]
    first, end = about["data_offsets"]
    path = os.path.join(run, "checkpoint.safetensors")
    packed = np.fromfile(path, np.uint8, end - first, offset=begin + first).reshape(about["shape"])
    bits = np.unpackbits(packed, axis=1, bitorder="little")
    channels, height, width = network["input"]
    first = network["connections"][0]
    columns = channels * height * width if first["kind"] == 0 else channels * first["kernel"] ** 2
    return 2 * bits[:, :columns].astype(int) - 1, network


def draw_line(axis, frames, column, label, style, colour):
    values = np.array([frame[column].to_numpy(float) for frame in frames])
    epochs = np.arange(1, values.shape[1] + 1)
    mean = values.mean(axis=0)
    axis.plot(epochs, mean, style, color=colour, label=label, marker="o" if len(epochs) < 15 else None, markersize=3)
    if len(frames) > 1:
        spread = values.std(axis=0)
        axis.fill_between(epochs, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0)


def draw_connections(axis, frames, what):
    """The columns of all connections that begin with `what`."""
    names = [name for name in frames[0].columns if name.startswith(f"{what}_")]
    for place, name in enumerate(reversed(names)):  # the file counts from the output
        kind = name[len(what) + 1 :].rstrip("0123456789").rstrip("_")
        label = f"connection {place}" + (f" ({kind})" if kind else "") + (", input" if place == 0 else "")
        draw_line(axis, frames, name, label, "-", f"C{place + 2}")


def draw_learning(frames, title):
    figure, (edges, contrasts, alphas) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    draw_connections(edges, frames, "Edge")
    edges.set(ylabel="share of weights with |m| > τ/2", ylim=(0, None))
    draw_connections(contrasts, frames, "Contrast")
    contrasts.set(ylabel="rms of the contrast, last batch", yscale="log")
    draw_connections(alphas, frames, "Alpha")
    alphas.set(ylabel="mean scaling factor α")
    for axis in (edges, contrasts, alphas):
        axis.set(xlabel="epoch")
        axis.grid(alpha=0.3)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    figure.suptitle(title)
    return figure


def draw_curves(frames, title):
    figure, (errors, losses, flips) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    draw_line(errors, frames, "Ave_Train_Error", "training", "-", "C0")
    draw_line(errors, frames, "Ave_Test_Error", "test", "-", "C1")
    if not all((frame["Ave_Test_Error"] == frame["Single_Test_Error"]).all() for frame in frames):
        draw_line(errors, frames, "Single_Test_Error", "test, single readout", "--", "C1")
    errors.set(xlabel="epoch", ylabel="error (%)", ylim=(0, None))
    draw_line(losses, frames, "Train_Loss", "training", "-", "C0")
    draw_line(losses, frames, "Test_Loss", "test", "-", "C1")
    losses.set(xlabel="epoch", ylabel="loss per sample, ½|s − target|²", ylim=(0, None))
    draw_connections(flips, frames, "Nb_Change_Weights")
    flips.set(xlabel="epoch", ylabel="ln(flips / weights)")
    for axis in (errors, losses, flips):
        axis.grid(alpha=0.3)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend()
    figure.suptitle(title)
    return figure


def draw_weights(signs, network, title):
    """The rows of the first connection as tiles, the first 64 of them."""
    channels, height, width = network["input"]
    first = network["connections"][0]
    shape = (channels, height, width) if first["kind"] == 0 else (channels, first["kernel"], first["kernel"])
    shown = min(64, len(signs))
    columns = int(np.ceil(np.sqrt(shown)))
    rows = int(np.ceil(shown / columns))
    figure, axes = plt.subplots(rows, columns, figsize=(8, 8 * rows / columns + 0.6), squeeze=False)
    for tile, axis in enumerate(axes.flat):
        axis.set_axis_off()
        if tile < shown:
            weights = signs[tile].reshape(shape)
            picture = weights[0] if shape[0] != 3 else (np.moveaxis(weights, 0, -1) + 1) / 2
            axis.imshow(picture, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    figure.suptitle(f"{title}\nfirst connection, {shown} of {len(signs)} units: white +1, black −1")
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=0.9, wspace=0.08, hspace=0.08)
    return figure


def read_idx(folder, name):
    """An array of an IDX file of bytes, plain or gzip, or None."""
    for path, opener in ((os.path.join(folder, name), open), (os.path.join(folder, name + ".gz"), gzip.open)):
        if os.path.exists(path):
            with opener(path, "rb") as file:
                raw = file.read()
            if raw[:3] != b"\0\0\x08":
                refuse(f"{path} is no IDX file of bytes")
            shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
            return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)
    return None


def read_test_set(folder):
    """Images as bytes, [image, channel, row, column], and their labels."""
    images, labels = (read_idx(folder, f"t10k-{name}-ubyte") for name in ("images-idx3", "labels-idx1"))
    if images is not None and labels is not None and len(images) == len(labels):
        return images.reshape(len(images), 1, *images.shape[1:]), labels
    records = os.path.join(folder, "test_batch.bin")
    if not os.path.exists(records):
        refuse(f"{folder} holds neither t10k-images-idx3-ubyte and its labels nor test_batch.bin")
    raw = np.fromfile(records, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    return raw[:, 1:].reshape(-1, 3, 32, 32), raw[:, 0]


def call(programs, name, *arguments):
    """Lines of `key=value key=value` that one of the programs prints, as dictionaries."""
    path = shutil.which(name, path=programs)
    if not path:
        refuse(f"{name} is not found; --programs tells where it lies")
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        refuse(f"{name} failed: {done.stderr.strip()}")
    return [dict(part.split("=") for part in line.split()) for line in done.stdout.splitlines()]


def numbers(text):
    return [float(value) for value in text.split(",")]


def ask_network(run, images, programs):
    """Scores of the images, the classes they are taken for, and the shares of neurons that change, [step, layer]."""
    network = os.path.join(run, "network.safetensors")
    with tempfile.NamedTemporaryFile(suffix=".idx") as file:
        file.write(struct.pack(">HBB4I", 0, 8, 4, *images.shape) + images.tobytes())
        file.flush()
        classified = call(programs, "bnnep-classify", "--exact", network, file.name)
        settled = call(programs, "bnnep-settle", "--count", SETTLED, network, file.name)
    scores = np.array([numbers(line["scores"]) for line in classified])
    taken = np.array([int(line["class"]) for line in classified])
    return scores, taken, np.array([numbers(line["changed"]) for line in settled])


def draw_confusion(labels, taken, classes, title):
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, taken), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axis = plt.subplots(figsize=(7, 6.5), layout="constrained")
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for label, row in enumerate(counts):
        for other, count in enumerate(row):
            if count:
                colour = "white" if shares[label, other] > 0.5 else "black"
                axis.text(other, label, count, ha="center", va="center", color=colour, fontsize=9)
    axis.set(xlabel="taken for", ylabel="class", xticks=range(classes), yticks=range(classes))
    error = 100 * (1 - counts.trace() / counts.sum())
    axis.set_title(f"{title}\n{counts.sum()} test images, error {error:.2f} %", fontsize=10)
    return figure


def draw_mistakes(images, labels, taken, scores, title):
    """Those whose score is the furthest above that of their class, at most 40."""
    places = np.flatnonzero(taken != labels)
    ahead = scores[places, taken[places]] - scores[places, labels[places]]
    shown = places[np.argsort(-ahead, kind="stable")][:40]
    figure, axes = plt.subplots(5, 8, figsize=(9, 6.8))
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, place in zip(axes.flat, shown):
        picture = images[place][0] if len(images[place]) != 3 else np.moveaxis(images[place], 0, -1)
        axis.imshow(picture, cmap="gray_r", vmin=0, vmax=255)
        axis.set_title(f"{labels[place]} as {taken[place]}", fontsize=9)
    figure.suptitle(f"{title}\n{len(shown)} of {len(places)} mistakes in {len(labels)} test images: class, as taken for")
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.02, top=0.86, wspace=0.1, hspace=0.35)
    return figure


def draw_settling(shares, title):
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    steps = np.arange(1, len(shares) + 1)
    for layer, share in enumerate(shares.T):
        name = "output" if layer + 1 == shares.shape[1] else f"hidden {layer + 1}"
        axis.plot(steps, 100 * share, label=name, marker="o", markersize=3)
    axis.set(xlabel="step of the free phase", ylabel="neurons whose state changes (%)", ylim=(0, None))
    axis.grid(alpha=0.3)
    axis.legend()
    axis.set_title(title, fontsize=10)
    return figure


def draw_tests(run, folder, programs, title):
    """The pictures that need test images, with their names."""
    images, labels = read_test_set(folder)
    scores, taken, shares = ask_network(run, images, programs)
    yield draw_confusion(labels, taken, scores.shape[1], title), "confusion"
    yield draw_mistakes(images, labels, taken, scores, title), "mistakes"
    yield draw_settling(shares, f"{title}\nmean of the first {min(len(images), SETTLED)} test images"), "settling"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("--out", metavar="DIR", help="where the pictures go (default: the first run's folder)")
    parser.add_argument("--data", metavar="FOLDER", help="the test set to draw confusion, mistakes and settling with")
    parser.add_argument("--programs", metavar="DIR", help="where bnnep-classify and bnnep-settle lie")
    arguments = parser.parse_args()
    out = arguments.out or arguments.runs[0]
    try:
        frames = read_results(arguments.runs)
        signs, network = read_signs(arguments.runs[0])
        for run in arguments.runs:
            if read_header(run)[1] != network:
                refuse(f"the runs are of different networks: {run} is not of that of {arguments.runs[0]}")
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        refuse(f"{error.filename}: {error.strerror}")
    except (ValueError, KeyError, struct.error) as error:
        refuse(f"a file of these runs cannot be read: {error}")
    parts = os.path.normpath(os.path.abspath(arguments.runs[0])).split(os.sep)
    one = " ".join(parts[-3:])
    name = one if len(frames) == 1 else f"{parts[-3]}, {len(frames)} runs, mean ± standard deviation"
    figures = [(draw_curves(frames, name), "curves"), (draw_weights(signs, network, one), "weights")]
    if any(column.startswith("Edge_") for column in frames[0].columns):
        figures.append((draw_learning(frames, name), "learning"))
    if arguments.data:
        figures += draw_tests(arguments.runs[0], arguments.data, arguments.programs, one)
    for figure, file in figures:
        for kind in ("png", "svg"):
            path = os.path.join(out, f"{file}.{kind}")
            figure.savefig(path, dpi=120)
            print(path)


if __name__ == "__main__":
    main()
