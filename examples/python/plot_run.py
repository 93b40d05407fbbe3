#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Draws runs of bnnep-train: error, loss and flips per epoch, and the first connection's binary weights.

    plot_run.py [--out DIR] RUN...

Each RUN is a run's folder (DATA-0-.../<date>/S-<n>). Several runs of one network are drawn as their mean, with a band of one
standard deviation. Writes curves.png, curves.svg, weights.png and weights.svg to DIR (default: the first run's folder).
Needs matplotlib and pandas (Debian: python3-matplotlib python3-pandas).
"""
import argparse
import json
import os
import struct
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd


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
    names = [name for name in frames[0].columns if name.startswith("Nb_Change_Weights")]
    for place, name in enumerate(reversed(names)):  # the file counts from the output
        kind = name[len("Nb_Change_Weights_") :].rstrip("0123456789").rstrip("_")
        label = f"connection {place}" + (f" ({kind})" if kind else "") + (", input" if place == 0 else "")
        draw_line(flips, frames, name, label, "-", f"C{place + 2}")
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run")
    parser.add_argument("--out", metavar="DIR", help="where the pictures go (default: the first run's folder)")
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
    for figure, file in ((draw_curves(frames, name), "curves"), (draw_weights(signs, network, one), "weights")):
        for kind in ("png", "svg"):
            path = os.path.join(out, f"{file}.{kind}")
            figure.savefig(path, dpi=120)
            print(path)


if __name__ == "__main__":
    main()
