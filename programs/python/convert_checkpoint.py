#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Turns a checkpoint.pt of the authors' PyTorch program into a network file of libbnnep.

    convert_checkpoint.py --T N [OPTION...] CHECKPOINT NETWORK

What the checkpoint does not say comes from options, named as in the command that made it: --T 50, and for instance
--binary_settings bin_W_N --expand_output 10. It holds no momenta, and so the result holds none: bnnep-classify and
bnnep_network_load() take it, but no training can go on from it.
Needs NumPy (Debian: python3-numpy), and torch_file.py beside it; PyTorch is not needed.
"""
import argparse
import json
import math
import os
import sys
import tempfile
import zlib

import numpy as np

import torch_file

INPUTS = {"mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
# what bnnep-classify applies to the images, from the note; as bnnep-train writes it
NORMALISATION = {"mnist": "", "cifar10": " mean=0.4914,0.4822,0.4465 deviation=0.247,0.243,0.261"}
CLASSES = 10
FULLY_CONNECTED, CONVOLUTION = 0, 1


def refuse(what):
    sys.exit(f"convert_checkpoint.py: {what}")


# --- reading ------------------------------------------------------------------------------------------------------


def load(path):
    """Weights and biases by name, and where the checkpoint comes from."""
    try:
        checkpoint = torch_file.read(path)
    except OSError as error:
        refuse(f"{path}: cannot be read: {error.strerror}")
    except ValueError as error:
        refuse(f"{path}: cannot be read: {error}")
    state = checkpoint.get("model_state_dict") if isinstance(checkpoint, dict) else None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        refuse(f"{path}: has no model_state_dict")
    epoch = checkpoint.get("epoch")  # theirs counts from 0
    after = f" after epoch {epoch + 1}" if isinstance(epoch, int) else ""
    return state, f"from {os.path.basename(path)} of the authors' program{after}"


def take(state, name):
    """One parameter as an array of float32; it is taken out of the state."""
    values = state.pop(name, None)
    if values is None:
        refuse(f"there is no {name}")
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        refuse(f"{name} is no tensor of floating-point numbers")
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        refuse(f"{name} holds NaN or an infinite value")
    return values


def list_layers(state):
    """Name, weight and bias of each connection, input first: the checkpoint counts from the output."""
    state = dict(state)
    kinds = ("W",) if any(name.startswith("W.") for name in state) else ("fc", "conv")
    layers = []
    for kind in kinds:
        number = 0
        while number == 0 or any(name.startswith(f"{kind}.{number}.") for name in state):
            name = f"{kind}.{number}"
            layers.append((name, take(state, f"{name}.weight"), take(state, f"{name}.bias")))
            number += 1
    if state:
        refuse(f"{min(state)} is no parameter of the authors' networks, or one before it is missing")
    return layers[::-1]


# --- from their parameters to ours ----------------------------------------------------------------------------------


def split(name, weight):
    """Scaling factors and signs, W = alpha * sign: one alpha a channel of a convolution, else one alpha in all."""
    rows = weight.reshape(len(weight) if weight.ndim == 4 else 1, -1)
    alpha = np.abs(rows).max(axis=1)
    zero = (rows == 0) & (alpha > 0)[:, None]
    other = (np.abs(rows) != alpha[:, None]) & ~zero
    if other.any():
        row, column = np.argwhere(other)[0]
        where = f"channel {row} of {name}.weight" if weight.ndim == 4 else f"{name}.weight"
        refuse(f"{where} is not binary: it has magnitudes {abs(rows[row, column]):g} and {alpha[row]:g}")
    if zero.any():  # their sign(0) is 0, and such a weight never flips; there is no bit for that
        print(f"convert_checkpoint.py: {zero.sum()} weights of {name} are 0; they become +alpha", file=sys.stderr)
    return alpha, (rows >= 0).reshape(len(weight), -1)


def join(name, weight, bias, shape, options):
    """Checks that a connection fits on a layer of that shape. Its description, and the shape it leads to."""
    dimensions = 4 if name.startswith("conv") else 2
    if weight.ndim != dimensions or weight.size == 0:
        refuse(f"{name}.weight has the shape {list(weight.shape)}, expected {dimensions} dimensions")
    outputs = len(weight)
    if bias.shape != (outputs,):
        refuse(f"{name}.bias has the shape {list(bias.shape)}, expected [{outputs}]")
    if dimensions == 2:
        below = math.prod(shape)
        if weight.shape[1] != below:
            refuse(f"{name}.weight takes {weight.shape[1]} inputs, but the layer below has {below}, {list(shape)}")
        connection = {"kind": FULLY_CONNECTED, "outputs": outputs, "kernel": 0, "padding": 0, "pool": 0}
        return connection, (outputs, 1, 1)
    kernel = weight.shape[2]
    if weight.shape[1] != shape[0] or weight.shape[3] != kernel:
        refuse(f"{name}.weight has the shape {list(weight.shape)}, but the layer below has {shape[0]} channels")
    edges = [(edge + 2 * options.padding - kernel + 1) // options.Fpool for edge in shape[1:]]
    if min(edges) < 1:
        refuse(f"{name}: nothing is left of a map of {shape[1]} x {shape[2]}: see --padding and --Fpool")
    connection = {
        "kind": CONVOLUTION,
        "outputs": outputs,
        "kernel": kernel,
        "padding": options.padding,
        "pool": options.Fpool,
    }
    return connection, (outputs, *edges)


def describe(layers, options):
    """The network as docs/format.md has it."""
    shape = INPUTS[options.dataset]
    connections = []
    for layer in layers:
        connection, shape = join(*layer, shape, options)
        connections.append(connection)
    if shape[0] != CLASSES * options.expand_output:
        refuse(f"the last layer has {shape[0]} units, expected {CLASSES} * --expand_output {options.expand_output}")
    return {
        "dynamics": int(options.binary_settings == "bin_W_N"),
        "input": INPUTS[options.dataset],
        "classes": CLASSES,
        "expand_output": options.expand_output,
        "theta": float(np.float32(options.rho_threshold)),
        "gamma_neur": float(np.float32(options.gamma_neur)),
        "free_steps": options.T,
        "settle_tolerance": 0.0,
        "grid_bits": 0,
        "schedule": 0,
        "feedback": 0.0,
        "connections": connections,
    }


def list_tensors(layers):
    """Names and arrays in the file's order: floats first, so that all are aligned."""
    parts = {"alpha": [], "bias": [], "signs": []}
    for name, weight, bias in layers:
        alpha, positive = split(name, weight)
        parts["alpha"].append(alpha.astype("<f4"))
        parts["bias"].append(bias.astype("<f4"))
        parts["signs"].append(np.packbits(positive, axis=1, bitorder="little"))
    return [(f"connection.{k}.{part}", array) for part, arrays in parts.items() for k, array in enumerate(arrays)]


