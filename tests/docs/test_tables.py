#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compares tables of the documentation and manual pages with the programs, the header and the paper's commands.

    test_option_pages.py SOURCE_FOLDER BUILD_FOLDER
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

source, build = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
programs = build / "programs"
sample = source / "examples" / "data" / "mnist-sample"
failures = []


def expect(what, found, expected):
    if found != expected:
        failures.append(f"{what}: found {found!r}, expected {expected!r}")


def call(*command, cwd=None):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", cwd=cwd, check=False, stdin=subprocess.DEVNULL)
    return done.stdout


def read(path):
    return (source / path).read_text(encoding="utf-8")


def section(text, heading):
    """What stands below a heading, to the next one of the same or a higher level."""
    level, _ = heading.split(" ", 1)
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.M | re.S)
    if not found:
        sys.exit(f"there is no heading '{heading}'")
    return found[1]


def rows(text):
    """The rows of the first table, as lists of cells without the bars."""
    lines = [line for line in re.split(r"\n(?!\|)", text)[0:] if "\n|" in "\n" + line]
    table = [line for line in text.split("\n") if line.startswith("|")] if lines else []
    cells = [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]
    return cells[2:]


# --- programs -----------------------------------------------------------------------------------------------------------


def options_of(program):
    """{name: (argument, default)} of --help, where the default stands in brackets at the end."""
    found = {}
    for name, argument, text in re.findall(r"^  --(\S+) (\S*) +(.*)$", call(programs / program, "--help"), re.M):
        default = re.search(r"\[([^\]]*)\]$", text)
        found[name] = (argument, default[1] if default else None)
    return found


def range_of(program, name):
    """What the program says to a number far beyond any limit; None if it is no number."""
    found = re.search(r"must be from (\S+) to (\S+)", call(programs / program, "--" + name, "1e300"))
    return f"{found[1]} to {found[2]}" if found else None


def check_table(program, text):
    options = options_of(program)
    listed = {}
    for cell, _, limits, default, _ in rows(text):
        name, _, argument = cell.strip("`").lstrip("-").partition(" ")
        listed[name] = (argument, limits, default)
    expect(f"options.md: options of {program}", sorted(listed), sorted(options))
    for name, (argument, limits, default) in listed.items():
        expect(f"options.md: argument of --{name}", argument, options[name][0])
        if program == "bnnep-train":
            expect(f"options.md: default of --{name}", default, options[name][1] or "—")
            said = range_of(program, name) if argument else None
            if said:
                expect(f"options.md: range of --{name}", limits, said)


def check_manual(program):
    """The manual page as text: each option with argument, range and default."""
    path = source / "programs" / "man" / f"{program}.1"
    text = call("groff", "-man", "-Tutf8", "-P-cbou", "-rLL=1000n", "-dAD=l", path)
    text = re.sub(r"[‐−]", "-", text)
    options = options_of(program)
    found, name = {}, None
    for line in text.splitlines():
        head = re.match(r" {7}--(\S+)(.*)$", line)
        if head:
            # a short tag has its text on the same line, from column 14 on
            tag, rest = line[7:].strip(), ""
            if line[13:14] == " " and " " in line[14:].strip():
                tag, rest = line[7:14].strip(), line[14:].strip()
            name, _, argument = tag[2:].partition(" ")
            found[name] = (argument, rest)
        elif name and line.startswith(" " * 10):
            found[name] = (found[name][0], f"{found[name][1]} {line.strip()}".strip())
        else:
            name = None
    expect(f"{path.name}: options", sorted(found), sorted(options))
    for name, (argument, body) in found.items():
        if name not in options:
            continue
        expect(f"{path.name}: argument of --{name}", argument.replace(" ", ""), options[name][0])
        limits = range_of(program, name) if program == "bnnep-train" and options[name][0] else None
        if limits and options[name][0] != "0|1" and f"from {limits}" not in body.lower():
            failures.append(f"{path.name}: --{name} does not say 'from {limits}': {body}")
        default = options[name][1]
        if default and f"default: {default.lower()}." not in body.lower() and f"[{default}]" not in body \
                and program == "bnnep-train":
            failures.append(f"{path.name}: --{name} does not say 'default: {default}': {body}")


