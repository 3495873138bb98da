"""Engines made of jars, and the Java that runs them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from matinee.lab.engines.engine import EngineMissing
from matinee.lab.engines.programs import cache, how

# Where Linux distributions, macOS, Homebrew and SDKMAN keep their Javas.
_HOMES = (
    "/usr/lib/jvm/*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "/usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
    "{home}/.sdkman/candidates/java/*",
)
# For Java's own environment: half the work at every start, for engines that are started often and live short.
QUICK = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}


class Jars(msgspec.Struct, frozen=True, kw_only=True):
    """One engine's jars: Maven coordinates (`group:artifact:version`) and the Java versions it runs on."""

    engine: str
    version: str
    coordinates: tuple[str, ...]
    javas: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """Where they are kept; it is there only when it is whole."""
        return cache() / self.engine / self.version

    @property
    def classpath(self) -> str:
        """For `java -cp`."""
        return f"{self.folder}{os.sep}*"

    def check(self) -> None:
        """Raises EngineMissing, saying what is missing and how to get it."""
        self.java()
        if not self.folder.is_dir():
            detail = f"{self.engine} {self.version} is not fetched: matinee lab engines up {self.engine} does it"
            raise EngineMissing(engine=self.engine, detail=detail)

    def java(self) -> str:
        """A Java of a version that this engine runs on. Raises EngineMissing."""
        for home in _homes():
            if _version(home) in self.javas and (home / "bin" / "java").exists():
                return str(home / "bin" / "java")
        wanted = " or ".join(str(version) for version in self.javas)
        get = how(f"openjdk-{self.javas[0]}-jre-headless")
        detail = f"{self.engine} needs Java {wanted}: {get}, or name one in JAVA_HOME"
        raise EngineMissing(engine=self.engine, detail=detail)


def _homes() -> Iterator[Path]:
    if said := os.environ.get("JAVA_HOME"):
        yield Path(said)
    if path := shutil.which("java"):
        yield Path(path).resolve().parent.parent
    for pattern in _HOMES:
        location = Path(pattern.format(home=Path.home()))
        yield from sorted(Path(location.anchor).glob(str(location.relative_to(location.anchor))))


def _version(home: Path) -> int:
    """The Java version that a home says it is of; 0 where it says nothing."""
    try:
        said = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', (home / "release").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(said[1]) if said else 0
