"""Programs of engines: where they are, their versions, how to install and to run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from matinee.lab.engines.location import EngineFailed

# Debian installs servers outside a user's PATH, and Go's archive is unpacked here.
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/local/go/bin")
# Where Linux distributions, macOS, Homebrew and SDKMAN install Java.
_JAVA_HOMES = (
    "/usr/lib/jvm/*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "{home}/.sdkman/candidates/java/*",
)
# An environment for engines that are started often and run briefly: it halves the CPU time of a start.
FAST_START = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}
RUN_S = 300


def find_program(name: str) -> str | None:
    """Return the path of a program, or None."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_FOLDERS))


def find_java(versions: tuple[int, ...]) -> str | None:
    """Return the path of the first Java of one of these versions, or None."""
    for home in _list_java_homes():
        if _read_java_version(home) in versions and (home / "bin" / "java").exists():
            return str(home / "bin" / "java")
    return None


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


def run(engine: str, command: Sequence[str], environment: Mapping[str, str] = {}, limit_s: float = RUN_S) -> None:
    """Run a program to its end. Raises EngineFailed, with the errors in its output."""
    try:
        result = subprocess.run(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        detail = f"{engine}: {command[0]} did not end within {limit_s / 60:.0f} minutes"
        raise EngineFailed(engine=engine, detail=detail) from error
    if result.returncode:
        lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"\berror\b", line, re.IGNORECASE)] or lines[-2:]
        reason = " / ".join([f"exit status {result.returncode}", *errors[:2]])
        raise EngineFailed(engine=engine, detail=f"{engine}: {reason[:600]}")


def _list_java_homes() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    if java := shutil.which("java"):
        yield Path(java).resolve().parent.parent
    for pattern in _JAVA_HOMES:
        path = Path(pattern.format(home=Path.home()))
        yield from sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def _read_java_version(home: Path) -> int:
    """Return the major version of a Java home, or 0 if it is unknown."""
    try:
        match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', (home / "release").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) if match else 0
