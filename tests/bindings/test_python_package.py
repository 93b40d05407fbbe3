#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The Python package installs with pip from the tree, where there is no index, and its example runs.

    test_python_package.py SOURCE_FOLDER

Exit status 77: numpy, matplotlib, pip, setuptools or wheel is missing.
"""
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

missing = [name for name in ("numpy", "matplotlib", "pip", "setuptools", "wheel") if not importlib.util.find_spec(name)]
if missing:
    print(f"skipped: no {', '.join(missing)}")
    sys.exit(77)

SOURCE = os.path.abspath(sys.argv[1])


def run(*command, **variables):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, capture_output=True, text=True, env={**environment, **variables})


class Package(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def test_pip_install(self):
        tree = os.path.join(self.folder, "tree")  # building leaves folders in the source
        unwanted = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
        for part in ("bindings/python", "include"):
            shutil.copytree(os.path.join(SOURCE, part), os.path.join(tree, part), ignore=unwanted)
        venv = os.path.join(self.folder, "venv")
        python = os.path.join(venv, "bin", "python")
        # without a pip of its own it uses the system's, so that python3-venv is not needed
        made = run("/usr/bin/python3", "-m", "venv", "--system-site-packages", "--without-pip", venv)
        self.assertEqual(made.returncode, 0, made.stderr)
        pip = (python, "-m", "pip", "install", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
        done = run(*pip, os.path.join(tree, "bindings", "python"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        program = (
            "import bnnep, importlib.metadata as m, os; d = os.path.dirname(bnnep.__file__)\n"
            "print(m.version('bnnep') == bnnep.version(), d.startswith(os.sys.prefix), 'py.typed' in os.listdir(d))"
        )
        done = run(python, "-c", program)
        self.assertEqual((done.stdout, done.stderr), ("True True True\n", ""))

    def test_train_mnist(self):
        import matplotlib.image
        import numpy as np

        script = os.path.join(SOURCE, "bindings", "python", "train_mnist.py")
        out = os.path.join(self.folder, "out")
        done = run(sys.executable, script, "--hidden", "50", "--epochs", "2", "--out", out, PYTHONDONTWRITEBYTECODE="1")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertRegex(lines[1], r"epoch 2: error \d+\.\d+%, test error \d+\.\d+%, flips \d+, \d+, \d+\.\d s")
        self.assertLess(float(lines[1].split("test error ")[1].split("%")[0]), 60)
        pictures = [os.path.join(out, f"{name}.png") for name in ("curves", "weights", "states", "mistakes")]
        self.assertEqual(lines[2:], pictures)
        for picture in lines[2:]:
            pixels = (255 * matplotlib.image.imread(picture)[:, :, :3]).astype(int).reshape(-1, 3)
            self.assertGreater(len(np.unique(pixels, axis=0)), 10, picture)
        self.assertGreater(os.path.getsize(os.path.join(out, "network.safetensors")), 50 * 784 // 8)
        done = run(sys.executable, script, "--data", "/nowhere")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "^train_mnist.py: /nowhere")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
