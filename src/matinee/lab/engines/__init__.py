"""Real engines on this machine, for trials and tests: fetched, configured, started on loopback, ended again.

Each engine is a file here; `Running` is one that was started from it.
"""

from matinee.lab.engines.engine import Absent, Engine, EngineFailed, Place, place
from matinee.lab.engines.fleet import Fleet
from matinee.lab.engines.known import ENGINES
from matinee.lab.engines.ring import Ring
from matinee.lab.engines.running import Running

__all__ = ["ENGINES", "Absent", "Engine", "EngineFailed", "Fleet", "Place", "Ring", "Running", "place"]
