"""Real engines on this machine, for trials and tests: fetched, configured, started on loopback, ended again.

Each engine is a file here; `EngineProcess` is one that was started from it.
"""

from matinee.lab.engines.engine import Engine, EngineFailed, EngineLocation, EngineMissing, open_location
from matinee.lab.engines.fleet import Fleet
from matinee.lab.engines.known import ENGINES
from matinee.lab.engines.process import EngineProcess
from matinee.lab.engines.ring import Ring

__all__ = [
    "ENGINES",
    "Engine",
    "EngineFailed",
    "EngineLocation",
    "EngineMissing",
    "EngineProcess",
    "Fleet",
    "Ring",
    "open_location",
]