# --- structures ---------------------------------------------------------------------------------------------------------

STRUCTURES = ("bnnep_network_options", "bnnep_connection", "bnnep_optimizer_options", "bnnep_dataset_options",
              "bnnep_transform", "bnnep_workspace_options")


def fields_of(header, structure):
    """[(name, is a pointer)] of a structure, without size and reserved."""
    body = re.search(rf"typedef struct {structure} {{(.*?)}} {structure};", header, re.S)[1]
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    fields = []
    for declaration in body.split(";"):
        names = declaration.split(",")
        if not declaration.strip():
            continue
        kind = re.match(r"\s*(.*?)\s*(\**\w+)\s*$", names[0])
        for name in [kind[2]] + [name.strip() for name in names[1:]]:
            pointer = name.startswith("*") or kind[1].endswith("*") or kind[1] == "bnnep_log_fn"
            fields.append((name.lstrip("*"), pointer))
    return [field for field in fields if field[0] not in ("size", "reserved")]


def defaults_of(header):
    """{structure: {field: value as text}}, printed by a program that the compiler makes."""
    lines = ["#include <stdio.h>", "#include <bnnep/bnnep.h>", "int main(void) {"]
    for structure in STRUCTURES:
        macro = structure.upper() + "_INIT"
        if macro not in header:
            continue
        lines.append(f"const {structure} {structure}_value = {macro};")
        for name, pointer in fields_of(header, structure):
            value = f"{structure}_value.{name}"
            shown = f'{value} ? "set" : "NULL"' if pointer else f'"", (double){value}'
            lines.append(f'printf("{structure} {name} {"%s" if pointer else "%s%.6g"}\\n", {shown});')
    with tempfile.TemporaryDirectory() as work:
        program = Path(work) / "defaults"
        program.with_suffix(".c").write_text("\n".join(lines + ["return 0;", "}"]))
        said = call("cc", "-std=c11", f"-I{source}/include", program.with_suffix(".c"), "-o", program)
        if not program.exists():
            sys.exit(said)
        found = {}
        for line in call(program).splitlines():
            structure, name, value = line.split()
            found.setdefault(structure, {})[name] = value
    return found


def check_structures(page):
    header = read("include/bnnep/bnnep.h")
    defaults = defaults_of(header)
    for structure in STRUCTURES:
        table = rows(section(page, f"### {structure}"))
        expect(f"options.md: fields of {structure}", [row[0].strip("`") for row in table],
               [name for name, _ in fields_of(header, structure)])
        for name, _, _, default, _ in table:
            value = defaults.get(structure, {}).get(name.strip("`"))
            if default == "required":
                if value not in (None, "0", "NULL"):
                    failures.append(f"options.md: {structure}.{name} is required, but the macro sets {value}")
            else:
                expect(f"options.md: default of {structure}.{name}", default, value)


# --- the paper's commands -----------------------------------------------------------------------------------------------


def preset_row(line):
    name, *words = line.split()
    given, key = {}, None
    for word in words:
        if word.startswith("--"):
            key = word[2:]
            given[key] = []
        else:
            given[key].append(word)

    def turned(key):
        return given.get(key, [])[::-1]

    if given["archi"] == ["conv"]:
        network = (f"conv {' → '.join(turned('convList'))}, fc {' → '.join(given['layersList'])}; kernel "
                   f"{given['kernelSize'][0]}, padding {given['padding'][0]}, pool {given['Fpool'][0]}")
        gamma = turned("conv_gamma") + given["classi_gamma"]
        threshold = turned("conv_threshold") + given["classi_threshold"]
    else:
        network, gamma, threshold = " → ".join(given["layersList"]), turned("gamma"), turned("gradThreshold")
    if "expand_output" in given:
        network += f"; expand {given['expand_output'][0]}"
    beta = "—" if given["optim"] == ["bptt"] else ("±" if given["random_beta"] == ["1"] else "") + given["beta"][0]
    rates = ", ".join(turned("lrAlpha")) if given["learnAlpha"] == ["1"] else "—"
    if "decayLrAlpha" in given:
        rates += f"; ÷ {given['decayLrAlpha'][0]} from epoch {given['epochDecayLrAlpha'][0]}"
    return [name, network, given["T"][0], given["Kmax"][0], beta, ", ".join(gamma), ", ".join(threshold),
            ", ".join(turned("lrBias")), rates, given["epochs"][0]]


