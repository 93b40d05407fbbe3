#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The default rule on scikit-learn's small data sets, beside its logistic regression.

    PYTHONPATH=bindings/python BNNEP_LIBRARY=build/release/libbnnep.so bench/small_data.py

Networks of one hidden layer, with nothing set but their shape, a balanced start (binary activations: 20 free steps too); each seed draws the
weights, the order of the data and the split, a quarter of each class for the test. Needs Debian's python3-sklearn.
"""

import argparse

import numpy as np
from sklearn import datasets, linear_model, model_selection, preprocessing

from bnnep import Context, Dataset, Dynamics, Network, Optimizer, Start, fc

SETS = {
    "digits": (datasets.load_digits, preprocessing.MinMaxScaler),
    "breast cancer": (datasets.load_breast_cancer, preprocessing.StandardScaler),
    "wine": (datasets.load_wine, preprocessing.StandardScaler),
}


def split(name, seed):
    """Inputs and labels to train on, then to test on, the inputs scaled by those to train on."""
    load, scaler = SETS[name]
    whole = load()
    x, test_x, y, test_y = model_selection.train_test_split(
        whole.data, whole.target, test_size=0.25, random_state=seed, stratify=whole.target
    )
    scale = scaler().fit(x)
    return scale.transform(x).astype(np.float32), y, scale.transform(test_x).astype(np.float32), test_y


def accuracy(parts, seed, binary, arguments):
    x, y, test_x, test_y = parts
    classes = int(y.max()) + 1
    expand = 10 if binary else 1
    options = {"dynamics": Dynamics.BINARY, "free_steps": 20, "expand_output": expand} if binary else {}
    layers = [fc(arguments.hidden), fc(classes * expand)]
    network = Network((x.shape[1],), layers, classes=classes, seed=seed, start=Start.BALANCED, context=Context(threads=1),
                      **options)  # fmt: skip
    optimizer = Optimizer(network, seed=seed)
    data = Dataset(x, y.astype(np.int32))
    for _ in range(arguments.epochs):
        optimizer.train_epoch(data)
    return np.mean(network.predict(test_x) == test_y)


def summary(values):
    return f"{100 * np.median(values):.1f} ({100 * min(values):.1f} to {100 * max(values):.1f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, default=200, metavar="N", help="hidden units [200]")
    parser.add_argument("--epochs", type=int, default=100, metavar="N", help="times through the data [100]")
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="seeds 0 ... N-1 [10]")
    arguments = parser.parse_args()
    print("| data | full-precision activations | binary activations | logistic regression |")
    print("|---|---|---|---|")
    for name in SETS:
        real, binary, logistic = [], [], []
        for seed in range(arguments.seeds):
            parts = split(name, seed)
            x, y, test_x, test_y = parts
            real.append(accuracy(parts, seed, False, arguments))
            binary.append(accuracy(parts, seed, True, arguments))
            logistic.append(linear_model.LogisticRegression(max_iter=1000).fit(x, y).score(test_x, test_y))
        print(f"| {name} | {summary(real)} | {summary(binary)} | {summary(logistic)} |", flush=True)


if __name__ == "__main__":
    main()
