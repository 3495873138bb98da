"""A job's working folder: the results of its steps, kept until the job is done."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from matinee.kit.hashing import sha256_hex
from matinee.kit.ids import JobId

T = TypeVar("T")


@asynccontextmanager
async def durable_outputs(*paths: Path) -> AsyncIterator[None]:
    """Flush the files and folders that the block makes to disk; delete them where it fails."""
    try:
        yield
        await asyncio.to_thread(_flush, paths)
    except BaseException:
        for path in paths:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise


def _flush(paths: Iterable[Path]) -> None:
    for path in paths:
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        for file in files:
            with file.open("rb") as stream:
                os.fsync(stream.fileno())


class Workspace:
    """Named results, each stored with a digest of its inputs: a result is valid only for the same inputs."""

    def __init__(self, root: Path, job_id: JobId) -> None:
        self.folder = root / job_id
        self.folder.mkdir(parents=True, exist_ok=True)

    def make_subfolder(self, name: str, *, empty: bool = False) -> Path:
        """Return a folder below this one, emptied on request: for a step that cannot resume."""
        folder = self.folder / name
        if empty:
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def load(self, name: str, inputs: Any, kind: type[T]) -> T | None:
        """Return the kept result for these inputs, if any."""
        try:
            digest, value = msgspec.json.decode(self._locate(name).read_bytes(), type=tuple[str, msgspec.Raw])
            return msgspec.json.decode(value, type=kind) if digest == _compute_digest(inputs) else None
        except (OSError, msgspec.DecodeError):
            return None

    def save(self, name: str, inputs: Any, value: Any) -> None:
        """Keep a result, atomically."""
        part = self._locate(name).with_suffix(".part")
        with part.open("wb") as file:
            file.write(msgspec.json.encode((_compute_digest(inputs), value)))
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._locate(name))

    def forget(self, pattern: str) -> None:
        """Drop the kept results whose names match a pattern."""
        for file in self.folder.glob(f"{pattern}.json"):
            file.unlink()

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _locate(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def _compute_digest(inputs: Any) -> str:
    return sha256_hex(msgspec.json.encode(inputs))
