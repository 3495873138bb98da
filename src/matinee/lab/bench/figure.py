"""One measured figure: ours, beside the baseline of the same run."""

from __future__ import annotations

import msgspec


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """`goal` is the upper bound of the ratio where there is a baseline, and of the value where there is none."""

    area: str
    name: str
    value: float
    unit: str
    baseline: float | None = None
    baseline_name: str = ""
    ratio: float | None = None
    goal: float | None = None
    met: bool | None = None


def compared(
    area: str, name: str, value: float, unit: str, *, baseline: float, baseline_name: str, goal: float | None = None
) -> Figure:
    """A figure beside its baseline; it is met when it is at most `goal` times as large."""
    ratio = value / baseline
    return Figure(
        area=area,
        name=name,
        value=value,
        unit=unit,
        baseline=baseline,
        baseline_name=baseline_name,
        ratio=ratio,
        goal=goal,
        met=None if goal is None else ratio <= goal,
    )


def measured(area: str, name: str, value: float, unit: str, *, goal: float | None = None) -> Figure:
    """A figure on its own; it is met when it is at most `goal`."""
    return Figure(area=area, name=name, value=value, unit=unit, goal=goal, met=None if goal is None else value <= goal)