# --- writing --------------------------------------------------------------------------------------------------------


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def pack(metadata, tensors):
    """The bytes of a safetensors file with our digest: the CRC-32 of all behind the first 8 bytes, itself as zeros."""
    header = {"__metadata__": {**metadata, "digest": "00000000"}}
    offset = 0
    for name, array in tensors:
        kind = "U8" if array.dtype == np.uint8 else "F32"
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = compact(header).encode()
    text += b" " * (-len(text) % 8)
    data = b"".join(array.tobytes() for _, array in tensors)
    digest = b'"digest":"%08x"' % zlib.crc32(data, zlib.crc32(text))
    return len(text).to_bytes(8, "little") + text.replace(b'"digest":"00000000"', digest, 1) + data


def write(path, data):
    """What was there before stays whole if anything fails."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(path) or ".", delete=False) as file:
            temporary = file.name
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            os.unlink(temporary)
        refuse(f"{path}: cannot be written: {error.strerror}")


# --- options --------------------------------------------------------------------------------------------------------


def number(kind, least, most):
    """What argparse reads a number within limits with."""

    def read(text):
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not from {least:g} to {most:g}")
        return value

    return read


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("checkpoint", metavar="CHECKPOINT", help="the authors' checkpoint.pt")
    add("network", metavar="NETWORK", help="the file to write, network.safetensors for instance")
    add("--T", type=number(int, 1, 1e9), required=True, help="time steps of the free phase")
    add("--binary_settings", choices=("bin_W", "bin_W_N"), default="bin_W", help="[bin_W]")
    add("--dataset", choices=sorted(INPUTS), default="mnist", help="it tells the shape of an input [mnist]")
    add("--padding", type=number(int, 0, 255), default=0, help="zero padding of the convolutions [0]")
    add("--Fpool", type=number(int, 1, 255), default=2, help="edge of the pooling windows [2]")
    add("--expand_output", type=number(int, 1, 1e8), default=1, help="output units a class [1]")
    add("--gamma_neur", type=number(float, 1e-30, 1), default=0.5, help="leak of the states, bin_W_N [0.5]")
    add("--rho_threshold", type=number(float, 0, 1), default=0.5, help="threshold of the activations, bin_W_N [0.5]")
    options = parser.parse_args()
    state, note = load(options.checkpoint)
    layers = list_layers(state)
    metadata = {
        "format": "bnnep-network",
        "format_version": "1",
        "requires": "[]",
        "library": "convert_checkpoint.py",
        "note": note + NORMALISATION[options.dataset],
        "network": compact(describe(layers, options)),
    }
    write(options.network, pack(metadata, list_tensors(layers)))


if __name__ == "__main__":
    main()
