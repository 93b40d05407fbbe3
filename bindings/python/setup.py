# SPDX-License-Identifier: MIT
"""The rest is in pyproject.toml. The version stands in the library's header alone, where no key there can look."""
import pathlib
import re

from setuptools import setup

header = (pathlib.Path(__file__).resolve().parents[2] / "include/bnnep/version.h").read_text()
setup(version=".".join(re.findall(r"^#define BNNEP_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)$", header, re.MULTILINE)))
