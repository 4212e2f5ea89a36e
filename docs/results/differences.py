#!/usr/bin/env python3
"""Draws every study's difference by fine-tuning, a masked autoencoder minus another start, with its 95 % interval.

    python3 -m venv figures && figures/bin/pip install matplotlib
    figures/bin/python docs/results/differences.py

The numbers are those of the tables that `vit-mae ablate` wrote, docs/results/STUDY/results.md; the figure is differences.svg.
"""

import pathlib
import re

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402 (the backend is chosen first)

HERE = pathlib.Path(__file__).resolve().parent
STUDIES = {
    "cifar-10-methods": "CIFAR-10, accuracy",
    "scenes-segment": "scenes, mIoU",
    "segment-facade": "house fronts, mIoU",
    "scenes-detect": "scenes, box AP",
    "detect-facade": "house fronts, box AP",
}
COLOURS = {"moco-v3": "tab:orange", "beit": "tab:green", "supervised": "tab:purple", "scratch": "tab:gray"}
# | mae − moco-v3 | 0.01 | 2 | +9.27 [-3.13, +21.67] | …
ROW = re.compile(r"\| mae − (\S+) \| (\S+) \| (\d+) \| (\S+) \[(\S+), (\S+)\]")
# Wide enough for every interval so far.
LIMITS = (-15, 25)


def main():
    panels = [(name, rows(HERE / study / "results.md")) for study, name in STUDIES.items()]
    panels = [(name, found) for name, found in panels if found]
    plt.rcParams.update({"svg.hashsalt": "differences", "svg.fonttype": "none", "font.size": 9})
    heights = [len(found) + 1 for _, found in panels]
    figure, axes = plt.subplots(
        len(panels), 1, sharex=True, figsize=(7, 0.22 * sum(heights) + 0.8), height_ratios=heights, squeeze=False
    )
    for axis, (name, found) in zip(axes[:, 0], panels):
        panel(axis, name, found)
    axes[-1, 0].set_xlim(LIMITS)
    axes[-1, 0].set_xlabel("points by which the masked autoencoder is ahead")
    figure.tight_layout()
    figure.savefig(HERE / "differences.svg", metadata={"Date": None})


def rows(table):
    """Each difference of a table: the other start, the fraction of the labels, seeds, mean, lowest and highest."""
    if not table.exists():
        return []
    found = (ROW.match(line) for line in table.read_text().splitlines())
    return [(m[1], float(m[2]), int(m[3]), *map(float, m.groups()[3:])) for m in found if m]


def panel(axis, name, found):
    for place, (other, labels, seeds, mean, low, high) in enumerate(found):
        colour = COLOURS[other]
        axis.plot([low, high], [place, place], color=colour, linewidth=2)
        # Hollow where the interval holds 0: nothing can be said.
        axis.plot(mean, place, "o", color=colour, markerfacecolor="white" if low <= 0 <= high else colour)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(
        range(len(found)), [f"{other}, {labels:.0%} of the labels, {seeds} seeds" for other, labels, seeds, *_ in found]
    )
    axis.set_ylim(len(found) - 0.5, -0.5)
    axis.set_title(name, loc="left", fontsize=9, fontweight="bold")
    axis.grid(axis="x", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
