"""A measured figure, with the baseline of the same run."""

from __future__ import annotations

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """`goal` is the upper bound of the ratio if there is a baseline, else of the value."""

    area: str
    name: str
    value: float
    unit: str
    baseline: float | None = None
    baseline_name: str = ""
    ratio: float | None = None
    goal: float | None = None
    met: bool | None = None


def make_figure(
    area: str,
    name: str,
    value: float,
    unit: str,
    *,
    baseline: float | None = None,
    baseline_name: str = "",
    goal: float | None = None,
) -> Figure:
    """Return a figure with its ratio to the baseline, and whether it meets the goal."""
    ratio = None if baseline is None else value / baseline
    bounded = value if ratio is None else ratio
    return Figure(
        area=area,
        name=name,
        value=value,
        unit=unit,
        baseline=baseline,
        baseline_name=baseline_name,
        ratio=ratio,
        goal=goal,
        met=None if goal is None else bounded <= goal,
    )
