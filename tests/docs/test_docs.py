#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compiles and runs the code of the documentation, and follows its links to files.

    test_docs.py SOURCE_FOLDER BUILD_FOLDER PAGE...

The blocks of a page run one after another in a folder that looks like a checkout which was built in build/release: the
commands `cmake --preset` and `cmake --build` are taken as done, and data sets that would be fetched are the sample. A comment
before a block, which no reader sees, says what else there is to know:

    <!-- test: skip, REASON -->      it is not run
    <!-- test: file NAME -->         it is written to NAME, for blocks that follow
    <!-- test: fragment NAME -->     C: the blocks of this name, one after another, are the body of a main()
    <!-- test: short -->             sh: bnnep-train gets little data and one epoch, whatever the block says
    <!-- test: needs MODULE... -->   it is not run where Python lacks one of these
    <!-- test: output -->            what the sh block before it prints, its numbers apart; "..." stands for anything

program.c, which is the reader's own, is there. sh blocks run as they are; C blocks are compiled with warnings as errors and run; Python blocks run.
Blocks without a language, and of other languages, are text, unless they are marked.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CFLAGS = "-std=c11 -Wall -Wextra -Wpedantic -Werror"
INCLUDES = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <bnnep/bnnep.h>\n"
TESTED = ("sh", "c", "python")
TIMEOUT = 900


class Block:
    def __init__(self, page, line, language, mark, text):
        self.page, self.line, self.language, self.text = page, line, language, text
        self.verb, _, self.value = mark.partition(" ") if mark else ("", "", "")
        self.verb = self.verb.rstrip(",")

    def where(self):
        return f"{self.page}:{self.line}"


def read_blocks(path, name):
    """The fenced blocks of a page, each with the mark in front of it."""
    blocks, mark, opened, text = [], None, None, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"\s*```+\s*(\S*)\s*$", line)
        if opened is not None:
            if fence and not fence[1]:
                blocks.append(Block(name, opened[0], opened[1], mark, "\n".join(text) + "\n"))
                mark, opened, text = None, None, []
            else:
                text.append(line)
        elif fence:
            opened = (number, fence[1])
        elif line.strip().startswith("<!-- test: "):
            mark = line.strip()[len("<!-- test: ") : -len(" -->")].strip()
        elif line.strip():
            mark = None
    if opened is not None:
        raise SystemExit(f"{name}:{opened[0]}: the block is not closed")
    return blocks


# --- the folder ---------------------------------------------------------------------------------------------------------


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


def make_folder(source, build, work):
    """Links to a checkout and its build, and in the place of some programs others that take less time."""
    for entry in source.iterdir():
        if entry.name not in ("build", ".git", "scripts", "data") and not entry.name.startswith("DATA-"):
            (work / entry.name).symlink_to(entry)
    (work / "scripts").mkdir()
    for entry in (source / "scripts").iterdir():
        if entry.name != "get-data.sh":
            (work / "scripts" / entry.name).symlink_to(entry)
    sample = source / "examples" / "data" / "mnist-sample"
    # fashion-mnist has the same layout; there is no sample of CIFAR-10
    write_program(
        work / "scripts" / "get-data.sh",
        '[ "$1" != cifar10 ] || exit 1\nmkdir -p "$2" && ln -sf ' + f'"{sample}"/*.gz "$2/"\n',
    )
    release = work / "build" / "release"
    release.mkdir(parents=True)
    for entry in build.iterdir():
        if entry.name != "programs":
            (release / entry.name).symlink_to(entry)
    (release / "programs").mkdir()
    for entry in (build / "programs").iterdir():
        if entry.name != "bnnep-train":
            (release / "programs" / entry.name).symlink_to(entry)
    write_program(
        release / "programs" / "bnnep-train",
        f'#!/bin/sh\nexec "{build}/programs/bnnep-train" "$@" $BNNEP_TEST_MORE\n',
    )
    (work / "program.c").write_text(
        "#include <stdio.h>\n#include <bnnep/bnnep.h>\nint main(void) { return puts(bnnep_version_string()) < 0; }\n"
    )
    tools = work / ".tools"
    tools.mkdir()
    real = shutil.which("cmake") or "cmake"
    write_program(
        tools / "cmake",
        f'#!/bin/sh\ncase $1 in\n--preset | --build) ;;\n*) exec "{real}" "$@" ;;\nesac\n',
    )
    write_program(tools / "bnnep-train", f'#!/bin/sh\nexec "{release}/programs/bnnep-train" "$@"\n')
    return tools


def make_environment(work, tools, build):
    environment = dict(os.environ)
    for name in ("BNNEP_DATA", "BNNEP_CPU", "PKG_CONFIG_PATH"):
        environment.pop(name, None)
    rustup = Path(environment.get("HOME", "/")) / ".rustup"  # a compiler that rustup chooses by the home folder
    if rustup.is_dir():
        environment.setdefault("RUSTUP_HOME", str(rustup))
    environment["HOME"] = str(work / ".home")
    environment["PATH"] = f"{tools}:{work}/build/release/programs:{work}/build/release/examples:/usr/bin:" + environment.get("PATH", "")
    environment["BNNEP_TEST_MORE"] = ""
    (work / ".home").mkdir()
    return environment


