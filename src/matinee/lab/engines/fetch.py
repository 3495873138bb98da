"""Fetches engines: Debian packages with apt, jars with Maven, versitygw and Kubernetes with Go.

Everything is written to a temporary folder that is renamed when it is complete, so an interrupted fetch leaves no
partial program. Concurrent fetches of one engine run once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import msgspec

from matinee.drivers import nginx
from matinee.lab.engines import cassandra, kafka, kubernetes, s3
from matinee.lab.engines.engine import EngineMissing
from matinee.lab.engines.jars import Jars
from matinee.lab.engines.known import ENGINES
from matinee.lab.engines.programs import find_program, install_hint

Report: TypeAlias = Callable[[str], None]
FETCH_S = 1200
BUILD_S = 3600
POLICY = Path("/usr/sbin/policy-rc.d")
_JARS = {jars.engine: jars for jars in (kafka.JARS, cassandra.JARS)}
_POM = (
    "<project><modelVersion>4.0.0</modelVersion><groupId>matinee</groupId><artifactId>engine</artifactId>"
    "<version>1</version><packaging>pom</packaging><dependencies>{}</dependencies></project>"
)
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"


class Need(msgspec.Struct, frozen=True):
    """A Debian package, and the programs or files, each of which shows that it or an equivalent is installed."""

    package: str
    evidence: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Whether nothing has to be installed."""
        return any(Path(item).exists() if item.startswith("/") else find_program(item) for item in self.evidence)


# Tools that tests need.
TOOLS: dict[str, tuple[Need, ...]] = {
    "chromium": (Need("chromium", ("chromium", "google-chrome", "chromium-browser")),),
    "nginx": (
        Need("nginx-light", ("nginx",)),
        Need("libnginx-mod-http-js", tuple(f"{folder}/{nginx.JS_MODULE}" for folder in nginx.MODULE_FOLDERS)),
    ),
}
_NEEDS: dict[str, tuple[Need, ...]] = TOOLS | {
    "mariadb": (Need("mariadb-server", ("mariadbd",)),),
    "redis": (Need("redis-server", ("redis-server",)),),
    "memcached": (Need("memcached", ("memcached",)),),
    "etcd": (Need("etcd-server", ("etcd",)),),
}


def find_missing(names: Iterable[str]) -> dict[str, str]:
    """Return those of some engines and tools that cannot be started, each with the reason."""
    missing = {}
    for name in names:
        try:
            _check(name)
        except EngineMissing as problem:
            missing[name] = str(problem)
    return missing


def fetch(names: Iterable[str], report: Report) -> dict[str, str]:
    """Fetch engines and tools in parallel; return those that could not be fetched, each with the reason."""
    missing = find_missing(names)
    install([package for name in missing for package in _packages(name)], report)
    missing = find_missing(missing)
    with ThreadPoolExecutor(max(len(missing), 1)) as threads:
        failures = dict(zip(missing, threads.map(lambda name: _fetch_one(name, report), missing), strict=True))
    return {name: failures[name] or reason for name, reason in find_missing(missing).items()}


def install(packages: list[str], report: Report) -> None:
    """Install Debian packages if permitted, without starting servers; a later check names what is missing."""
    if not packages or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    with _no_servers():
        _apt("update")
        for package in dict.fromkeys(packages):  # one by one, so that an unknown package does not prevent the others
            report(f"  installing         {package} …")
            _apt("install", "-y", "--no-install-recommends", package)


def _apt(*arguments: str) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments],
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=FETCH_S,
            check=False,
        )


def _check(name: str) -> None:
    if name in ENGINES:
        ENGINES[name].check()
    for need in _NEEDS.get(name, ()):
        if not need.met:
            raise EngineMissing(engine=name, detail=f"{name} needs {need.evidence[0]}: {install_hint(need.package)}")


