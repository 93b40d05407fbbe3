#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What Doxygen reads in the place of a header: said once there, said for each here.

- A comment behind several members counts for each of them.
- A member without a comment is like the option of its name, or what the member before says.
- A function without a comment of its own, right below another, has the other's; but what initialises, frees or describes
  is always told of in the same words.
- `size` and the _INIT macros are explained at the top of bnnep.h.
"""
import re
import sys

text = open(sys.argv[1], encoding="utf-8").read()


def each(match):
    kind, names, comment = match.groups()
    comment = comment or "/**< as the option of this name, or as the member before says */"
    return "    " * (not match[3]) + "\n    ".join(f"{kind} {name.strip()}; {comment}" for name in re.split(r",\s*", names))


text = re.sub(r"((?:const )?\w+(?: \*)?)\s+(\*?\w+(?:,\s*\*?\w+)+)\s*;\s*(/\*\*<.*?\*/)", each, text, flags=re.S)
text = re.sub(r"^(    size_t size;)$", r"\1 /**< the size of this structure, set by its `_INIT` macro */", text, flags=re.M)
text = re.sub(r"^(#define BNNEP_API\b)", r"/** Marks what the library exports. */\n\1", text, flags=re.M)
text = re.sub(r"^(#define (BNNEP_\w+)_INIT\b)", lambda m: f"/** Initialises a {m[2].lower()} with the defaults. */\n{m[1]}",
              text, flags=re.M)

text = re.sub(r"^(    (?:double|u?int\d+_t) [\w, ]+;)$", lambda m: each(re.match(r"\s*(\w+) ([\w, ]+);()", m[1])), text, flags=re.M)

USUAL = {
    "_init": "Writes the default of each field to a structure of @p size bytes.",
    "_free": "Frees a handle. NULL is accepted.",
    "_get_info": "Describes a handle.",
}
lines, last, documented = [], None, False
for line in text.split("\n"):
    found = re.match(r"BNNEP_API .*?\*?(bnnep_\w+)\(", line)
    if found:
        usual = next((text for end, text in USUAL.items() if found[1].endswith(end)), None)
        if not documented and usual:
            lines.append(f"/** {usual} */")
        elif not documented and last:
            lines.append(f"/** @copydoc {last} */")
        last = found[1]
    if line.strip():
        documented = line.rstrip().endswith("*/")
    else:
        last = None
    lines.append(line)
sys.stdout.write("\n".join(lines))
