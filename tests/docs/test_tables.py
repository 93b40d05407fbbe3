#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compares what is written by hand in the documentation with the header, the paper's commands and the programs. (What the
programs say of their options is not: docs/option-pages.sh.)

    test_tables.py SOURCE_FOLDER BUILD_FOLDER
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
    """Names, in the order of --help."""
    return re.findall(r"^  --(\S+)", call(program, "--help"), re.M)


def check_manuals():
    """Each program has a manual page, which tells of all its options and of no others."""
    for program in sorted(path for folder in (programs, build / "examples") for path in folder.glob("bnnep-*") if path.is_file()):
        page = source / "programs" / "man" / f"{program.name}.1"
        text = page.read_text(encoding="utf-8").replace("\\-", "-") if page.exists() else ""
        told = re.findall(r"^\.TP\n\.B[IR]? --([^\s\\]+)", text, re.M)
        expect(f"{page.name}: options", sorted(told), sorted(options_of(program)))


# --- structures ---------------------------------------------------------------------------------------------------------

STRUCTURES = ("bnnep_context_options", "bnnep_network_options", "bnnep_connection", "bnnep_optimizer_options",
              "bnnep_run_options", "bnnep_dataset_options", "bnnep_open_options", "bnnep_transform",
              "bnnep_workspace_options", "bnnep_load_options", "bnnep_relaxation", "bnnep_contrast_options")


def fields_of(header, structure):
    """[(name, "text", "pointer" or "number")] of a structure, without size and reserved."""
    body = re.search(rf"typedef struct {structure} {{(.*?)}} {structure};", header, re.S)[1]
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    fields = []
    for declaration in body.split(";"):
        names = declaration.split(",")
        if not declaration.strip():
            continue
        kind = re.match(r"\s*(.*?)\s*(\**\w+)\s*$", names[0])
        for name in [kind[2]] + [name.strip() for name in names[1:]]:
            pointer = name.startswith("*") or kind[1].endswith("*") or kind[1].endswith("_fn")
            sort = "text" if kind[1] == "const char" else "pointer" if pointer else "number"
            fields.append((name.lstrip("*"), sort))
    return [field for field in fields if field[0] not in ("size", "reserved")]


def defaults_of(header):
    """{structure: {field: what 0 comes to, as text}}, printed by a program that the compiler makes."""
    lines = ["#include <stdio.h>", "#include <bnnep/bnnep.h>", "int main(void) {"]
    for structure in STRUCTURES:
        lines.append(f"{structure} {structure}_value = {{sizeof {structure}_value}};")
        if f" {structure}_init(" in header:
            lines.append(f"{structure}_init(&{structure}_value, sizeof {structure}_value);")
        for name, sort in fields_of(header, structure):
            value = f"{structure}_value.{name}"
            shown = {"text": f'{value} ? {value} : "NULL"', "pointer": f'{value} ? "set" : "NULL"', "number": f"(double){value}"}
            lines.append(f'printf("{structure} {name} {"%.12g" if sort == "number" else "%s"}\\n", {shown[sort]});')
    with tempfile.TemporaryDirectory() as work:
        program = Path(work) / "defaults"
        program.with_suffix(".c").write_text("\n".join(lines + ["return 0;", "}"]))
        said = call("cc", "-std=c11", f"-I{source}/include", program.with_suffix(".c"), "-o", program, f"-L{build}",
                    "-lbnnep", f"-Wl,-rpath,{build}")
        if not program.exists():
            sys.exit(said)
        found = {}
        for line in call(program).splitlines():
            structure, name, value = line.split()
            found.setdefault(structure, {})[name] = value
    return found


def check_structures(page):
    header = read("include/bnnep/bnnep.h") + read("include/bnnep/inside.h")
    defaults = defaults_of(header)
    for structure in STRUCTURES:
        table = rows(section(page, f"### {structure}"))
        expect(f"options.md: fields of {structure}", [row[0].strip("`") for row in table],
               [name for name, _ in fields_of(header, structure)])
        for name, _, _, default, _ in table:
            value = defaults.get(structure, {}).get(name.strip("`"))
            if default == "required":
                if value not in (None, "0", "NULL"):
                    failures.append(f"options.md: {structure}.{name} is required, but its default is {value}")
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
    expect("from-the-paper.md: presets", [row[0] for row in table], [name for name in call(programs / "bnnep-train", "--list-presets").split() if not name.startswith("fashion-")])
    for row, line in zip(table, commands):
        expect(f"from-the-paper.md: {row[0]}", row, preset_row(line))
    names = options_of(programs / "bnnep-train")
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
        preset + ["--data", work], [train, "--preset", "cifar10-conv", "--no-save", "--data", sample],
        preset + ["--data", sample, "--train-limit", "100000"], preset + ["--data", sample, "--layersList", "700", "9", "10"],
        preset + ["--lrbias", "3"], [train], preset + ["--data", sample, "--layersList", "784", "9", "9", "10"],
        preset + ["--data", sample, "--optim", "bptt", "--T", "5"], preset + ["--data", sample, "--backend", "gpu"],
        [train, "--resume", work],
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
    check_structures(read("docs/options.md"))
    check_paper(read("docs/from-the-paper.md"))
    check_manuals()
    with tempfile.TemporaryDirectory() as work:
        check_messages(read("docs/troubleshooting.md"), Path(work))
    for failure in failures:
        print("FAILED:", failure)
    print(f"tables: {len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
