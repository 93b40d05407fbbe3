#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""test_blocks.py PAGE: each block of C or of a patch in a page is a part of a file in this folder or of the example of a backend."""
import re
import sys
from pathlib import Path

here = Path(__file__).parent
paths = [path for path in here.iterdir() if path.suffix in (".c", ".patch")] + [here.parents[2] / "examples/backend/loops.c"]
texts = [path.read_text(encoding="utf-8") for path in paths]
page = Path(sys.argv[1]).read_text(encoding="utf-8")
blocks = re.findall(r"^```(?:c|diff)\n(.*?)^```$", page, re.M | re.S)
foreign = [block for block in blocks if not any(block in text for text in texts)]
for block in foreign:
    print(f"FAILED: no file has\n{block}")
print(f"{len(blocks)} blocks, {len(foreign)} of them foreign")
sys.exit(1 if foreign or not blocks else 0)
