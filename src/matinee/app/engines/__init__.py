"""Real engines on this machine, for trials and tests: fetched, configured, started on loopback, ended again.

Each engine is a file here; `Running` is one that was started from it.
"""

from matinee.app.engines.engine import Absent, Engine, EngineFailed, Place, place
from matinee.app.engines.fleet import Fleet
from matinee.app.engines.known import ENGINES
from matinee.app.engines.ring import Ring
from matinee.app.engines.running import Running

__all__ = ["ENGINES", "Absent", "Engine", "EngineFailed", "Fleet", "Place", "Ring", "Running", "place"]
