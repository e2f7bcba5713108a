"""Draws what `growth` and `cost` measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from benchmarks.contenders import CONTENDERS
from benchmarks.measures import FIGURES


def draw(results: Mapping[str, Any], path: Path) -> None:
    """One row a database, one column a kind of growth; both axes logarithmic, milliseconds against size."""
    mpl.rcParams.update({"svg.hashsalt": "backchannel", "font.size": 9})
    columns = list(next(iter(results.values())))
    figure, axes = plt.subplots(
        len(results), len(columns), figsize=(5 * len(columns), 2.6 * len(results)), squeeze=False, sharey=True
    )
    for row, (kind, parts) in zip(axes, results.items(), strict=True):
        for axis, what in zip(row, columns, strict=True):
            for name, by_size in parts[what].items():
                axis.plot([int(size) for size in by_size], list(by_size.values()), marker="o", label=name)
            axis.set(xscale="log", yscale="log", title=kind, xlabel=what, ylabel="ms (median)")
            axis.grid(visible=True, alpha=0.3)
            axis.legend(fontsize=7)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def draw_cost(results: Mapping[str, Any], path: Path) -> None:
    """A group of bars a figure, a bar a contender: ratios to the first base, with the spread of paired samples."""
    mpl.rcParams.update({"svg.hashsalt": "backchannel", "font.size": 9})
    base, others = next(iter(results["ratios"].items()))
    figures = [name for name in FIGURES if all(name in found for found in others.values())]
    figure, axis = plt.subplots(figsize=(8, 0.4 * len(figures) * (len(others) + 1)))
    height = 0.8 / len(others)
    for number, (name, found) in enumerate(others.items()):
        places = [place + (number - (len(others) - 1) / 2) * height for place in range(len(figures))]
        middles = [found[each]["of_medians"] for each in figures]
        below = [max(middle - found[each]["low"], 0) for each, middle in zip(figures, middles, strict=True)]
        above = [max(found[each]["high"] - middle, 0) for each, middle in zip(figures, middles, strict=True)]
        axis.barh(places, middles, height, xerr=(below, above), label=CONTENDERS[name].title, ecolor="gray")
    axis.axvline(1, color="black", linewidth=1)
    axis.set_yticks(range(len(figures)), [FIGURES[each].title for each in figures])
    axis.invert_yaxis()
    axis.set(xlabel=f"ratio to the {CONTENDERS[base].title}; less is better")
    axis.grid(visible=True, axis="x", alpha=0.3)
    axis.legend(fontsize=7)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
