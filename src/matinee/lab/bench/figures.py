"""Measured figures, each with the baseline of the same run."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import msgspec
from rich.table import Table

# Samples in seconds are shown in these units; samples in any other unit are shown as they are.
SCALES = {"ms": 1e3, "µs": 1e6}


@dataclass(frozen=True)
class Samples:
    """The cost of one variant in each round."""

    values: Sequence[float]
    name: str = ""

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.values)

    @property
    def least(self) -> Samples:
        """Only the least cost: other work on the machine adds to a cost."""
        return Samples([min(self.values)], self.name)

    @property
    def noise(self) -> float | None:
        """Half the width of the 95 % confidence interval of the median; with fewer than eight rounds, of the range."""
        count = len(self.values)
        cut = max(0, int(count / 2 - 0.98 * count**0.5))  # ranks by the normal approximation of the binomial
        ordered = sorted(self.values)
        return (ordered[count - 1 - cut] - ordered[cut]) / 2 if count > 1 else None

    def __sub__(self, other: Self) -> Samples:
        return self._pair(other, lambda own, others: own - others)

    def __truediv__(self, other: Self) -> Samples:
        return self._pair(other, lambda own, others: own / others)

    def _pair(self, other: Self, combine: Callable[[float, float], float]) -> Samples:
        """Combine the costs of each round: what slows a whole round down affects both."""
        return Samples([combine(own, others) for own, others in zip(self.values, other.values, strict=True)])


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """`ratio` is the median of the ratios of each round. `goal` and `noise` are of the ratio, else of the value."""

    area: str
    name: str
    value: float
    unit: str
    baseline: float | None = None
    baseline_name: str = ""
    ratio: float | None = None
    goal: float | None = None
    met: bool | None = None
    noise: float | None = None


def make_figure(
    area: str, name: str, samples: Samples, unit: str, *, baseline: Samples | None = None, goal: float | None = None
) -> Figure:
    """Return the figure of some samples: its ratio to the baseline, its noise, and whether it meets the goal."""
    scale = SCALES.get(unit, 1.0)
    scaled = Samples([value * scale for value in samples.values])
    judged = samples / baseline if baseline else scaled
    return Figure(
        area=area,
        name=name,
        value=scaled.median,
        unit=unit,
        baseline=baseline.median * scale if baseline else None,
        baseline_name=baseline.name if baseline else "",
        ratio=judged.median if baseline else None,
        goal=goal,
        met=None if goal is None else judged.median <= goal,
        noise=judged.noise,
    )


def to_table(figures: Sequence[Figure]) -> Table:
    """Return figures as a table for a terminal."""
    table = Table("area", "name", "value", "baseline", "ratio", "noise", "goal", "met", box=None, header_style="bold")
    for figure in figures:
        table.add_row(*_to_cells(figure))
    return table


def _to_cells(figure: Figure) -> Iterator[str]:
    unit = figure.unit if figure.ratio is None else ""
    yield figure.area
    yield figure.name
    yield f"{figure.value:.4g} {figure.unit}"
    yield "" if figure.baseline is None else f"{figure.baseline:.4g} {figure.unit} ({figure.baseline_name})"
    yield "" if figure.ratio is None else f"{figure.ratio:.3f}"
    yield "" if figure.noise is None else f"± {figure.noise:.2g} {unit}".strip()
    yield "" if figure.goal is None else f"≤ {figure.goal:g}"
    yield "" if figure.met is None else "yes" if figure.met else "NO"
