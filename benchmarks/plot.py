"""Draws what `growth` measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt


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
