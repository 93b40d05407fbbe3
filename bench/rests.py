#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Where each schedule comes to rest, and in how many steps.

    rests.py [--samples N] [--settle TOL,TOL...] --data FOLDER PRESET NETWORK

For a network file that bnnep-train wrote for a preset of full-precision activations, the free phases of the first N test
images. Prints rows of a table in Markdown: mean and most steps of a sample; the median distance of a sample's states from
where alternating steps rest without a tolerance, which is the largest difference of a state; the share of samples further
than 0.01 from there; and the share of other classes. Needs the package of bindings/python and the library (README), and the
files of MNIST in FOLDER.
"""
import argparse

import numpy as np
from bnnep import Dataset, Network, Part, Schedule
from tolerance import PRESETS

MOST_STEPS = 2000


def rest(loaded, preset, schedule, tolerance, images):
    """States of all layers, [sample, unit], mean and most steps of a sample, and classes."""
    network = Network(loaded.info.input_shape, PRESETS[preset][1], max_batch=len(images), schedule=schedule,
                      free_steps=MOST_STEPS, settle_tolerance=tolerance, feedback=loaded.info.feedback)
    for to, given in zip(network.connections, loaded.connections):
        to.signs, to.bias, to.alpha = given.signs, given.bias, given.alpha
    network.workspace.stage(images)
    done = network.workspace.relax(MOST_STEPS)
    states = [network.workspace.state(layer, len(images)) for layer in range(1, network.info.layer_count)]
    return np.concatenate(states, 1), done.sample_steps / len(images), done.most_steps, network.predict(images)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, metavar="FOLDER")
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--settle", default="1e-6,1e-4,1e-3", metavar="TOL,TOL...")
    parser.add_argument("preset", choices=PRESETS)
    parser.add_argument("network", help="a network file")
    arguments = parser.parse_args()
    images = Dataset.open(arguments.data, part=Part.TEST).read(0, arguments.samples)[0]
    loaded = Network.load(arguments.network)
    exact, *_, classes = rest(loaded, arguments.preset, Schedule.ALTERNATING, 0.0, images)
    print("| preset | schedule | tolerance | steps | most | distance | elsewhere | other classes |")
    print("|---|---|---|---|---|---|---|---|")
    for schedule in Schedule:
        for tolerance in arguments.settle.split(","):
            states, mean, most, other = rest(loaded, arguments.preset, schedule, float(tolerance), images)
            distance = np.abs(states - exact).max(1)
            print(f"| {arguments.preset} | {schedule.name.lower()} | {tolerance} | {mean:.1f} | {most} "
                  f"| {np.median(distance):.0e} | {np.mean(distance > 0.01):.0%} | {np.mean(other != classes):.0%} |",
                  flush=True)


if __name__ == "__main__":
    main()
