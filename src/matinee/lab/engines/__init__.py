"""Real engines on this machine, for tests and trials: fetched, configured, started on loopback, stopped."""

from matinee.lab.engines.engine import Engine
from matinee.lab.engines.fleet import Fleet
from matinee.lab.engines.known import ENGINES
from matinee.lab.engines.location import EngineFailed, EngineLocation, EngineMissing, open_location
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