# --- running ------------------------------------------------------------------------------------------------------------


class Page:
    """Runs the blocks of one page; each failure is printed and counted."""

    def __init__(self, source, build, work):
        self.work, self.build, self.source = work, build, source
        self.environment = make_environment(work, make_folder(source, build, work), build)
        self.passed = self.failed = self.skipped = 0
        self.fragments, self.last = {}, ""

    def report(self, block, output, status):
        if status == 0:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {block.where()}: exit status {status}\n{block.text}--- it printed\n{output}\n")

    def call(self, command, more=None):
        done = subprocess.run(
            command, cwd=self.work, env={**self.environment, **(more or {})}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=TIMEOUT, text=True, errors="replace", stdin=subprocess.DEVNULL, check=False,
        )
        return done.stdout, done.returncode

    def run_sh(self, block):
        """As in the reader's own shell, variables and the folder stay for the blocks that follow."""
        short = "--epochs 1 --train-limit 640 --test-limit 200" if block.verb == "short" else ""
        script = self.work / ".block.sh"
        state = self.work / ".state.sh"
        script.write_text(
            f'set -e\n[ ! -f "{state}" ] || . "{state}"\n{block.text}\n'
            f'{{ export -p; set | grep "^[a-z][a-z0-9_]*="; printf "cd \'%s\'\\n" "$PWD"; }} '
            f'| grep -v BNNEP_TEST_MORE >"{state}"\n'
        )
        self.last, status = self.call(["/bin/sh", str(script)], {"BNNEP_TEST_MORE": short})
        self.report(block, self.last, status)

    def run_c(self, block, text):
        (self.work / ".block.c").write_text(text)
        command = (
            f'cc {CFLAGS} -I"{self.source}/include" .block.c -o .block -L"{self.build}" -lbnnep -lm '
            f'-Wl,-rpath,"{self.build}" && ./.block'
        )
        self.report(block, *self.call(["/bin/sh", "-c", command]))

    def run_fragments(self):
        for block, text in self.fragments.values():
            lines = text.splitlines()
            heads = [line for line in lines if line.startswith("#include")]
            body = [line for line in lines if not line.startswith("#include")]
            self.run_c(block, INCLUDES + "\n".join(heads) + "\nint main(void) {\n" + "\n".join(body) + "\nreturn 0;\n}\n")

    def compare(self, block):
        """Every line must have come, in this order, with any numbers."""
        def pattern(line):
            parts = re.split(r"(\.\.\.|-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)", line.strip())
            return "".join(".*" if part == "..." else r"-?[0-9.e+-]+" if i % 2 else re.escape(part)
                           for i, part in enumerate(parts))
        printed = [line.strip() for line in self.last.splitlines()]
        place = 0
        for line in block.text.splitlines():
            if not line.strip() or line.strip() == "...":
                continue
            found = [i for i in range(place, len(printed)) if re.fullmatch(pattern(line), printed[i])]
            if not found:
                self.report(block, f"no such line: {line}\n\n{self.last}", 1)
                return
            place = found[0] + 1
        self.passed += 1

    def lacks(self, module):
        return self.call(["/usr/bin/python3", "-c", f"import {module}"])[1] != 0

    def run(self, block):
        if block.verb == "skip":
            if not block.value:
                self.report(block, "a block is skipped for a reason: <!-- test: skip, REASON -->", 1)
            self.skipped += 1
        elif block.verb == "file":
            path = self.work / block.value
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
            self.passed += 1
        elif block.verb == "output":
            self.compare(block)
        elif block.verb == "fragment":
            first, text = self.fragments.get(block.value, (block, ""))
            self.fragments[block.value] = (first, text + block.text)
        elif block.verb == "needs" and any(self.lacks(module) for module in block.value.split()):
            self.skipped += 1
        elif block.verb not in ("", "short", "needs"):
            self.report(block, f"no such mark: {block.verb}", 1)
        elif block.language == "sh":
            self.run_sh(block)
        elif block.language == "c":
            if not re.search(r"^int main\(", block.text, re.M):
                self.report(block, "a block of C without main() is marked: <!-- test: fragment NAME -->", 1)
            else:
                self.run_c(block, block.text)
        elif block.language == "python":
            (self.work / ".block.py").write_text(block.text)
            self.report(block, *self.call(["/usr/bin/python3", ".block.py"]))


def broken_links(source):
    """Links of all pages to files that are not there."""
    pages = [source / "README.md", source / "CONTRIBUTING.md", *sorted((source / "docs").glob("*.md"))]
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if "://" not in target and not (page.parent / target.partition("#")[0]).exists():
                yield f"{page.relative_to(source)}: {target}"


def main():
    source, build = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    failed = 0
    for link in broken_links(source):
        print(f"FAILED: {link} is not there")
        failed += 1
    for name in sys.argv[3:]:
        blocks = read_blocks(source / name, name)
        with tempfile.TemporaryDirectory() as work:
            page = Page(source, build, Path(work).resolve())
            for block in blocks:
                page.run(block)
            page.run_fragments()
        failed += page.failed
        print(f"{name}: {page.passed} blocks passed, {page.failed} failed, {page.skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
