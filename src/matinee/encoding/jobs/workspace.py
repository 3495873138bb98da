"""A job's folder: what its steps made, kept until the job is done."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from matinee.kit.hashing import sha256_hex
from matinee.kit.ids import JobId

T = TypeVar("T")


@asynccontextmanager
async def whole(*made: Path) -> AsyncIterator[None]:
    """Files and folders that are made inside the block: on the disk when it ends well, gone when it does not."""
    try:
        yield
        await asyncio.to_thread(_to_disk, made)
    except BaseException:
        for path in made:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise


def _to_disk(made: Iterable[Path]) -> None:
    for path in made:
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        for file in files:
            with file.open("rb") as opened:
                os.fsync(opened.fileno())


class Workspace:
    """Results by name. A result stands only beside the inputs it was made of, and is written whole or not at all."""

    def __init__(self, root: Path, job_id: JobId) -> None:
        self.folder = root / job_id
        self.folder.mkdir(parents=True, exist_ok=True)

    def at(self, name: str) -> Path:
        """A folder below it."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def emptied(self, name: str) -> Path:
        """A folder below it with nothing in it: where a step that was cut off begins again."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return self.at(name)

    async def once(self, name: str, inputs: Any, kind: type[T], make: Callable[[], Awaitable[T]]) -> T:
        """The kept result of these inputs, or the one made now. What is made must be on the disk when it returns."""
        stamp = sha256_hex(msgspec.json.encode(inputs))
        if (kept := self._kept(name, stamp, kind)) is not None:
            return kept
        made = await make()
        self._keep(name, stamp, made)
        return made

    def forget(self, pattern: str) -> None:
        """Drop kept results by the pattern of their names, so that they are made again."""
        for note in self.folder.glob(f"{pattern}.json"):
            note.unlink()

    def sweep(self) -> None:
        """Remove it all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kept(self, name: str, stamp: str, kind: type[T]) -> T | None:
        try:
            found, value = msgspec.json.decode(
                (self.folder / f"{name}.json").read_bytes(), type=tuple[str, msgspec.Raw]
            )
            return msgspec.json.decode(value, type=kind) if found == stamp else None
        except (OSError, msgspec.DecodeError):
            return None

    def _keep(self, name: str, stamp: str, value: Any) -> None:
        """Everything made so far reaches the disk before the note that says so."""
        note = self.folder / f"{name}.json"
        part = note.with_suffix(".part")
        with part.open("wb") as file:
            file.write(msgspec.json.encode((stamp, value)))
            file.flush()
            os.fsync(file.fileno())
        part.replace(note)
