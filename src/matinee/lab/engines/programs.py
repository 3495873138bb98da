"""Programs that engines are made of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from matinee.lab.engines.engine import EngineMissing

# Debian keeps servers where a user's PATH does not look.
_ALSO = ("/usr/sbin", "/usr/local/sbin", "/sbin")


def cache() -> Path:
    """Where what was fetched is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matinee" / "engines"


def found(name: str) -> str | None:
    """A program's path, or None."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_ALSO))


def program(name: str, *, engine: str, package: str) -> str:
    """A program's path. Raises EngineMissing, saying how to get it."""
    path = found(name)
    if path is None:
        raise EngineMissing(engine=engine, detail=f"{engine} needs the program {name}: {how(package)}")
    return path


def how(package: str) -> str:
    """The command that installs a Debian package, or what Homebrew calls it."""
    if sys.platform != "darwin":
        return f"apt install {package}"
    name = package.removesuffix("-server").removesuffix("-jre-headless")
    return "brew install " + (name.replace("-", "@") if name.startswith("openjdk") else name)


def version(path: str) -> str:
    """The version that a program says it is of; empty where it says nothing that looks like one."""
    told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    said = re.search(r"\d+\.\d+(?:\.\d+)?", told.partition("Ver")[2] or told)
    return said[0] if said else ""
