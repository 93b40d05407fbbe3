# SPDX-License-Identifier: MIT
"""A run of bnnep-train that takes some milliseconds, and what it comes to."""
import gzip
import json
import os
import random
import re
import struct
import subprocess

SIDE, TRAINING, TEST = 4, 40, 20


def write_data(folder):
    """A folder of images of random bytes, in IDX."""
    numbers = random.Random(5)
    os.mkdir(folder)
    for part, count in (("train", TRAINING), ("t10k", TEST)):
        pixels = bytes(numbers.randrange(256) for _ in range(count * SIDE * SIDE))
        labels = bytes(numbers.randrange(10) for _ in range(count))
        with gzip.open(f"{folder}/{part}-images-idx3-ubyte.gz", "wb") as file:
            file.write(struct.pack(">IIII", 0x803, count, SIDE, SIDE) + pixels)
        with open(f"{folder}/{part}-labels-idx1-ubyte", "wb") as file:
            file.write(struct.pack(">II", 0x801, count) + labels)


def command(train, data, out, epochs):
    """A checkpoint after each batch, a new best network now and then."""
    return (
        f"{train} --preset mnist-fc1-alpha --layersList 16 6 10 --gamma 1e-2 1e-2 --gradThreshold 1e-5 1e-5 --T 5"
        f" --Kmax 2 --batchSize 10 --epochs {epochs} --threads 1 --backend cpu --checkpoint-minutes 1e-9"
        f" --data {data} --out {out}"
    ).split()


def run(words, seconds=20, **environment):
    """Its exit status, negative for a signal or None if it did not end; what it printed, and its errors."""
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("BNNEP_")}
    try:
        done = subprocess.run(
            words, env={**surroundings, **environment}, timeout=seconds, stdin=subprocess.DEVNULL, capture_output=True
        )
    except subprocess.TimeoutExpired:
        return None, "", "does not end"
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def folder_of(out):
    """The folder of the run below --out; None if there is none yet."""
    for folder, _, names in os.walk(out):
        if re.fullmatch("S-[0-9]+", os.path.basename(folder)):
            return folder
    return None


def parts(path):
    """The tensors of a file, and where its run stands, but for the seconds that it took."""
    with open(path, "rb") as file:
        content = file.read()
    length = struct.unpack("<Q", content[:8])[0]
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    position = json.loads(metadata.get("position", "{}"))
    position.pop("seconds", None)
    return content[8 + length :], position, metadata["note"]


def outcome(folder):
    """What a finished run has come to."""
    with open(f"{folder}/results.csv") as file:
        rows = [line.rstrip("\n").split(",") for line in file]
    seconds = rows[0].index("Seconds")
    names = ("checkpoint", "checkpoint-best", "network")
    timeless = [row[:seconds] + row[seconds + 1 :] for row in rows]
    return timeless, [parts(f"{folder}/{name}.safetensors") for name in names]


def wrong_resume(train, folder, wanted, *options):
    """Goes on with a run to its end; None if it comes to what is wanted, else what is wrong."""
    status, _, errors = run([train, "--resume", folder, *options])
    if status != 0:
        return f"status {status}: {errors.strip()}"
    try:
        found = outcome(folder)
    except (OSError, ValueError, KeyError) as error:
        return f"the run's files: {error}"
    left = [name for name in os.listdir(folder) if name.endswith(".part")]
    if left:
        return f"left behind: {left}"
    return None if found == wanted else "the run has ended otherwise"