def check_paper(page):
    commands = [line for line in read("tests/programs/paper_commands.txt").splitlines() if line and not line.startswith("#")]
    table = rows(section(page, "## The presets, in the library's order"))
    expect("from-the-paper.md: presets", [row[0] for row in table], call(programs / "bnnep-train", "--list-presets").split())
    for row, line in zip(table, commands):
        expect(f"from-the-paper.md: {row[0]}", row, preset_row(line))
    names = list(options_of("bnnep-train"))
    paper = names[names.index("dataset"):]
    said = " ".join(row[0] for row in rows(section(page, "## Option by option")))
    for name in paper:
        if not re.search(rf"--{name}\b", said):
            failures.append(f"from-the-paper.md: --{name} is not in the table")


# --- messages -----------------------------------------------------------------------------------------------------------


def masked(text):
    return re.sub(r"0x[0-9a-f]+|\b[0-9a-f]{8}\b|\d+(?:\.\d+)?", "#", text)


def check_messages(page, work):
    """Each message that is marked with ▸ is what some command prints, numbers apart."""
    train, classify = programs / "bnnep-train", programs / "bnnep-classify"
    small = [train, "--preset", "mnist-fc1", "--layersList", "784", "20", "10", "--train-limit", "64", "--test-limit", "64"]
    call(*small, "--epochs", "1", cwd=work)
    run = next(work.glob("DATA-0-fc-mnist/*/S-1"))
    whole = (run / "network.safetensors").read_bytes()
    (work / "damaged").write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    (work / "cut").write_bytes(whole[:100])
    preset = [train, "--preset", "mnist-fc1", "--no-save"]
    commands = [
        preset + ["--data", "/nowhere"], [train, "--preset", "cifar10-conv", "--no-save", "--data", sample],
        preset + ["--data", sample, "--train-limit", "100000"], preset + ["--data", sample, "--layersList", "700", "9", "10"],
        preset + ["--lrbias", "3"], [train], preset + ["--data", sample, "--layersList", "784", "9", "9", "10"],
        preset + ["--data", sample, "--optim", "bptt", "--T", "5"], preset + ["--data", sample, "--backend", "gpu"],
        preset + ["--data", sample, "--threads", "2", "--backend", "ref"], [train, "--resume", work],
        [train, "--resume", run, "--train-limit", "32"], [train, "--resume", run, "--beta", "0.5"],
        [classify, run / "network.safetensors", source / "LICENSE"],
        [classify, work / "damaged", run / "results.csv"], [classify, work / "cut", run / "results.csv"],
    ]
    printed = "\n".join(masked(call(*command, cwd=work)) for command in commands)
    marked = re.findall(r"^▸ \*\*`([^`]*)`", page, re.M)
    if len(marked) < 10:
        failures.append(f"troubleshooting.md: only {len(marked)} messages are marked")
    for message in marked:
        if masked(message) not in printed:
            failures.append(f"troubleshooting.md: nothing prints '{message}'")
    if failures:
        print(printed)


def main():
    options = read("docs/options.md")
    for program in ("bnnep-train", "bnnep-classify"):
        check_table(program, section(options, f"## {program}"))
        check_manual(program)
    check_structures(options)
    check_paper(read("docs/from-the-paper.md"))
    for program in sorted(path.name for folder in (programs, build / "examples") for path in folder.glob("bnnep-*") if path.is_file()):
        if not (source / "programs" / "man" / f"{program}.1").exists():
            failures.append(f"programs/man/{program}.1 is missing")
    with tempfile.TemporaryDirectory() as work:
        check_messages(read("docs/troubleshooting.md"), Path(work))
    for failure in failures:
        print("FAILED:", failure)
    print(f"option pages: {len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
