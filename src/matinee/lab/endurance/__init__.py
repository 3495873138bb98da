"""Endurance: viewers press play on a distributed deployment while its processes are killed at random."""

from matinee.lab.endurance.report import Report
from matinee.lab.endurance.run import endure, endure_on

__all__ = ["Report", "endure", "endure_on"]
