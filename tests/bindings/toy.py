# SPDX-License-Identifier: MIT
"""A small problem, for the tests of the Python binding. Where numpy is missing they are skipped: exit status 77."""
import sys

try:
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

from bnnep import Network, fc

RATES = {"gamma": 1e-2, "threshold": 1e-5, "lr_bias": [0.05, 0.025]}


def toy(count=60, seed=0):
    """Inputs of 12 values whose class is where they are large."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count).astype(np.int32)
    inputs = random.random((count, 12), np.float32) * 0.3
    inputs[np.arange(count), 4 * labels] += 0.7
    return inputs, labels


def small(**options):
    return Network((12,), [fc(30), fc(3)], **{"classes": 3, "free_steps": 20, "max_batch": 16, **options})
