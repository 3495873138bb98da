"""Programs that engines are made of."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from matinee.app.engines.engine import Absent

# Debian keeps servers where a user's PATH does not look.
_ALSO = ("/usr/sbin", "/usr/local/sbin", "/sbin")


def cache() -> Path:
    """Where what was fetched is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matinee" / "engines"


def found(name: str) -> str | None:
    """A program's path, or None."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_ALSO))


def program(name: str, *, engine: str, package: str) -> str:
    """A program's path. Raises Absent, naming the Debian package that has it."""
    path = found(name)
    if path is None:
        raise Absent(engine=engine, detail=f"{engine} needs the program {name}: apt install {package}")
    return path
