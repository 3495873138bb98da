"""Where the programs of engines come from: Debian packages, jars of Maven, Go modules."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec

from matinee.lab.engines.location import EngineMissing
from matinee.lab.engines.programs import find_java, find_program, install_hint, read_version, run

Report: TypeAlias = Callable[[str], None]
FETCH_S = 3600
# A build at low priority waits for all other work of the machine.
BUILD_S = 4 * FETCH_S
_LOW_PRIORITY = ("nice", "-n", "10")
_POM = (
    "<project><modelVersion>4.0.0</modelVersion><groupId>matinee</groupId><artifactId>engine</artifactId>"
    "<version>1</version><packaging>pom</packaging><dependencies>{}</dependencies></project>"
)
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The Debian packages of an engine or a tool, for each the programs or files any of which shows that it is there.

    Subclasses fetch what is not a Debian package.
    """

    name: str
    packages: Mapping[str, tuple[str, ...]] = {}

    def check(self) -> None:
        """Check that the programs are on this machine. Raises EngineMissing, with what to do."""
        for package in self.find_missing_packages():
            wanted = self.packages[package][0]
            kind = "file" if wanted.startswith("/") else "program"
            raise self.missing(f"the {kind} {wanted}", install_hint(package))

    def find(self, program: str) -> list[str]:
        """Return the first words of a command that runs a program. Raises EngineMissing."""
        self.check()
        return [find_program(program) or program]

    def read_version(self, program: str) -> str:
        """Return the version of a program. Raises EngineMissing."""
        return read_version(*self.find(program))

    def find_missing_packages(self) -> list[str]:
        """Return the Debian packages that are needed and not installed."""
        return [package for package, wanted in self.packages.items() if not any(map(_is_installed, wanted))]

    def fetch(self, report: Report) -> None:
        """Fetch or build what is not a Debian package. Raises EngineMissing, EngineFailed."""

    def missing(self, what: str, remedy: str = "") -> EngineMissing:
        """Return the failure to find something; the remedy is to fetch it, unless there is another."""
        remedy = remedy or f"run matinee lab engines up {self.name}"
        return EngineMissing(engine=self.name, detail=f"{self.name} needs {what}: {remedy}")


class Jars(Source, frozen=True, kw_only=True):
    """Maven coordinates (`group:artifact:version`), and the Java versions and heap to run them with."""

    version: str
    coordinates: tuple[str, ...]
    javas: tuple[int, ...]
    heap_mb: int

    @property
    def folder(self) -> Path:
        """The folder of the jars, which exists only when it is complete."""
        return _cache_folder() / self.name / self.version

    def check(self) -> None:
        self.find("java")

    def find(self, program: str) -> list[str]:
        java = self._find_java()
        if not self.folder.is_dir():
            raise self.missing(f"its jars of version {self.version}")
        memory = [f"-Xms{self.heap_mb // 2}m", f"-Xmx{self.heap_mb}m", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
        return [java, *memory, "-XX:+ExitOnOutOfMemoryError", "-cp", f"{self.folder}/*"]

    def read_version(self, program: str) -> str:
        return self.version

    def find_missing_packages(self) -> list[str]:
        java = [] if find_java(self.javas) else [f"openjdk-{self.javas[0]}-jre-headless"]
        return java + ([] if self.folder.is_dir() or find_program("mvn") else ["maven"])

    def fetch(self, report: Report) -> None:
        self._find_java()
        if not find_program("mvn"):
            raise self.missing("Maven", install_hint("maven"))
        _fill_folder(self.folder, lambda folder: self._copy_jars(folder, report))

    def _copy_jars(self, folder: Path, report: Report) -> None:
        report(f"  fetching           {self.name} {self.version} with Maven …")
        dependencies = "".join(_DEPENDENCY.format(*coordinate.split(":")) for coordinate in self.coordinates)
        with tempfile.TemporaryDirectory() as project:
            (pom := Path(project) / "pom.xml").write_text(_POM.format(dependencies))
            options = ["-B", "-q", "--strict-checksums", f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
            command = [*_LOW_PRIORITY, "mvn", "-f", str(pom), *options, "dependency:copy-dependencies"]
            run(self.name, command, {}, FETCH_S)

    def _find_java(self) -> str:
        if java := find_java(self.javas):
            return java
        hint = install_hint(f"openjdk-{self.javas[0]}-jre-headless")
        raise self.missing(f"Java {' or '.join(map(str, self.javas))}", f"{hint}, or set JAVA_HOME")


class Go(Source, frozen=True, kw_only=True):
    """A program that Go builds, by `arguments` of `go`, which are formatted with the folder to build in."""

    program: str
    version: str
    arguments: tuple[str, ...]
    duration: str

    @property
    def folder(self) -> Path:
        """The folder of the program, which exists only when it is complete."""
        return _cache_folder() / self.program / self.version

    def check(self) -> None:
        self.find(self.program)

    def find(self, program: str) -> list[str]:
        file = self.folder / program
        if path := str(file) if file.exists() else find_program(program):
            return [path]
        raise self.missing(f"{self.program} {self.version}")

    def read_version(self, program: str) -> str:
        return self.version.removeprefix("v")

    def fetch(self, report: Report) -> None:
        if (go := find_program("go")) is None:  # Debian's is too old
            raise self.missing(f"Go to build {self.program} {self.version}", "https://go.dev/dl")
        _fill_folder(self.folder, lambda folder: self._build(go, folder, report))

    def _build(self, go: str, folder: Path, report: Report) -> None:
        report(f"  building           {self.program} {self.version} with Go ({self.duration}) …")
        command = [*_LOW_PRIORITY, go, *(argument.format(folder=folder) for argument in self.arguments)]
        run(self.name, command, {"GOBIN": str(folder), "CGO_ENABLED": "0"}, BUILD_S)


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "matinee" / "engines"


def _is_installed(wanted: str) -> bool:
    return Path(wanted).exists() if wanted.startswith("/") else find_program(wanted) is not None


def _fill_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Fill a folder unless it exists. It appears when it is complete; concurrent calls fill it once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            return
        for left in target.parent.glob(f".{target.name}-*"):  # of a killed process
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as temporary:
            (folder := Path(temporary) / "complete").mkdir()
            fill(folder)
            folder.rename(target)
