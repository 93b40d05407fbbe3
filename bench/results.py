#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes the table of docs/results.md and its picture from the curves that bench/results.sh keeps.

    results.py [--kept DIR] [--page FILE] [--picture FILE]

The table goes between the lines <!-- results --> and <!-- end of results --> of the page. Needs matplotlib and pandas
(Debian: python3-matplotlib python3-pandas).
"""
import argparse
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- results -->\n", "<!-- end of results -->\n"
COLOURS = {"plain": "#1f77b4", "fast": "#ff7f0e"}


def read_runs(kept):
    """One row a run: preset, way, seed, what runs.csv says, and its curve."""
    runs = pd.read_csv(kept / "runs.csv").drop_duplicates("Run", keep="last")
    runs[["Preset", "Way", "Seed"]] = runs.Run.str.extract(r"(.+)-(plain|fast)-(\d+)$")
    runs["Curve"] = [pd.read_csv(kept / f"{run}.csv") for run in runs.Run]
    runs["Way"] = pd.Categorical(runs.Way, COLOURS)
    return runs.sort_values(["Preset", "Way", "Seed"])


def spread(values):
    """Mean and standard deviation, of one value itself."""
    values = pd.Series(values)
    return f"{values.mean():.2f}" + (f" ± {values.std():.2f}" if len(values) > 1 else "")


def row_of(key, group):
    preset, way, schedule, settle, grid, images, epochs = key
    how = f"{schedule}, {settle:g}" + (f", {grid} bits" if grid else "")
    ends = [curve.iloc[-1] for curve in group.Curve]
    best = [curve.Ave_Test_Error.min() for curve in group.Curve]
    seconds = pd.Series([curve.Seconds.median() for curve in group.Curve]).median()
    seeds = ", ".join(group.Seed)
    where = "; ".join(f"{m}, {d}" for m, d in group[["Machine", "Date"]].drop_duplicates().itertuples(index=False))
    threads = ", ".join(map(str, sorted(set(group.Threads))))
    return (
        f"| {preset} | {way} | {how} | {images} | {epochs} | {seeds} | {spread([e.Ave_Test_Error for e in ends])} "
        f"| {spread(best)} | {spread([e.Ave_Train_Error for e in ends])} | {seconds:.3g} | {threads} | {where} |"
    )


def table(runs):
    lines = [
        "| preset | way | schedule, tolerance, grid | images | epochs | seeds | test error, % | lowest of a run | train error, % "
        "| seconds an epoch | threads | machine, date |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key, group in runs.groupby(["Preset", "Way", "Schedule", "Settle", "Grid", "Images", "Epochs"], observed=True):
        lines.append(row_of(key, group))
    return "\n".join(lines) + "\n"


def draw(runs, picture):
    presets = list(runs.Preset.unique())
    figure, axes = plt.subplots(1, len(presets), figsize=(5 * len(presets), 3.6), squeeze=False)
    for axis, preset in zip(axes[0], presets):
        for run in runs[runs.Preset == preset].itertuples():
            errors = run.Curve.Ave_Test_Error
            axis.plot(range(1, len(errors) + 1), errors, color=COLOURS[run.Way], linewidth=1, label=run.Way)
        handles = dict(zip(*reversed(axis.get_legend_handles_labels())))
        axis.legend(handles.values(), handles.keys(), frameon=False)
        axis.set(title=preset, xlabel="epoch", ylabel="test error, %", yscale="log")
        axis.yaxis.set_major_formatter(matplotlib.ticker.ScalarFormatter())
        axis.yaxis.set_minor_formatter(matplotlib.ticker.ScalarFormatter())
        axis.grid(alpha=0.3, which="both")
    figure.tight_layout()
    figure.savefig(picture, dpi=110)


def main():
    parser = argparse.ArgumentParser(description="Makes the table of docs/results.md and its picture.")
    parser.add_argument("--kept", type=Path, default=DOCS / "results", help="what results.sh kept")
    parser.add_argument("--page", type=Path, default=DOCS / "results.md")
    parser.add_argument("--picture", type=Path, default=DOCS / "pictures" / "results.png")
    options = parser.parse_args()
    runs = read_runs(options.kept)
    page = options.page.read_text()
    options.page.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: BEGIN + "\n" + table(runs) + "\n" + END, page, flags=re.S))
    draw(runs, options.picture)


if __name__ == "__main__":
    main()
