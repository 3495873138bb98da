"""What every step of a job is handed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from matinee.catalogue.api import Catalogue
from matinee.encoding.api import Order
from matinee.encoding.jobs.workspace import Workspace
from matinee.encoding.ports import Blobs, Encoder, Packager, Prober, Stills
from matinee.licensing.api import Licensing

T = TypeVar("T")


class Teller(Protocol):
    """Hears how a job goes on."""

    def began(self, step: str, total: int = 0) -> None:
        """A step begins; `total` in its own unit."""

    def went(self, step: str, done: int) -> None:
        """So much of it is done."""

    def ended(self, step: str, *, kept: bool) -> None:
        """It is done; `kept` when it was done already by an earlier attempt."""

    def warned(self, warning: str) -> None:
        """Something a person should know."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What steps work with. At most `processes` encoders run at once; chunks are about `chunk_s` long."""

    blobs: Blobs
    prober: Prober
    encoder: Encoder
    stills: Stills
    packager: Packager
    catalogue: Catalogue
    licensing: Licensing
    processes: int = 1
    preset: str = "veryfast"
    chunk_s: int = 40
    max_lines: int = 1080


@dataclass(frozen=True, kw_only=True)
class Run:
    """One job on its way: what was asked, where it works, what with, and who hears of it."""

    order: Order
    file_name: str
    workspace: Workspace
    tools: Tools
    teller: Teller
    # Steps of which something was made in this attempt, and not found from an earlier one.
    made: set[str] = field(default_factory=set)

    async def once(self, step: str, name: str, inputs: object, kind: type[T], make: Callable[[], Awaitable[T]]) -> T:
        """A part of a step: what an earlier attempt made of these inputs, or what is made now."""

        async def noted() -> T:
            self.made.add(step)
            return await make()

        return await self.workspace.once(name, inputs, kind, noted)
