#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What bnnep/bnnep.h and the headers that it includes declare: functions by a small parser of what the preprocessor
leaves; sizes, offsets, values and initial contents by a C program that is written, compiled and run.

    header.py INCLUDE_FOLDER      prints the layout, a line a structure, field or constant
"""
import os
import re
import subprocess
import sys
import tempfile

CC = os.environ.get("CC", "cc")


class Header:
    """functions: name -> (result, [argument types]); callbacks: the same; structs: name -> [(type, field)]; handles:
    names; enums: [constants]; layout: text -> number; initial: struct -> bytes of its _INIT macro."""

    def __init__(self, include):
        self.include = include
        text = self.preprocess("-P")
        text = " ".join(re.sub(r"__attribute__\s*\(\(.*?\)\)\)", "BNNEP_API", text).split())
        self.functions = {
            name: (clean(result), arguments(given))
            for result, name, given in re.findall(r"BNNEP_API ([\w\s*]*?)(bnnep_\w+)\(([^)]*)\);", text)
        }
        self.callbacks = {
            name: (clean(result), arguments(given))
            for result, name, given in re.findall(r"typedef ([\w\s*]*?)\(\*(bnnep_\w+)\)\(([^)]*)\);", text)
        }
        self.structs = {
            name: [pair for line in body.split(";") if line.strip() for pair in fields(line)]
            for name, body in re.findall(r"typedef struct (bnnep_\w+) \{([^}]*)\}", text)
        }
        self.handles = set(re.findall(r"typedef struct (bnnep_\w+) \1;", text)) - set(self.structs)
        self.enums = [
            name
            for body in re.findall(r"enum(?: bnnep_\w+)? \{([^}]*)\}", text)
            for name in re.findall(r"BNNEP_\w+", body)
        ]
        macros = set(re.findall(r"#define (\w+)", self.preprocess("-dM")))
        self.inits = {name: f"{name.upper()}_INIT" for name in self.structs if f"{name.upper()}_INIT" in macros}
        self.measure()

    def preprocess(self, option):
        command = [CC, "-E", option, "-I", self.include, os.path.join(self.include, "bnnep/bnnep.h")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def measure(self):
        lines = ['printf("sizeof bnnep_status %zu\\n", sizeof(bnnep_status));']
        for name, members in self.structs.items():
            lines.append(f'printf("sizeof {name} %zu\\n", sizeof({name}));')
            for _, field in members:
                place = f"offsetof({name}, {field}), sizeof((({name} *)0)->{field})"
                lines.append(f'printf("field {name}.{field} %zu %zu\\n", {place});')
        lines += [f'printf("value {name} %d\\n", (int){name});' for name in self.enums]
        for name, macro in self.inits.items():
            lines.append(
                f'{{ static const {name} s = {macro}; printf("initial {name} "); for (size_t i = 0; i < sizeof s; i++)'
                ' printf("%02x", ((const unsigned char *)&s)[i]); puts(""); }'
            )
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "layout")
            with open(program + ".c", "w") as file:
                file.write("#include <bnnep/bnnep.h>\n#include <stdio.h>\nint main(void) {\n")
                file.write("\n".join(lines) + "\n}\n")
            subprocess.run([CC, "-std=c11", "-I", self.include, program + ".c", "-o", program], check=True)
            printed = subprocess.run([program], check=True, capture_output=True, text=True).stdout
        self.lines = [line for line in printed.splitlines() if not line.startswith("initial ")]
        self.layout = {" ".join(words[:2]): tuple(map(int, words[2:])) for words in map(str.split, self.lines)}
        self.initial = {
            words[1]: bytes.fromhex(words[2])
            for words in map(str.split, printed.splitlines())
            if words[0] == "initial"
        }


def clean(kind):
    """A type without const, and one space between its words and stars."""
    return " ".join(word for word in kind.replace("*", " * ").split() if word != "const").replace("* *", "**")


def arguments(text):
    """Types of a parameter list; the last word of each is its name."""
    return [] if text.strip() == "void" else [clean(re.sub(r"\w+$", "", part.strip())) for part in text.split(",")]


def fields(line):
    """Type and name of each field of a declaration such as `const float *mean, *deviation`."""
    kind, names = re.fullmatch(r"\s*((?:const )?\w+)\s+(.*)", line).groups()
    for name in names.split(","):
        stars = "*" * name.count("*")
        yield clean(kind + stars), name.replace("*", "").strip()


if __name__ == "__main__":
    print("\n".join(Header(sys.argv[1]).lines))
