"""Endurance: viewers press play on a distributed deployment while its processes are killed at random."""

from matinee.lab.endurance.report import Report
from matinee.lab.endurance.run import measure_endurance, run_on

__all__ = ["Report", "measure_endurance", "run_on"]
