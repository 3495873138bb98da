"""What encoding does by itself, each for ever until cancelled."""

from matinee.encoding.jobs.housekeeping import relay_facts, sweep, sweep_store
from matinee.encoding.jobs.run import Tools
from matinee.encoding.jobs.worker import work

__all__ = ["Tools", "relay_facts", "sweep", "sweep_store", "work"]
