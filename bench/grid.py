#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What it costs to keep the states of a network of real activations on a grid: the option grid_bits.

    grid.py --data FOLDER [--samples N] [--bits B,B...] PRESET...

For each preset a network as it is made, on the first N images of the training set: the free and the nudged phase in
float64 without a grid, in float32 without a grid, and on grids of 2^-B, as the library rounds. Prints rows of a table
in Markdown: the error of the contrast, |contrast - that of float64| / |that of float64|, of each connection, input
first; for how many images the free phase came to rest exactly, no state changing any more; and how many steps the last
of them took. Needs PyTorch (Debian: python3-torch), and the files of MNIST or CIFAR-10 in FOLDER.
"""
import argparse
import gzip
import os

import peer
import torch
import torch.nn.functional as F

MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)


def read_bytes(folder, name):
    path = os.path.join(folder, name)
    with open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.uint8)


def read_images(folder, preset, samples):
    """The first images in float64, as the library feeds them, and their labels."""
    if preset.startswith("cifar10"):
        records = read_bytes(folder, "data_batch_1.bin")[: samples * 3073].view(samples, 3073)
        images, labels = records[:, 1:].view(samples, 3, 32, 32).double() / 255, records[:, 0]
        mean, deviation = (torch.tensor(v).double().view(3, 1, 1) for v in (MEAN, DEVIATION))
        return (images - mean) / deviation, labels.long()
    images = read_bytes(folder, "train-images-idx3-ubyte")[16 : 16 + samples * 784].view(samples, 1, 28, 28)
    labels = read_bytes(folder, "train-labels-idx1-ubyte")[8 : 8 + samples]
    return images.double() / 255, labels.long()


class Connection:
    """A layer of the peer with signs for weights: alpha multiplies once, after the sum, which is exact on a grid."""

    def __init__(self, layer, on_grid, dtype):
        fan_in = layer.weight[0].numel()
        weight = (torch.rand(layer.weight.shape, dtype=torch.float64) * 2 - 1) / fan_in**0.5
        bias = (torch.rand(len(weight), dtype=torch.float64) * 2 - 1) / fan_in**0.5
        by_channel = weight.dim() == 4
        alpha = weight.abs().mean((1, 2, 3) if by_channel else (0, 1)).mul(1e4).round().div(1e4)
        self.layer, self.shape, self.on_grid = layer, layer.shape, on_grid
        layer.weight, layer.bias = weight.sign().to(dtype), None
        self.alpha = alpha.to(dtype).view(-1, 1, 1) if by_channel else alpha.to(dtype)
        self.bias = bias.to(dtype).view(-1, 1, 1) if by_channel else bias.to(dtype)

    def forward(self, below):
        pull, pooled = self.layer.forward(below)
        return self.alpha * pull + self.bias, pooled  # alpha > 0: the maximum stays where it was

    def feedback(self, above, pooled):
        # The channels of a convolution have an alpha each: the sum is one of their shares of the largest.
        largest = self.alpha.max()
        if pooled is not None:
            above = self.on_grid(self.alpha / largest * above)
        return largest * self.layer.feedback(above, pooled)

    def correlate(self, below, above, pooled):
        return self.layer.correlate(below, above, pooled)[0]


class Network(peer.Network):
    def __init__(self, preset, bits, dtype):
        super().__init__(**peer.PRESETS[preset])
        self.dtype, self.resting = dtype, None
        self.grid = 0 if bits is None else 2.0**bits
        torch.manual_seed(0)
        self.layers = [Connection(layer, self.on_grid, dtype) for layer in self.layers]

    def on_grid(self, values):
        return torch.round(values * self.grid) / self.grid if self.grid else values  # half to even

    def move(self, state, pull, nudge):
        return self.on_grid(super().move(state, pull, nudge))

    def relax(self, x, states, steps, **nudge):
        """As the peer; when nothing changes any more, the steps that are left are done. Counts how many each took."""
        taken = torch.zeros(len(x), dtype=torch.int64)
        for step in range(1, steps + 1):
            before = states
            states, pooled = self.step(x, states, **nudge)
            moved = sum((a != b).flatten(1).sum(1) for a, b in zip(states, before)) > 0
            taken[moved] = step
            if not moved.any():
                break
        self.resting = taken[taken < steps]
        return states, pooled

    def contrasts(self, images, labels):
        x = self.on_grid(images.to(self.dtype)).view(len(images), *self.input)
        target = F.one_hot(labels, peer.CLASSES).to(self.dtype)
        start = 0.5 if self.convolutional else 0.0
        states = [torch.full((len(x), *c.shape), start, dtype=self.dtype) for c in self.layers]
        free, pooled_free = self.relax(x, states, self.steps[0])
        resting = self.resting
        nudged, pooled = self.relax(x, free, self.steps[1], target=target, beta=self.beta)
        pairs = zip(self.correlations(x, nudged, pooled), self.correlations(x, free, pooled_free))
        return [(after - before).double() for after, before in pairs], resting


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--bits", default="12,14,16,18,20,22")
    parser.add_argument("presets", nargs="+", choices=[p for p in peer.PRESETS if "bin" not in p])
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("NT", "2")))
    print("| preset | grid | errors of the contrasts | images at rest | after steps |\n|---|---|---|---|---|")
    for preset in options.presets:
        images, labels = read_images(options.data, preset, options.samples)
        exact, _ = Network(preset, None, torch.float64).contrasts(images, labels)
        kinds = [("none, float32", None, torch.float32)]
        kinds += [(f"2^-{bits}", int(bits), torch.float64) for bits in options.bits.split(",")]
        for name, bits, dtype in kinds:
            net = Network(preset, bits, dtype)
            found, resting = net.contrasts(images, labels)
            error = " ".join(f"{((a - b).norm() / b.norm()).item():.0e}" for a, b in zip(found, exact))
            steps = f"{resting.max().item()} of {net.steps[0]}" if len(resting) else "-"
            print(f"| {preset} | {name} | {error} | {len(resting)} of {len(images)} | {steps} |", flush=True)


if __name__ == "__main__":
    with torch.no_grad():
        main()
