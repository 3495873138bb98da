"""What the steps of a job work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from matinee.catalogue.api import Catalogue
from matinee.encoding.api import Order
from matinee.encoding.jobs.reporter import ProgressReporter
from matinee.encoding.jobs.workspace import Workspace
from matinee.encoding.model.refusals import make_unusable
from matinee.encoding.model.source import MediaSource
from matinee.encoding.ports import Blobs, Encoder, Packager, Prober, Stills
from matinee.kit.context import traced
from matinee.kit.disk import RESERVE_BYTES
from matinee.kit.tracing import Operation
from matinee.licensing.api import Licensing
from matinee.mesh.executor.ports import Executor

T = TypeVar("T")
# The copy of a master whose container has no index or no single clock, in the working folder.
COPY_NAME = "master.mkv"


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The dependencies of the steps. At most `processes` encoders run at once; a chunk is about `chunk_s` long.

    `reserve_bytes` stay free on the disk of the working folders.
    """

    blobs: Blobs
    prober: Prober
    encoder: Encoder
    stills: Stills
    packager: Packager
    catalogue: Catalogue
    licensing: Licensing
    executor: Executor
    processes: int = 1
    preset: str = "veryfast"
    chunk_s: int = 40
    max_lines: int = 1080
    reserve_bytes: int = RESERVE_BYTES


@dataclass(frozen=True, kw_only=True)
class Run:
    """One attempt at a job. `worked_on` are the steps that did work in it and did not only reuse results."""

    order: Order
    file_name: str
    workspace: Workspace
    tools: Tools
    progress: ProgressReporter
    worked_on: set[str] = field(default_factory=set)

    async def once(self, step: str, name: str, inputs: object, kind: type[T], make: Callable[[], Awaitable[T]]) -> T:
        """Return the kept result for these inputs, or make and keep it. The files that it names must be durable."""
        if (kept := self.workspace.load(name, inputs, kind)) is not None:
            return kept
        self.worked_on.add(step)
        with traced(Operation(f"encoding.{step}", attributes={"matinee.result": name})):
            made = await make()
        self.workspace.save(name, inputs, made)
        return made

    def finish(self, step: str) -> None:
        """Report a step as finished."""
        self.progress.finish(step, kept=step not in self.worked_on)

    async def fetch_master(self, key: str, source: MediaSource) -> Path:
        """Return the local file that a stored source is read from: its copy, where it needs one. Raises Unusable."""
        return self.workspace.folder / COPY_NAME if source.remux else await self.fetch(key)

    async def fetch(self, key: str) -> Path:
        """Return a local file with the content of a stored source. Raises Unusable."""
        path = await self.tools.blobs.fetch(key=key, into=self.workspace.folder)
        if path is None:
            raise make_unusable(self.file_name, "file", "it is missing from the object store", "Submit it again.")
        return path
