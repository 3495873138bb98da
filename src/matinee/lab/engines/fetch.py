"""Get what engines are made of: Debian packages by apt, jars by Maven, versitygw and Kubernetes by Go.

What is made goes to a folder beside its location and is renamed when it is whole, so a fetch that was cut off leaves
nothing that looks like a program. Two who fetch at once fetch once.
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

import msgspec

from matinee.drivers import nginx
from matinee.lab.engines import cassandra, kafka, kubernetes, s3
from matinee.lab.engines.engine import EngineMissing
from matinee.lab.engines.jars import Jars
from matinee.lab.engines.known import ENGINES
from matinee.lab.engines.programs import found, how

Say = Callable[[str], None]
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
    """A Debian package, and what shows that it, or its like, is there: one of these programs or files."""

    package: str
    shown_by: tuple[str, ...]

    @property
    def met(self) -> bool:
        """Whether nothing has to be installed."""
        return any(Path(sign).exists() if sign.startswith("/") else found(sign) for sign in self.shown_by)


# What is not an engine of ours, but which tests need all the same.
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


def absent(names: Iterable[str]) -> dict[str, str]:
    """Which of these engines and tools cannot be run here now, and what each lacks."""
    lacking = {}
    for name in names:
        try:
            _check(name)
        except EngineMissing as problem:
            lacking[name] = str(problem)
    return lacking


def fetch(names: Iterable[str], say: Say) -> dict[str, str]:
    """Get what these lack, side by side; tells what could not be had, and why."""
    lacking = absent(names)
    install([package for name in lacking for package in _packages(name)], say)
    lacking = absent(lacking)
    with ThreadPoolExecutor(max(len(lacking), 1)) as threads:
        troubles = dict(zip(lacking, threads.map(lambda name: _made(name, say), lacking), strict=True))
    return {name: troubles[name] or lack for name, lack in absent(lacking).items()}


def install(packages: list[str], say: Say) -> None:
    """Install Debian packages where this machine lets us; what fails is missed, and named, later. Starts no server."""
    if not packages or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    with _no_servers():
        _apt("update")
        for package in dict.fromkeys(packages):  # one by one: one that this Debian does not have hinders no other
            say(f"  installing         {package} …")
            _apt("install", "-y", "--no-install-recommends", package)


def _apt(*words: str) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            ["apt-get", "-o", "DPkg::Lock::Timeout=300", *words],
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
            raise EngineMissing(engine=name, detail=f"{name} needs {need.shown_by[0]}: {how(need.package)}")


def _packages(name: str) -> Iterator[str]:
    yield from (need.package for need in _NEEDS.get(name, ()) if not need.met)
    if jars := _JARS.get(name):
        try:
            jars.java()
        except EngineMissing:
            yield f"openjdk-{jars.javas[0]}-jre-headless"
        if not jars.folder.is_dir() and not shutil.which("mvn"):
            yield "maven"


def _made(name: str, say: Say) -> str:
    """Fetch or build one engine; tells what went wrong, or nothing."""
    try:
        if name in _JARS:
            _fetch_jars(_JARS[name], say)
        elif name == "s3":
            _build_versitygw(say)
        elif name == "kubernetes":
            _build_kubernetes(say)
    except EngineMissing as problem:
        return str(problem)
    return ""


def _fetch_jars(jars: Jars, say: Say) -> None:
    jars.java()
    if not shutil.which("mvn"):
        raise EngineMissing(
            engine=jars.engine, detail=f"{jars.engine}'s jars come by Maven, which is missing: {how('maven')}"
        )
    with _filling(jars.folder) as folder:
        if folder is None:
            return
        say(f"  fetching           {jars.engine} {jars.version} by Maven …")
        dependencies = "".join(_DEPENDENCY.format(*coordinate.split(":")) for coordinate in jars.coordinates)
        with tempfile.TemporaryDirectory() as project:
            (Path(project) / "pom.xml").write_text(_POM.format(dependencies))
            goal = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
            _run(jars.engine, ["mvn", "-B", "-q", "--strict-checksums", *goal], Path(project), {})


def _build_versitygw(say: Say) -> None:
    go = _go("s3", f"s3's versitygw {s3.VERSION}")
    with _filling(s3.folder()) as folder:
        if folder is None:
            return
        say(f"  building           versitygw {s3.VERSION} by Go (about two minutes) …")
        _run("s3", [go, "install", s3.MODULE], folder, {"GOBIN": str(folder), "CGO_ENABLED": "0"})


def _build_kubernetes(say: Say) -> None:
    go = _go("kubernetes", f"Kubernetes' API server {kubernetes.VERSION}")
    with _filling(kubernetes.folder()) as folder:
        if folder is None:
            return
        say(f"  building           Kubernetes' API server {kubernetes.VERSION} by Go (four to fifteen minutes) …")
        # Not optimised: half the time to build, and it is to be right here, not quick.
        plain = ["-buildvcs=false", "-mod=readonly", "-ldflags=-s -w", "-gcflags=all=-N -l"]
        command = [go, "build", *plain, "-o", str(folder / kubernetes.PROGRAM), "."]
        _run("kubernetes", command, kubernetes.MODULE, {"CGO_ENABLED": "0"}, limit_s=BUILD_S)


def _go(engine: str, what: str) -> str:
    go = found("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise EngineMissing(engine=engine, detail=f"{what} is built by Go, which is missing: https://go.dev/dl has it")
    return go


def _run(
    engine: str, command: list[str], folder: Path, environment: dict[str, str], *, limit_s: float = FETCH_S
) -> None:
    """Run a fetching command, behind whatever else this machine does."""
    behind = ["nice", "-n", "10"] if shutil.which("nice") else []
    try:
        done = subprocess.run(
            [*behind, *command],
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
    if done.returncode:
        words = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise EngineMissing(engine=engine, detail=f"{engine} could not be fetched: {' / '.join(words[:2])[:400]}")


@contextlib.contextmanager
def _filling(location: Path) -> Iterator[Path | None]:
    """A folder to fill, which becomes `location` when it was filled; None where another has filled it already."""
    location.parent.mkdir(parents=True, exist_ok=True)
    with (location.parent / f".{location.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if location.exists():
            yield None
            return
        for left in location.parent.glob(f".{location.name}-*"):  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
        part = Path(tempfile.mkdtemp(prefix=f".{location.name}-", dir=location.parent))
        try:
            yield part
            part.chmod(0o755)
            part.rename(location)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _no_servers() -> Iterator[None]:
    """Debian starts a server when it is installed, unless this file says no."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
