#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""convert_checkpoint.py: networks in the authors' layout classify as a plain relaxation in PyTorch does, networks of
bnnep-train come back byte for byte, and what is wrong is refused.

    test_convert_checkpoint.py CONVERTER PROGRAMS SAMPLE_FOLDER

PROGRAMS is the folder of bnnep-train and bnnep-classify. Exit status 77: PyTorch is missing.
"""
import glob
import gzip
import json
import math
import os
import re
import struct
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

CONVERTER, PROGRAMS, SAMPLE = sys.argv[1:]
DIGITS = 60
EXACT = 1e-5  # images on which float32 and float64 differ by more lie on a threshold or a tie: nothing to compare
CLOSE = 6e-5  # bnnep-classify prints four decimals, so 5e-5 away, and sums in another order, so EXACT


def run(*command):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def digits():
    with gzip.open(os.path.join(SAMPLE, "t10k-images-idx3-ubyte.gz")) as file:
        raw = file.read(16 + DIGITS * 784)
    idx = struct.pack(">4i", 0x803, DIGITS, 28, 28) + raw[16:]
    return idx, torch.frombuffer(bytearray(raw[16:]), dtype=torch.uint8).view(DIGITS, 1, 28, 28)


# --- networks in the authors' layout --------------------------------------------------------------------------------


def draw(seed, *shapes):
    """Weights alpha * sign and biases, input first; one alpha a matrix, or a channel of a convolution. Alphas are
    powers of two and biases multiples of 1/64: sums over constant states, whose pooling windows tie, are exact."""
    torch.manual_seed(seed)
    layers = []
    for shape in shapes:
        scales = (shape[0], 1, 1, 1) if len(shape) == 4 else (1, 1)
        power = torch.randint(0, 2, scales) - round(math.prod(shape[1:]) ** 0.5).bit_length()
        sign = torch.where(torch.rand(shape) < 0.5, -1.0, 1.0)
        layers.append((2.0**power * sign, (12 * torch.randn(shape[0])).round() / 64))
    return layers


def save(path, layers, archive=True):
    """What their torch.save() is given: modules counted from the output, errors as tensors. Not as an archive: in the
    format of PyTorch 1.3, which they used."""
    conv = [layer for layer in layers if layer[0].dim() == 4]
    rest = [layer for layer in layers if layer[0].dim() == 2]
    state = {}
    for kind, members in (("conv", conv), ("fc" if conv else "W", rest)):
        for number, (weight, bias) in enumerate(reversed(members)):
            state.update({f"{kind}.{number}.weight": weight, f"{kind}.{number}.bias": bias})
    errors = {"train_loss": 0.1, "train_error": torch.tensor(9.5), "test_loss": 0.2, "test_error": torch.tensor(9.0)}
    checkpoint = {"epoch": 11, "model_state_dict": state, **errors}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=archive)


def relax(layers, x, T, binary=False, padding=0, pool=2, theta=0.5, leak=0.5, expand=1):
    """Scores after the free phase, by dense products of the precision of x."""
    weights = [weight.to(x.dtype) for weight, _ in layers]
    biases = [bias.to(x.dtype) for _, bias in layers]
    conv = [weight.dim() == 4 for weight in weights]

    def up(k, a):
        if not conv[k]:
            return F.linear(a.flatten(1), weights[k], biases[k]), None
        drive = F.conv2d(a, weights[k], padding=padding) + biases[k].view(-1, 1, 1)
        pooled, where = F.max_pool2d(drive, pool, return_indices=True)
        return pooled, (where, drive.shape[2:])

    def down(k, a, pooling, shape):
        if not conv[k]:
            return (a.flatten(1) @ weights[k]).view(shape)
        opened = F.max_unpool2d(a, pooling[0], pool, output_size=pooling[1])
        return F.conv_transpose2d(opened, weights[k], padding=padding)

    states = [x if conv[0] else x.flatten(1)]
    for k in range(len(layers)):
        shape = up(k, states[-1])[0].shape
        states.append(torch.full(shape, 1.0 if binary else 0.5 if conv[0] else 0.0, dtype=x.dtype))
    for _ in range(T):
        active = [states[0]] + [(s - theta >= 0).to(x.dtype) if binary else s for s in states[1:]]
        forward = [up(k, active[k]) for k in range(len(layers))]
        for k in range(1, len(states)):
            drive = forward[k - 1][0]
            if k < len(layers):
                drive = drive + down(k, active[k + 1], forward[k][1], drive.shape)
            if binary:
                drive = (1 - leak) * states[k] + leak * ((states[k] - theta).abs() <= 0.5) * drive
            states[k] = drive.clamp(0, 1)
    return states[-1].view(len(x), 10, expand).mean(2)


class Checkpoints(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.checkpoint, self.network = self.inside("checkpoint.pt"), self.inside("network.safetensors")

    def inside(self, name):
        return os.path.join(self.folder.name, name)

    def convert(self, *options):
        done = run(CONVERTER, "--T", 20, *options, self.checkpoint, self.network)
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)
        return done.stderr

    def classify(self):
        """Scores and classes that bnnep-classify prints for the digits."""
        idx, images = digits()
        with open(self.inside("digits"), "wb") as file:
            file.write(idx)
        done = run(os.path.join(PROGRAMS, "bnnep-classify"), self.network, self.inside("digits"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = re.findall(r"^image=\d+ class=(\d) scores=(.*)$", done.stdout, re.M)
        scores = torch.tensor([[float(score) for score in line.split(",")] for _, line in lines])
        return images, scores, torch.tensor([int(line) for line, _ in lines])

    def same_as_relaxation(self, layers, options, **how):
        save(self.checkpoint, layers, archive=False)
        self.assertEqual(self.convert(*options), "")
        with open(self.network, "rb") as file:
            first = file.read()
        save(self.checkpoint, layers)
        self.assertEqual(self.convert(*options), "")
        with open(self.network, "rb") as file:
            self.assertEqual(file.read(), first)
        images, scores, classes = self.classify()
        pixels = images.float() / 255
        exact = relax(layers, pixels.double(), 20, **how)
        sure = (relax(layers, pixels, 20, **how) - exact).abs().amax(1) < EXACT
        self.assertGreater(sure.sum(), 0.8 * DIGITS)
        self.assertLess((scores - exact).abs()[sure].max(), CLOSE)
        chosen = exact.gather(1, classes[:, None])[:, 0]
        self.assertTrue((chosen >= exact.amax(1) - EXACT)[sure].all())
        # a network that says the same of every digit would prove little
        self.assertGreater(len(set(classes[sure].tolist())), 2)
        self.assertGreater(exact[sure].std(0).max(), 0.05)

    def test_fully_connected(self):
        layers = draw(4, (40, 784), (30, 40), (10, 30))
        self.same_as_relaxation(layers, ())

    def test_fully_connected_binary_activations(self):
        layers = draw(2, (50, 784), (20, 50))
        options = ("--binary_settings", "bin_W_N", "--expand_output", 2, "--rho_threshold", 0.4, "--gamma_neur", 0.3)
        self.same_as_relaxation(layers, options, binary=True, expand=2, theta=0.4, leak=0.3)

    def test_convolutional(self):
        layers = draw(1, (4, 1, 5, 5), (6, 4, 5, 5), (10, 6 * 7 * 7))
        self.same_as_relaxation(layers, ("--padding", 2), padding=2)

    def test_convolutional_binary_activations(self):
        layers = draw(4, (5, 1, 5, 5), (6, 5, 5, 5), (15, 6 * 2 * 2), (20, 15))
        options = ("--binary_settings", "bin_W_N", "--expand_output", 2, "--padding", 1, "--Fpool", 3)
        self.same_as_relaxation(layers, options, binary=True, expand=2, padding=1, pool=3)

    # --- there and back ---

    def read(self, path):
        """Network, metadata, names and bytes of the tensors of a safetensors file."""
        with open(path, "rb") as file:
            raw = file.read()
        length = struct.unpack("<Q", raw[:8])[0]
        header, data = json.loads(raw[8 : 8 + length]), raw[8 + length :]
        metadata = header.pop("__metadata__")
        return metadata.pop("network"), metadata, header, data

    def there_and_back(self, shapes, train_options, options):
        train = (os.path.join(PROGRAMS, "bnnep-train"), *train_options, "--epochs", 1, "--train-limit", 40)
        done = run(*train, "--test-limit", 10, "--T", 20, "--data", SAMPLE, "--out", self.inside("runs"))
        said = [line for line in done.stderr.splitlines() if not line.endswith("flipped no weight")]
        self.assertEqual((done.returncode, said), (0, []))
        (trained,) = glob.glob(self.inside("runs/*/*/S-1/network.safetensors"))
        network, metadata, header, data = self.read(trained)

        def tensor(name, kind):
            about = header[name]
            return np.frombuffer(data[slice(*about["data_offsets"])], kind).reshape(about["shape"])

        layers = []
        for k, shape in enumerate(shapes):
            bits = np.unpackbits(tensor(f"connection.{k}.signs", np.uint8), axis=1, bitorder="little")
            signs = 2.0 * bits[:, : math.prod(shape[1:])].reshape(shape) - 1
            alpha = tensor(f"connection.{k}.alpha", "<f4").reshape(-1, *[1] * (len(shape) - 1))
            bias = tensor(f"connection.{k}.bias", "<f4").copy()
            layers.append((torch.tensor(alpha * signs, dtype=torch.float32), torch.tensor(bias)))
        save(self.checkpoint, layers)
        self.convert(*options)
        again = self.read(self.network)
        self.assertEqual((again[0], again[2], again[3]), (network, header, data))
        self.assertEqual(list(again[1]), list(metadata))
        self.assertEqual(again[1]["format"], metadata["format"])
        self.assertEqual(again[1]["note"], "from checkpoint.pt of the authors' program after epoch 12")
        self.assertEqual(os.stat(self.network).st_mode & 0o777, 0o644)
        self.classify()

    def test_there_and_back(self):
        self.there_and_back(((33, 784), (10, 33)), ("--preset", "mnist-fc1", "--layersList", 784, 33, 10), ())

    def test_there_and_back_convolutional(self):
        shapes = ((2, 1, 5, 5), (3, 2, 5, 5), (10, 3 * 7 * 7))
        self.there_and_back(shapes, ("--preset", "mnist-conv", "--convList", 3, 2, 1), ("--padding", 2))

    def test_normalisation(self):
        save(self.checkpoint, draw(7, (12, 3 * 32 * 32), (10, 12)))
        self.convert("--dataset", "cifar10")
        self.assertRegex(self.read(self.network)[1]["note"], r" mean=0.4914,0.4822,0.4465 deviation=0.247,0.243,0.261$")

    def test_there_and_back_binary_activations(self):
        small = ("--preset", "mnist-fc1-bin", "--layersList", 784, 33, 100, "--rho_threshold", 0.3)
        options = ("--binary_settings", "bin_W_N", "--expand_output", 10, "--rho_threshold", 0.3)
        self.there_and_back(((33, 784), (100, 33)), small, options)

    # --- what is wrong ---

    def refused(self, says, *options):
        done = run(CONVERTER, *(options or ("--T", 20)), self.checkpoint, self.network)
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("Traceback", done.stderr)
        self.assertRegex(done.stderr, says)
        self.assertEqual([name for name in os.listdir(self.folder.name) if name != "checkpoint.pt"], [])

    def test_refusals(self):
        for says, change in (
            ("there is no W.0.bias", lambda s: s.pop("W.0.bias")),
            ("there is no W.0.weight", lambda s: s.pop("W.0.weight")),
            ("there is no fc.0.weight", dict.clear),
            ("W.1.bias is no parameter|there is no W.1.weight", lambda s: s.pop("W.1.weight")),
            ("W.3.bias is no parameter", lambda s: s.update({"W.3.bias": torch.zeros(3)})),
            ("W.0.weight takes 12 inputs, but the layer below has 11", narrow),
            (r"W.1.weight takes 12 inputs, but the layer below has 784, \[1, 28, 28\]", swap),
            (r"W.1.bias has the shape \[11\], expected \[12\]", lambda s: s.update({"W.1.bias": torch.zeros(11)})),
            ("W.1.weight is not binary: it has magnitudes .* and 0.25", lambda s: s["W.1.weight"][3, 4].fill_(0.25)),
            ("W.1.weight holds NaN", lambda s: s["W.1.weight"][3, 4].fill_(float("nan"))),
            ("W.0.bias holds NaN or an infinite value", lambda s: s["W.0.bias"][3].fill_(float("-inf"))),
            ("W.0.bias is no tensor of floating-point numbers", lambda s: s.update({"W.0.bias": torch.arange(10)})),
            (r"W.0.weight has the shape \[120\], expected 2", lambda s: s.update({"W.0.weight": torch.ones(120)})),
        ):
            with self.subTest(says):
                save(self.checkpoint, draw(5, (12, 784), (10, 12)))
                whole = torch.load(self.checkpoint)
                change(whole["model_state_dict"])
                torch.save(whole, self.checkpoint)
                self.refused(says)

    def test_options_that_do_not_fit(self):
        save(self.checkpoint, draw(6, (20, 784), (20, 20)))
        self.refused("the last layer has 20 units, expected 10 . --expand_output 1")
        self.refused("are required: --T", "--expand_output", 2)
        self.refused("--T: 0 is not from 1", "--T", 0, "--expand_output", 2)
        self.refused("W.1.weight takes 784 inputs, but the layer below has 3072", "--T", 20, "--dataset", "cifar10")
        layers = draw(7, (4, 1, 5, 5), (6, 4, 5, 5), (10, 6 * 7 * 7))
        save(self.checkpoint, layers)
        self.refused("fc.0.weight takes 294 inputs, but the layer below has 96", "--T", 20)
        self.refused("conv.0: nothing is left of a map of 6 x 6", "--T", 20, "--Fpool", 4)
        self.refused(r"conv.1.weight .* the layer below has 3 channels", "--T", 20, "--dataset", "cifar10")
        layers[1][0][2, 1, 0, 0] *= 2
        save(self.checkpoint, layers)
        self.refused("channel 2 of conv.0.weight is not binary", "--T", 20, "--padding", 2)

    def test_files_that_are_none(self):
        self.refused("checkpoint.pt: cannot be read")
        for content in (b"", b"PK\x03\x04 and no more", os.urandom(1000)):
            self.put(content)
            self.refused("checkpoint.pt: cannot be read")
        for archive in (False, True):
            save(self.checkpoint, draw(9, (10, 784)), archive)
            with open(self.checkpoint, "rb") as file:
                whole = file.read()
            for length in (10, 200, len(whole) // 2, len(whole) - 1):
                self.put(whole[:length])
                self.refused("checkpoint.pt: cannot be read")
            # code is neither run nor looked up
            torch.save({"epoch": os.getcwd}, self.checkpoint, _use_new_zipfile_serialization=archive)
            self.refused("checkpoint.pt: cannot be read: it names posix.getcwd")
        for content in ({"epoch": 3}, torch.zeros(3), {"model_state_dict": 3}, {"model_state_dict": {3: 3}}):
            torch.save(content, self.checkpoint)
            self.refused("checkpoint.pt: has no model_state_dict")

    def put(self, content):
        with open(self.checkpoint, "wb") as file:
            file.write(content)

    def test_weights_of_zero(self):
        """Their initial sign(0) is 0 for ever; we have no bit for that."""
        layers = draw(8, (12, 784), (10, 12))
        layers[0][0][1, 2] = layers[0][0][7, 700] = 0
        save(self.checkpoint, layers)
        self.assertIn("2 weights of W.1 are 0", self.convert())
        _, _, header, data = self.read(self.network)
        signs = np.frombuffer(data[slice(*header["connection.0.signs"]["data_offsets"])], np.uint8).reshape(12, 98)
        self.assertEqual((signs[1, 0] >> 2 & 1, signs[7, 87] >> 4 & 1), (1, 1))

    def test_a_folder_that_is_not_there(self):
        save(self.checkpoint, draw(9, (10, 784)))
        done = run(CONVERTER, "--T", 20, self.checkpoint, self.inside("nowhere/network"))
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("nowhere/network: cannot be written: No such file", done.stderr)


def narrow(state):
    state["W.1.weight"], state["W.1.bias"] = state["W.1.weight"][:11], state["W.1.bias"][:11]


def swap(state):
    for part in ("weight", "bias"):
        state[f"W.0.{part}"], state[f"W.1.{part}"] = state[f"W.1.{part}"], state[f"W.0.{part}"]


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
