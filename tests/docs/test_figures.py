#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""docs/figures.py draws the figures that docs/algorithm.md shows and that are kept in docs/pictures: test_figures.py SOURCE_FOLDER"""
import importlib.util
import os
import re
import subprocess
import sys
import tempfile

if not all(importlib.util.find_spec(module) for module in ("numpy", "matplotlib")):
    sys.exit(77)
source = sys.argv[1]
pictures = os.path.join(source, "docs", "pictures")
with open(os.path.join(source, "docs", "algorithm.md"), encoding="utf-8") as file:
    shown = sorted(re.findall(r"pictures/(algorithm-[a-z]+\.svg)", file.read()))
kept = sorted(name for name in os.listdir(pictures) if name.startswith("algorithm-"))
with tempfile.TemporaryDirectory() as out:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    script = os.path.join(source, "docs", "figures.py")
    subprocess.run([sys.executable, script, "--out", out], check=True, env=environment)
    drawn = sorted(os.listdir(out))
    empty = [name for name in drawn if os.path.getsize(os.path.join(out, name)) < 1000]
if not shown == kept == drawn or empty:
    sys.exit(f"shown {shown}\nkept {kept}\ndrawn {drawn}\nempty {empty}")
print(f"figures: {len(drawn)} drawn, kept and shown")
