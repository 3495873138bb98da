"""Programs of engines: where they are, their versions, how to install them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from matinee.lab.engines.engine import EngineMissing

# Debian installs servers outside a user's PATH.
_SERVER_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")


def cache_folder() -> Path:
    """Return the folder of fetched and built programs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matinee" / "engines"


def find_program(name: str) -> str | None:
    """Return the path of a program, or None."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_SERVER_FOLDERS))


def require_program(name: str, *, engine: str, package: str) -> str:
    """Return the path of a program. Raises EngineMissing, with how to install it."""
    path = find_program(name)
    if path is None:
        raise EngineMissing(engine=engine, detail=f"{engine} needs the program {name}: {install_hint(package)}")
    return path


def install_hint(package: str) -> str:
    """Return the command that installs a Debian package, or its equivalent of Homebrew."""
    if sys.platform != "darwin":
        return f"apt install {package}"
    name = package.removesuffix("-server").removesuffix("-jre-headless")
    return "brew install " + (name.replace("-", "@") if name.startswith("openjdk") else name)


def read_version(path: str) -> str:
    """Return the version of a program, or an empty string if its output has none."""
    output = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    match = re.search(r"\d+\.\d+(?:\.\d+)?", output.partition("Ver")[2] or output)
    return match[0] if match else ""
