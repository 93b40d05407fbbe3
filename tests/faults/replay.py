#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs of bnnep-train on a machine that loses its power.

    replay.py BNNEP_TRAIN RECORDER [--most N] [--seed S]

A small run with a checkpoint after each batch is recorded (record.c), and one that is gone on with. For each call of
the record the states are made that the disk could be in if the power went after it. What was synced is there: the
bytes of a file after its fsync(), a name after that of its folder. Of the rest, writes and names alike, in the order
they were done: none; all; each alone; all but one; some at random; all, but one write by half, or as zeros.

If a first checkpoint was synced before, the run must go on from each state and end as the one that was not disturbed:
results.csv but for the seconds, the tensors and positions of its checkpoints, its network. Before, it may say that
there is no checkpoint. --most N: some N of the states.

Prints what is lost, and a line of figures. Exit status 1 if anything is.
"""
import concurrent.futures
import os
import random
import shutil
import sys
import tempfile

import tiny


class Disk:
    """Folders and files as the program has made them, and what of it is on the disk."""

    def __init__(self, root):
        self.names = {root: None}  # path: number of a file, None for a folder
        self.files = []  # contents by number
        self.pending = []  # changes that are not on the disk, in order
        self.descriptors = {}
        for folder, folders, names in os.walk(root):
            for name in folders:
                self.names[f"{folder}/{name}"] = None
            for name in names:
                with open(f"{folder}/{name}", "rb") as file:
                    self.names[f"{folder}/{name}"] = len(self.files)
                    self.files.append(file.read())
        self.now = dict(self.names)  # with what is pending

    def do(self, line):
        """A call of the record."""
        what, *words = line.split()
        if what == "open":
            self.open(*words)
        elif what == "write":
            self.pending.append(("write", self.descriptors[words[0]], int(words[1]), bytes.fromhex(words[2])))
        elif what == "cut":
            self.pending.append(("cut", self.descriptors[words[0]], int(words[1])))
        elif what == "sync":
            self.sync(self.descriptors[words[0]])
        elif what == "close":
            del self.descriptors[words[0]]
        elif what == "rename":
            self.change(("rename", self.now[words[0]], words[0], words[1]))
        elif what == "unlink":
            self.change(("unlink", self.now[words[0]], words[0]))
        elif what == "mkdir":
            self.change(("link", None, words[0]))

    def open(self, descriptor, how, path):
        if how == "c":
            self.files.append(b"")
            self.change(("link", len(self.files) - 1, path))
        number = self.now[path]
        if how == "t":
            self.pending.append(("cut", number, 0))
        self.descriptors[descriptor] = path if number is None else number

    def change(self, change):
        self.pending.append(change)
        apply_name(self.now, change)

    def sync(self, which):
        """A file by its number, a folder by its path."""
        is_file = isinstance(which, int)
        kept = []
        for change in self.pending:
            mine = change[0] in ("write", "cut") and change[1] == which if is_file else folder_of(change) == which
            if not mine:
                kept.append(change)
            elif is_file:
                self.files[which] = apply_bytes(self.files[which], change)
            else:
                apply_name(self.names, change)
        self.pending = kept

    def state(self, changes):
        """Paths with contents, None for folders, if of what is pending these changes are on the disk."""
        names, files = dict(self.names), {}
        for change in changes:
            if change[0] in ("write", "cut"):
                files[change[1]] = apply_bytes(files.get(change[1], self.files[change[1]]), change)
            else:
                apply_name(names, change)
        return {
            path: None if number is None else files.get(number, self.files[number])
            for path, number in names.items()
            if has_folders(path, names)
        }


def folder_of(change):
    return os.path.dirname(change[-1]) if change[0] in ("link", "rename", "unlink") else None


def has_folders(path, names):
    """What lies in a folder whose name is lost is lost."""
    root = min(names, key=len)
    while path != root:
        path = os.path.dirname(path)
        if path not in names:
            return False
    return True


def apply_name(names, change):
    what, number, path = change[:3]
    if what != "link" and names.get(path, -1) == number:
        del names[path]
    if what != "unlink":
        names[change[-1]] = number


def apply_bytes(content, change):
    if change[0] == "cut":
        return content[: change[2]].ljust(change[2], b"\0")
    _, _, offset, added = change
    return content[:offset].ljust(offset, b"\0") + added + content[offset + len(added) :]


def subsets(pending, numbers):
    """Which changes are on the disk."""
    yield []
    yield pending
    for i, change in enumerate(pending):
        yield [change]
        yield pending[:i] + pending[i + 1 :]
        if change[0] == "write":
            half = change[3][: len(change[3]) // 2]
            yield pending[:i] + [change[:3] + (half,)] + pending[i + 1 :]
            yield pending[:i] + [change[:3] + (bytes(len(change[3])),)] + pending[i + 1 :]
    for _ in range(4 if len(pending) > 2 else 0):
        yield [change for change in pending if numbers.random() < 0.5]


def states_of(record, disk, begun, seed):
    """All states, each once, with whether a run must go on from it. `begun`: from the first on."""
    numbers = random.Random(seed)
    made = {}
    folder = None  # that has a checkpoint
    for line in [""] + record:
        words = line.split()
        if words:
            disk.do(line)
        if words[:1] == ["rename"] and line.endswith("/checkpoint.safetensors"):
            folder = os.path.dirname(words[2])
        begun = begun or (words[:1] == ["sync"] and disk.descriptors[words[1]] == folder)
        for changes in subsets(disk.pending, numbers):
            state = disk.state(changes)
            made[frozenset(state.items())] = (state, begun)  # the later one asks for more
    return list(made.values())


def some_of(states, most, seed):
    """Of each set of names one at least, as far as that goes, as few states lack what most have; then any."""
    shuffled = random.Random(seed).sample(states, len(states))
    seen, first, others = set(), [], []
    for state, begun in shuffled:
        names = frozenset(state), begun
        (others if names in seen else first).append((state, begun))
        seen.add(names)
    return (first + others)[:most]


def try_state(train, root, place, state, begun, wanted):
    """What is wrong with going on from a state; None if nothing is."""
    shutil.rmtree(place, ignore_errors=True)
    for path, content in sorted(state.items()):
        there = place + path[len(root) :]
        if content is None:
            os.mkdir(there)
        else:
            with open(there, "wb") as file:
                file.write(content)
    folder = tiny.folder_of(place)
    if begun:
        wrong = tiny.wrong_resume(train, folder, wanted) if folder else "there is no folder"
    else:
        status, _, errors = tiny.run([train, "--resume", folder or place])
        wrong = None if status in (0, 1) else f"status {status}: {errors.strip()}"
    if not wrong:
        shutil.rmtree(place)
    return wrong


def record_run(words, work, root, recorder):
    """The lines of its record."""
    path = f"{work}/record"
    status, _, errors = tiny.run(words, LD_PRELOAD=recorder, BNNEP_RECORD=path, BNNEP_RECORD_ROOT=root)
    assert status == 0, errors
    with open(path) as file:
        lines = file.read().splitlines()
    os.remove(path)
    return lines


def main():
    train, recorder, *options = sys.argv[1:]
    values = dict(zip(options[::2], map(int, options[1::2])))
    work = tempfile.mkdtemp(prefix="bnnep-power-")
    data, whole, root = f"{work}/data", f"{work}/whole", f"{work}/root"
    tiny.write_data(data)
    assert tiny.run(tiny.command(train, data, whole, 3))[0] == 0
    wanted = tiny.outcome(tiny.folder_of(whole))
    os.mkdir(root)
    disk = Disk(root)
    record = record_run(tiny.command(train, data, root, 3), work, root, recorder)
    states = states_of(record, disk, False, values.get("--seed", 1))
    shutil.rmtree(root)
    assert tiny.run(tiny.command(train, data, root, 1))[0] == 0
    disk = Disk(root)
    resumed = record_run([train, "--resume", tiny.folder_of(root), "--epochs", "3"], work, root, recorder)
    # what is not gone on with by --epochs 3 ends after one epoch
    later = [(state, True) for state, _ in states_of(resumed, disk, True, values.get("--seed", 1))]
    states += [(state, begun) for state, begun in later if is_longer(state)]
    count = len(states)
    if values.get("--most", count) < count:
        states = some_of(states, values["--most"], values.get("--seed", 1))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        tried = [
            pool.submit(try_state, train, root, f"{work}/{i}", state, begun, wanted)
            for i, (state, begun) in enumerate(states)
        ]
        lost = 0
        for i, each in enumerate(tried):
            if each.result():
                lost += 1
                print(f"  {work}/{i}: {each.result()}")
    begun = sum(must for _, must in states)
    calls = len(record) + len(resumed)
    print(
        f"power: {calls} calls recorded, {count} states, {len(states)} tried, {begun} of them after the first"
        f" checkpoint, {lost} lost"
    )
    if lost == 0:
        shutil.rmtree(work)
    sys.exit(lost > 0 or begun == 0)


def is_longer(state):
    """Does the newest checkpoint that is whole say that there are 3 epochs?"""
    for name in ("/checkpoint.safetensors", "/checkpoint-previous.safetensors"):
        for path, content in state.items():
            if path.endswith(name):
                return b"--epochs 3" in content
    return False


if __name__ == "__main__":
    main()
