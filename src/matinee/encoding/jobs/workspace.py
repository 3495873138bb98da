"""A job's folder: what its steps made, kept until the job is done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from matinee.kit.hashing import sha256_hex
from matinee.kit.ids import JobId

T = TypeVar("T")


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
