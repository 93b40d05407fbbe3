#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The programs, with each of the calls below them failing in turn.

    programs.py FOLDER_OF_PROGRAMS LAYER [--most N] [--seed S]

A program runs once to count its calls of a kind (layer.h), and then once for each, which fails, alone or with all after
it. With --most N some N of a kind's calls fail, evenly spread; with a seed any. After each run:
  - it ends, by itself, with status 0 or 1, after calls that were interrupted or cut short with 0;
  - with 0 it has printed and kept what it does without the fault, with 1 it says what is wrong;
  - a run of bnnep-train can be gone on with from its last checkpoint, and ends as the one that was not disturbed.

Prints a line a program: runs tried; survived: status 0; refused: status 1; lost: something is not as it should be;
wrong status; died: a signal, or no end within 20 seconds. Exit status 1 if there is any of the last three.
"""
import concurrent.futures
import os
import random
import shutil
import sys
import tempfile
import threading

import tiny

MODES = [("memory", ""), ("memory", "+"), ("eio", ""), ("eio", "+"), ("enospc", ""), ("enospc", "+"), ("eintr", "")]
MODES += [("short", ""), ("short", "+")]
OUTCOMES = ("survived", "refused", "lost", "status", "died")


class Program:
    """A program's command, and what is looked at after it. `begin` makes the folder that it works in. `last`: so many
    of the last allocations fail in any case."""

    def __init__(self, name, command, begin=None, wrong=None, last=0):
        self.name, self.command, self.begin, self.wrong, self.last = name, command, begin, wrong, last


def wrong_status(status, kind):
    """None if a program may end so."""
    allowed = (0,) if kind in ("eintr", "short") else (0, 1)
    return None if status in allowed else f"status {status}"


def judge(program, place, kind, result, printed):
    """The outcome of a run, and words about it."""
    status, said, errors = result
    if status is None or status < 0:
        return "died", "does not end" if status is None else f"signal {-status}"
    if wrong_status(status, kind):
        return "status", f"status {status}: {errors.strip()}"
    if status == 0 and printed is not None and said != printed:
        return "lost", "status 0, but it has printed something else"
    if status == 1 and not errors.strip():
        return "lost", "status 1, without a word"
    wrong = program.wrong(place, status, errors) if program.wrong else None
    return ("lost", wrong) if wrong else ("survived" if status == 0 else "refused", "")


class Harness:
    def __init__(self, layer, work, most, seed):
        self.layer, self.work, self.most, self.seed = layer, work, most, seed
        self.lock = threading.Lock()
        self.number = 0

    def run(self, program, fault, printed=None, count=False):
        """One run in a folder of its own: its outcome and words, or the number of its calls and what it printed."""
        with self.lock:
            self.number += 1
            place = f"{self.work}/{self.number}"
        os.mkdir(place)
        if program.begin:
            program.begin(place)
        # no modules: CUDA's runtime ends the process by a signal, as it is loaded, when memory fails
        environment = {"LD_PRELOAD": self.layer, "BNNEP_FAULT": fault, "BNNEP_BACKEND_PATH": self.work}
        if count:
            environment["BNNEP_FAULT_COUNT"] = f"{self.work}/count"
        result = tiny.run(program.command(place), **environment)
        if count:
            with open(f"{self.work}/count") as file:
                calls = int(file.read())
            assert result[0] == 0, result
            shutil.rmtree(place)
            return calls, result[1]
        found = judge(program, place, fault.split(":")[0], result, printed)
        shutil.rmtree(place)
        return found

    def numbers(self, calls):
        """Which of them fail."""
        if not self.most or calls <= self.most:
            return range(calls)
        if self.seed:
            return sorted(random.Random(self.seed).sample(range(calls), self.most))
        return sorted({i * (calls - 1) // (self.most - 1) for i in range(self.most)})

    def try_program(self, program):
        sums = dict.fromkeys(OUTCOMES, 0)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for kind, onwards in MODES:
                calls, printed = self.run(program, f"{kind}:-1", count=True)
                last = range(max(0, calls - program.last), calls) if kind == "memory" else ()
                faults = [f"{kind}:{n}{onwards}" for n in sorted({*self.numbers(calls), *last})]
                # a run of bnnep-train prints its seconds
                printed = None if program.name.startswith("train") else printed
                for fault, (outcome, words) in zip(faults, pool.map(lambda f: self.run(program, f, printed), faults)):
                    sums[outcome] += 1
                    if words:
                        print(f"  {program.name}: BNNEP_FAULT={fault}: {words[:400]}")
        print(f"{program.name:<28}{sum(sums.values()):>9}" + "".join(f"{sums[o]:>9}" for o in OUTCOMES), flush=True)
        return sums


def make_programs(folder, work):
    train, data, whole, begun = f"{folder}/bnnep-train", f"{work}/data", f"{work}/whole", f"{work}/begun"
    tiny.write_data(data)
    for out, epochs in ((whole, 3), (begun, 1)):
        status, _, errors = tiny.run(tiny.command(train, data, out, epochs))
        assert status == 0, errors
    whole, begun = tiny.folder_of(whole), tiny.folder_of(begun)
    wanted = tiny.outcome(whole)

    def wrong_run(place, status, errors):
        run = tiny.folder_of(place)
        if run is None or not os.path.exists(f"{run}/checkpoint.safetensors"):
            return "status 0, but there is no checkpoint" if status == 0 else None
        if "goes on from" in errors:
            return "takes a fault for a damaged checkpoint"
        if status == 0 and tiny.outcome(run) != wanted:
            return "status 0, but the run has ended otherwise"
        return tiny.wrong_resume(train, run, wanted, "--epochs", "3")

    def wrong_export(place, status, _):
        path = f"{place}/network.c"
        if status == 1:
            return "half a file is left" if os.path.exists(path) else None
        with open(path) as file, open(f"{work}/network.c") as exported:
            return None if file.read() == exported.read() else "status 0, but another file"

    network, images = f"{whole}/network.safetensors", f"{data}/t10k-images-idx3-ubyte.gz"
    export = [f"{folder}/bnnep-export", "--c", network, "-o"]
    status, _, errors = tiny.run(export + [f"{work}/network.c"])
    assert status == 0, errors
    fast = ["--backend", "cpu", "--threads", "1"]
    return [
        Program("train, a new run", lambda place: tiny.command(train, data, place, 3), wrong=wrong_run),
        Program(
            "train, going on",
            lambda place: [train, "--resume", f"{place}/S-1", "--epochs", "3"],
            begin=lambda place: shutil.copytree(begun, f"{place}/S-1"),
            wrong=wrong_run,
        ),
        Program("classify", lambda _: [f"{folder}/bnnep-classify", *fast, network, images]),
        Program("export", lambda place: export + [f"{place}/network.c"], wrong=wrong_export),
        # jansson, which the program itself reads with, has its own ways of running out of memory
        Program("info", lambda _: [f"{folder}/bnnep-info", f"{whole}/checkpoint.safetensors"], last=1000),
        Program("info, as JSON", lambda _: [f"{folder}/bnnep-info", "--json", f"{whole}/checkpoint.safetensors"]),
        Program("info, backends", lambda _: [f"{folder}/bnnep-info", "--backends"]),
        Program("settle", lambda _: [f"{folder}/bnnep-settle", *fast, network, images]),
    ]


def main():
    folder, layer, *options = sys.argv[1:]
    values = dict(zip(options[::2], map(int, options[1::2])))
    work = tempfile.mkdtemp(prefix="bnnep-faults-")
    totals = dict.fromkeys(OUTCOMES, 0)
    try:
        harness = Harness(os.path.abspath(layer), work, values.get("--most", 0), values.get("--seed", 0))
        programs = make_programs(os.path.abspath(folder), work)
        print(f"{'program':<28}{'tried':>9}" + "".join(f"{outcome:>9}" for outcome in OUTCOMES))
        for program in programs:
            for outcome, count in harness.try_program(program).items():
                totals[outcome] += count
        print(f"{'all':<28}{sum(totals.values()):>9}" + "".join(f"{totals[o]:>9}" for o in OUTCOMES))
    finally:
        shutil.rmtree(work)
    sys.exit(totals["refused"] == 0 or totals["survived"] == 0 or any(totals[o] for o in ("lost", "status", "died")))


if __name__ == "__main__":
    main()
