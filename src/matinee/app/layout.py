"""The processes of a deployment, and its files that commands read."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import msgspec

from matinee.app.domains import DOMAINS
from matinee.drivers.http import ConnectFailed, ConnectionBroken, HttpClient
from matinee.edge.domain import EdgeSection
from matinee.encoding.domain import EncodingSection
from matinee.gateway.domain import GatewaySection
from matinee.kit import url
from matinee.kit.clock import SystemClock
from matinee.kit.problem import Problem
from matinee.mesh.hosting import addresses
from matinee.mesh.hosting.settings import BadSettings, Settings


class AlreadyRunning(Problem, status=409):
    """Matinee is running on this data directory already."""


class DataUnusable(Problem, status=500):
    """Matinee cannot write its data directory."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The targets that one process serves."""

    name: str
    targets: tuple[str, ...]


def list_groups(settings: Settings) -> list[Group]:
    """Return the processes that `deployment.groups` describes.

    Raises BadSettings for a target that is unknown or named twice.
    """
    groups = [
        tuple(name.strip() for name in part.split(",") if name.strip())
        for part in settings.deployment.groups.split(";")
    ]
    known = [name for name, domain in DOMAINS.items() if domain.run is None]
    named = [name for group in groups for name in group]
    if wrong := sorted({name for name in named if name not in known or named.count(name) > 1}):
        raise BadSettings(
            detail=f"deployment.groups may name each target once ({', '.join(known)}); wrong: {', '.join(wrong)}."
        )
    groups.insert(0, tuple(name for name in known if name not in named))
    return [
        Group(name="services" if len(group) > 1 and "gateway" in group else group[0], targets=group)
        for group in groups
        if group
    ]


@contextlib.contextmanager
def lock(settings: Settings) -> Iterator[None]:
    """Lock the data directory for `matinee up`, as long as its process lives. Raises AlreadyRunning, DataUnusable."""
    with _open_lock(settings) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise AlreadyRunning(
                detail=f"Matinee is running on {settings.data} already (process {file.read().strip() or 'unknown'}): "
                "stop that one, or name another directory with --data."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def protect_data(settings: Settings) -> bool:
    """Deny other users the data directory; return whether they had access. Raises DataUnusable."""
    mode = settings.data.stat().st_mode
    if not mode & 0o077:
        return False
    try:
        settings.data.chmod(mode & 0o700)
    except OSError as error:
        raise _make_unusable(settings, error) from error
    return True


def make_folders(settings: Settings) -> None:
    """Make the folders that settings name. Raises BadSettings for one that cannot be used."""
    store, uploads = settings.objects.store, settings.of(GatewaySection).uploads
    folders = {
        "edge.cache": settings.of(EdgeSection).cache,
        "encoding.work": settings.of(EncodingSection).work,
        "telemetry.folder": settings.telemetry.folder,
    }
    if url.scheme(uploads) != "s3":
        folders["gateway.uploads"] = uploads
    if url.scheme(store) == "file":
        try:
            folders["objects.store"] = str(url.file_path(store))
        except ValueError as error:
            raise BadSettings(detail=f"objects.store cannot be {url.mask(store)}: use file:///….") from error
    for key, folder in folders.items():
        if "://" in folder:
            raise BadSettings(detail=f"{key} is the path of a folder, and not {url.mask(folder)}.")
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadSettings(detail=f"{key} cannot be {folder}: {error.strerror}.") from error


def _open_lock(settings: Settings) -> TextIO:
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _lock_file(settings).open("a+")
    except OSError as error:
        raise _make_unusable(settings, error) from error


def _make_unusable(settings: Settings, error: OSError) -> DataUnusable:
    return DataUnusable(
        detail=f"The data directory {settings.data} cannot be used: {error.strerror}. Name another with --data."
    )


def is_running(settings: Settings) -> bool:
    """Return whether `matinee up` runs on this data directory."""
    try:
        with _lock_file(settings).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _lock_file(settings: Settings) -> Path:
    return settings.data / "lock"


def record_file(settings: Settings) -> Path:
    """Return the file in which the supervisor records its processes."""
    return settings.data / "run" / "processes.json"


def store_address(settings: Settings) -> None:
    """Store the deployment's URL, for commands that are run without its ports."""
    file = settings.data / "run" / "address"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(front_url(settings))


def read_address(settings: Settings) -> str:
    """Return the URL of the deployment that runs on this data directory."""
    file = settings.data / "run" / "address"
    return file.read_text() if file.exists() else front_url(settings)


def front_url(settings: Settings) -> str:
    """Return the URL that viewers open."""
    return addresses.front_url(settings.deployment, settings.of(GatewaySection).port)


async def front_answers(settings: Settings) -> bool:
    """Return whether the gateway answers through Envoy."""
    deployment = settings.deployment
    trusted = addresses.open_authority(deployment, SystemClock()).certificate_pem if deployment.lan else ""
    url = addresses.local_url(deployment, settings.of(GatewaySection).port)
    async with HttpClient(ca_pem=trusted) as http:
        try:
            response = await http.request("GET", f"{url}/.well-known/jwks.json", timeout_s=2)
        except (ConnectFailed, ConnectionBroken, TimeoutError):
            return False
        return response.status == 200
