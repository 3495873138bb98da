"""Key files: made at their first use, readable by their owner alone, the same for every process."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from matinee.kit.problem import Problem


class KeyFileUnusable(Problem, status=500):
    """A key file cannot be used."""

    path: str


def create_once(path: Path, make: Callable[[], bytes]) -> bytes:
    """The file's bytes, made where there is none; of processes that race the first wins. Raises KeyFileUnusable."""
    try:
        if not path.exists():
            _create(path, make())
        return path.read_bytes()
    except OSError as error:
        raise _unusable(path, error) from error


def replace_file(path: Path, data: bytes) -> None:
    """Put other bytes in the file's place; no reader sees half of them. Raises KeyFileUnusable."""
    try:
        temporary = _written(path, data)
        temporary.replace(path)
        _sync_folder(path)
    except OSError as error:
        raise _unusable(path, error) from error


def _create(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _written(path, data)
    try:
        with contextlib.suppress(FileExistsError):  # another process was first: its key is the one
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
    _sync_folder(path)


def _written(path: Path, data: bytes) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unusable(path: Path, error: OSError) -> KeyFileUnusable:
    return KeyFileUnusable(path=str(path), detail=f"The key file {path} cannot be read or made: {error.strerror}.")
