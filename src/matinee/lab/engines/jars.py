"""Engines made of jars, and the Java that runs them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from matinee.lab.engines.engine import EngineMissing
from matinee.lab.engines.programs import cache_folder, install_hint

# Where Linux distributions, macOS, Homebrew and SDKMAN install Java.
_HOMES = (
    "/usr/lib/jvm/*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "{home}/.sdkman/candidates/java/*",
)
# An environment for engines that are started often and run briefly: it halves the CPU time of a start.
FAST_START = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}


class Jars(msgspec.Struct, frozen=True, kw_only=True):
    """The jars of an engine: Maven coordinates (`group:artifact:version`) and the Java versions it runs on."""

    engine: str
    version: str
    coordinates: tuple[str, ...]
    javas: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """Their folder, which exists only when it is complete."""
        return cache_folder() / self.engine / self.version

    @property
    def classpath(self) -> str:
        """The class path for `java -cp`."""
        return f"{self.folder}{os.sep}*"

    def check(self) -> None:
        """Check that Java and the jars are available. Raises EngineMissing, with what to do."""
        self.java()
        if not self.folder.is_dir():
            detail = f"{self.engine} {self.version} is not fetched: run matinee lab engines up {self.engine}"
            raise EngineMissing(engine=self.engine, detail=detail)

    def java(self) -> str:
        """Return the path of a Java that this engine runs on. Raises EngineMissing."""
        for home in _homes():
            if _version(home) in self.javas and (home / "bin" / "java").exists():
                return str(home / "bin" / "java")
        wanted = " or ".join(str(version) for version in self.javas)
        hint = install_hint(f"openjdk-{self.javas[0]}-jre-headless")
        detail = f"{self.engine} needs Java {wanted}: {hint}, or set JAVA_HOME"
        raise EngineMissing(engine=self.engine, detail=detail)


def _homes() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    if java := shutil.which("java"):
        yield Path(java).resolve().parent.parent
    for pattern in _HOMES:
        path = Path(pattern.format(home=Path.home()))
        yield from sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))


def _version(home: Path) -> int:
    """Return the major version of a Java home, or 0 if it is unknown."""
    try:
        match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', (home / "release").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) if match else 0
