"""The background jobs of encoding; each runs until cancelled."""

from matinee.encoding.jobs.housekeeping import sweep_folders, sweep_objects
from matinee.encoding.jobs.run import Tools
from matinee.encoding.jobs.worker import run_worker

__all__ = ["Tools", "run_worker", "sweep_folders", "sweep_objects"]
