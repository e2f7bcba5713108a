"""From samples to what is told: medians, ratios, their spread, a table."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contenders import CONTENDERS, PLAIN, PLAIN_SQLITE
from benchmarks.measures import FIGURES

BASES = (PLAIN, PLAIN_SQLITE)
"""What the others are compared with."""

type Samples = Mapping[str, Mapping[str, Sequence[float]]]
"""By contender and figure; the samples of one place in all lists were taken one after the other."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How one contender's figure compares with another's.

    Attributes:
        of_medians: The ratio of the medians.
        paired: The median of the ratios of samples that were taken one after the other.
        low: The smallest of these ratios.
        high: The largest of them.
    """

    of_medians: float
    paired: float
    low: float
    high: float

    @property
    def best(self) -> float:
        """The smaller of both ways to tell: noise that disturbs one seldom disturbs the other."""
        return min(self.of_medians, self.paired)


def ratio(values: Sequence[float], base: Sequence[float]) -> Ratio:
    """Compare samples with those that were taken beside them.

    Raises:
        ValueError: There are none, or not as many.
    """
    if not values:
        raise ValueError("no samples")
    pairs = [value / other for value, other in zip(values, base, strict=True)]
    medians = statistics.median(values) / statistics.median(base)
    return Ratio(medians, statistics.median(pairs), min(pairs), max(pairs))


def ratios(samples: Samples) -> dict[str, dict[str, dict[str, Ratio]]]:
    """By base, contender and figure. A base compared with itself is left out."""
    return {
        base: {
            name: {
                figure: ratio(values, samples[base][figure])
                for figure, values in figures.items()
                if figure in samples[base]
            }
            for name, figures in samples.items()
            if name != base
        }
        for base in BASES
        if base in samples
    }


def medians(samples: Samples) -> dict[str, dict[str, float]]:
    """By contender and figure. Of one run only: machines differ, and so do their moments."""
    return {
        name: {figure: statistics.median(values) for figure, values in figures.items()}
        for name, figures in samples.items()
    }


def table(samples: Samples) -> str:
    """The ratios as markdown, a table a base, with the base's medians for orientation."""
    found, told = ratios(samples), medians(samples)
    return "\n\n".join(_table_beside(base, others, told[base]) for base, others in found.items())


def _table_beside(base: str, others: Mapping[str, Mapping[str, Ratio]], told: Mapping[str, float]) -> str:
    head = [f"beside the {CONTENDERS[base].title}", *(CONTENDERS[name].title for name in others)]
    lines = [_line(head), _line(["---"] * len(head))]
    for figure, about in FIGURES.items():
        if figure in told:
            cells = [_cell(ratios_of.get(figure)) for ratios_of in others.values()]
            lines.append(_line([f"{about.title} ({told[figure]:.3g} {about.unit})", *cells]))
    return "\n".join(lines)


def _cell(one: Ratio | None) -> str:
    return "–" if one is None else f"{one.of_medians:.2f} × ({one.low:.2f}–{one.high:.2f})"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