def _packages(name: str) -> Iterator[str]:
    yield from (need.package for need in _NEEDS.get(name, ()) if not need.met)
    if jars := _JARS.get(name):
        try:
            jars.java()
        except EngineMissing:
            yield f"openjdk-{jars.javas[0]}-jre-headless"
        if not jars.folder.is_dir() and not shutil.which("mvn"):
            yield "maven"


def _fetch_one(name: str, report: Report) -> str:
    """Fetch or build one engine; return the reason of a failure, or an empty string."""
    try:
        if name in _JARS:
            _fetch_jars(_JARS[name], report)
        elif name == "s3":
            _build_versitygw(report)
        elif name == "kubernetes":
            _build_kubernetes(report)
    except EngineMissing as problem:
        return str(problem)
    return ""


def _fetch_jars(jars: Jars, report: Report) -> None:
    jars.java()
    if not shutil.which("mvn"):
        raise EngineMissing(engine=jars.engine, detail=f"{jars.engine} needs Maven: {install_hint('maven')}")
    with _fill(jars.folder) as folder:
        if folder is None:
            return
        report(f"  fetching           {jars.engine} {jars.version} with Maven …")
        dependencies = "".join(_DEPENDENCY.format(*coordinate.split(":")) for coordinate in jars.coordinates)
        with tempfile.TemporaryDirectory() as project:
            (Path(project) / "pom.xml").write_text(_POM.format(dependencies))
            goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
            _run(jars.engine, ["mvn", "-B", "-q", "--strict-checksums", *goal], Path(project), {})


def _build_versitygw(report: Report) -> None:
    go = _go("s3", f"s3's versitygw {s3.VERSION}")
    with _fill(s3.program_folder()) as folder:
        if folder is None:
            return
        report(f"  building           versitygw {s3.VERSION} with Go (about two minutes) …")
        _run("s3", [go, "install", s3.MODULE], folder, {"GOBIN": str(folder), "CGO_ENABLED": "0"})


def _build_kubernetes(report: Report) -> None:
    go = _go("kubernetes", f"Kubernetes' API server {kubernetes.VERSION}")
    with _fill(kubernetes.program_folder()) as folder:
        if folder is None:
            return
        report(f"  building           Kubernetes' API server {kubernetes.VERSION} with Go (four to fifteen minutes) …")
        # Without optimisations it builds in half the time.
        flags = ["-buildvcs=false", "-mod=readonly", "-ldflags=-s -w", "-gcflags=all=-N -l"]
        command = [go, "build", *flags, "-o", str(folder / kubernetes.PROGRAM), "."]
        _run("kubernetes", command, kubernetes.MODULE, {"CGO_ENABLED": "0"}, limit_s=BUILD_S)


def _go(engine: str, what: str) -> str:
    go = find_program("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise EngineMissing(engine=engine, detail=f"{what} needs Go: https://go.dev/dl")
    return go


def _run(
    engine: str, command: list[str], folder: Path, environment: dict[str, str], *, limit_s: float = FETCH_S
) -> None:
    """Run a command with low priority."""
    low_priority = ["nice", "-n", "10"] if shutil.which("nice") else []
    try:
        result = subprocess.run(
            [*low_priority, *command],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineMissing(
            engine=engine, detail=f"{engine} was not fetched within {limit_s / 60:.0f} minutes"
        ) from error
    if result.returncode:
        lines = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
        raise EngineMissing(engine=engine, detail=f"{engine} could not be fetched: {' / '.join(lines[:2])[:400]}")


@contextlib.contextmanager
def _fill(target: Path) -> Iterator[Path | None]:
    """Yield a folder that becomes `target` at the end; None if another process has filled it already."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.exists():
            yield None
            return
        for left in target.parent.glob(f".{target.name}-*"):  # of a killed process
            shutil.rmtree(left, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            yield part
            part.chmod(0o755)
            part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _no_servers() -> Iterator[None]:
    """Prevent Debian from starting the servers that it installs."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
