#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What Doxygen reads in the place of a header: said once there, said for each here.

- A comment behind several members counts for each of them.
- A function without a comment of its own, right below another, has the other's.
- `size` and the _INIT macros are explained at the top of bnnep.h.
"""
import re
import sys

text = open(sys.argv[1], encoding="utf-8").read()


def each(match):
    kind, names, comment = match.groups()
    return "\n    ".join(f"{kind} {name.strip()}; {comment}" for name in re.split(r",\s*", names))


text = re.sub(r"((?:const )?\w+(?: \*)?)\s+(\*?\w+(?:,\s*\*?\w+)+)\s*;\s*(/\*\*<.*?\*/)", each, text, flags=re.S)
text = re.sub(r"^(    size_t size;)$", r"\1 /**< the size of this structure, set by its `_INIT` macro */", text, flags=re.M)
text = re.sub(r"^(#define (BNNEP_\w+)_INIT\b)", lambda m: f"/** Initialises a {m[2].lower()} with the defaults. */\n{m[1]}",
              text, flags=re.M)

lines, last, documented = [], None, False
for line in text.split("\n"):
    found = re.match(r"BNNEP_API .*?\*?(bnnep_\w+)\(", line)
    if found:
        if not documented and last:
            lines.append(f"/** @copydoc {last} */")
        last = found[1]
    if line.strip():
        documented = line.rstrip().endswith("*/")
    else:
        last = None
    lines.append(line)
sys.stdout.write("\n".join(lines))
