"""Key files: created at their first use, readable by their owner only, the same for all processes."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from matinee.kit.problem import Problem


class KeyFileUnusable(Problem, status=500):
    """A key file cannot be used."""

    path: str


def create_once(path: Path, make: Callable[[], bytes]) -> bytes:
    """Read a file, and create it where it is missing; the first of several processes wins. Raises KeyFileUnusable."""
    try:
        if not path.exists():
            _create(path, make())
        return path.read_bytes()
    except OSError as error:
        raise _unusable(path, error) from error


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file atomically. Raises KeyFileUnusable."""
    try:
        _write_temporary(path, data).replace(path)
        _sync_folder(path)
    except OSError as error:
        raise _unusable(path, error) from error


def to_pem(key: EllipticCurvePrivateKey) -> bytes:
    """Encode a private key in PEM form, unencrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _create(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _write_temporary(path, data)
    try:
        with contextlib.suppress(FileExistsError):  # another process was first: its key is used
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
    _sync_folder(path)


def _write_temporary(path: Path, data: bytes) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # with mode 0600
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
    return KeyFileUnusable(path=str(path), detail=f"The key file {path} cannot be read or created: {error.strerror}.")
