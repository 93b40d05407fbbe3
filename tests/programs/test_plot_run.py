#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""plot_run.py draws what bnnep-train kept, and says what is wrong with what it did not.

    test_plot_run.py PLOTTER BNNEP_TRAIN SAMPLE_FOLDER

Exit status 77: matplotlib or pandas is missing.
"""
import glob
import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

try:
    import matplotlib.image
    import numpy as np
    import pandas
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

PLOTTER, TRAIN, SAMPLE = sys.argv[1:]
NETWORKS = {
    "fc": ("--preset", "mnist-fc1", "--layersList", 784, 20, 10),
    "other": ("--preset", "mnist-fc1", "--layersList", 784, 21, 10),
    "single": ("--preset", "mnist-fc1-bin", "--layersList", 784, 20, 100),
    "conv": ("--preset", "mnist-conv", "--convList", 3, 2, 1, "--T", 10),
}


def run(*command):
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


class Pictures(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.runs = {}
        for name, options in NETWORKS.items():
            out = os.path.join(cls.folder, name)
            for seed in (1, 2):
                few = ("--epochs", 2, "--train-limit", 100, "--test-limit", 50, "--batchSize", 20, "--seed", seed)
                done = run(TRAIN, *options, *few, "--data", SAMPLE, "--out", out)
                if done.returncode != 0:
                    raise RuntimeError(done.stderr)
            cls.runs[name] = sorted(glob.glob(os.path.join(out, "*", "*", "S-*")))

    def draw(self, *arguments, out):
        """Runs the program, which must print the names of the pictures in `out`."""
        done = run(PLOTTER, *arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        pictures = ("curves", "weights", "learning") + (("confusion", "mistakes", "settling") if "--data" in arguments else ())
        names = [os.path.join(out, f"{name}.{kind}") for name in pictures for kind in ("png", "svg")]
        self.assertEqual(done.stdout.splitlines(), names)

    def looks_right(self, out, bands, *words):
        """Pictures that are not blank, with these words (SVG keeps them as comments) and bands of deviations."""
        for name in ("curves.png", "weights.png", "learning.png"):
            picture = matplotlib.image.imread(os.path.join(out, name))[:, :, :3]
            colours, counts = np.unique((255 * picture).astype(int).reshape(-1, 3), axis=0, return_counts=True)
            self.assertGreater(len(colours), 5, name)
            self.assertLess(counts.max() / counts.sum(), 0.97, name)
            self.assertGreater(min(picture.shape[:2]), 400, name)
        with open(os.path.join(out, "curves.svg")) as file:
            curves = file.read()
        for word in ("epoch", "error (%)", "loss per sample", "ln(flips / weights)", *words):
            self.assertIn(f"<!-- {word}", curves)
        self.assertEqual(len(re.findall(r'<g id="\w*PolyCollection_', curves)), bands)
        with open(os.path.join(out, "weights.svg")) as file:
            self.assertIn("<!-- first connection, ", file.read())

    def test_one_run(self):
        (folder, _) = self.runs["fc"]
        self.draw(folder, out=folder)
        self.looks_right(folder, 0, "connection 0, input", "connection 1")

    def test_several_runs(self):
        out = os.path.join(self.folder, "pictures", "of runs")
        self.draw("--out", out, *self.runs["fc"], out=out)
        # two errors, two losses, two connections
        self.looks_right(out, 6, "DATA-0-fc-mnist, 2 runs, mean ± standard deviation")

    def test_convolutional(self):
        out = os.path.join(self.folder, "conv")
        self.draw("--out", out, *self.runs["conv"], out=out)
        self.looks_right(out, 7, "connection 0 (conv), input", "connection 1 (conv)", "connection 2 (fc)")

    def test_single_readout(self):
        (folder, _) = self.runs["single"]
        self.draw(folder, out=folder)
        self.looks_right(folder, 0, "test, single readout")

    def texts(self, out, name):
        with open(os.path.join(out, f"{name}.svg")) as file:
            return re.findall("<!-- (.*) -->", file.read())

    def test_test_set(self):
        """The pictures of the test set: their numbers add up to what training told."""
        out = os.path.join(self.folder, "tests")
        (folder, _) = self.runs["fc"]
        self.draw("--out", out, "--data", SAMPLE, "--programs", os.path.dirname(TRAIN), folder, out=out)
        classified = run(
            os.path.join(os.path.dirname(TRAIN), "bnnep-classify"),
            os.path.join(folder, "network.safetensors"),
            os.path.join(SAMPLE, "t10k-images-idx3-ubyte.gz"),
        )
        taken = [int(word) for word in re.findall(r"class=(\d)", classified.stdout)]
        with gzip.open(os.path.join(SAMPLE, "t10k-labels-idx1-ubyte.gz")) as file:
            labels = list(file.read()[8:])
        wrong = sum(a != b for a, b in zip(taken, labels))
        confusion = self.texts(out, "confusion")
        self.assertIn(f"1000 test images, error {wrong / 10:.2f} %", confusion)
        # all numbers but those beside the ticks
        numbers = [int(text) for text in confusion if text.isdigit()]
        self.assertEqual(sum(numbers) - 2 * sum(range(10)), 1000)
        mistakes = self.texts(out, "mistakes")
        self.assertTrue(any(f"40 of {wrong} mistakes in 1000 test images" in text for text in mistakes))
        pairs = {f"{b} as {a}" for a, b in zip(taken, labels) if a != b}
        shown = [text for text in mistakes if re.fullmatch(r"\d as \d", text)]
        self.assertEqual(len(shown), 40)
        self.assertLessEqual(set(shown), pairs)
        settling = self.texts(out, "settling")
        self.assertIn("mean of the first 256 test images", settling)
        self.assertIn("hidden 1", settling)

    def refused(self, says, *runs):
        done = run(PLOTTER, *runs)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertNotIn("Traceback", done.stderr)
        self.assertIn(says, done.stderr)

    def test_refusals(self):
        nowhere = os.path.join(self.folder, "nowhere")
        self.refused(f"{nowhere}/results.csv: No such file", nowhere)
        self.assertFalse(os.path.exists(nowhere))
        self.refused("the runs are of different networks: their results.csv", self.runs["fc"][0], self.runs["conv"][0])
        self.refused(f"{self.runs['other'][0]} is not of that of", self.runs["fc"][0], self.runs["other"][0])
        self.refused("holds neither", "--data", self.folder, self.runs["fc"][0])
        self.refused("bnnep-classify is not found", "--data", SAMPLE, "--programs", self.folder, self.runs["fc"][0])
        broken = os.path.join(self.folder, "broken")
        shutil.copytree(self.runs["fc"][0], broken)
        with open(os.path.join(broken, "checkpoint.safetensors"), "r+b") as file:
            file.truncate(5)
        self.refused("cannot be read", broken)
        with open(os.path.join(broken, "results.csv"), "r+b") as file:
            file.truncate(len(file.readline()))
        self.refused("a run without a finished epoch", broken)
        with open(os.path.join(broken, "results.csv"), "w"):
            pass
        self.refused("cannot be read", broken)
        os.remove(os.path.join(broken, "results.csv"))
        self.refused(f"{broken}/results.csv: No such file", broken)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
