"""Endurance: viewers press play on a distributed house while its processes are killed at random."""

from matinee.app.endure.report import Report
from matinee.app.endure.run import endure, endure_on

__all__ = ["Report", "endure", "endure_on"]
