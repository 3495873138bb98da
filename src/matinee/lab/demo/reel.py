"""What a demo film is made of, before it is made; and what it is afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from matinee.catalogue.api import ArtworkKind
from matinee.lab.demo.canvas import Size, Stage
from matinee.lab.demo.sound import Score

Scene: TypeAlias = Callable[[Size], Callable[[int], Stage]]
FPS = 24


@dataclass(frozen=True)
class Line:
    """Something said, in every language that has it; `said` is how it sounds where the spelling does not tell."""

    start_s: float
    end_s: float
    words: Mapping[str, str]
    said: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Look:
    """How the artwork is composed: which instants, where the eye goes (0 left, 1 right), and the type."""

    poster_s: float
    card_s: float
    backdrop_s: float
    focus: float = 0.5
    font: Literal["jost", "fraunces", "cormorant-italic", "bebas-neue", "space-mono", "syne"] = "jost"
    weight: int = 600
    ink: str = "#fff6e6"
    shade: str = "#000000"
    scrim: float = 0.75
    at: Literal["top", "bottom"] = "bottom"
    capitals: bool = False
    tracking: float = 0.0
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class Reel:
    """A film or an episode to be made. `held` is for how many of its 24 frames a second a painting stands."""

    slug: str
    names: Mapping[str, str]
    seconds: int
    held: int
    scene: Scene
    score: Score
    look: Look
    lines: tuple[Line, ...] = ()
    spoken: tuple[str, ...] = ("en", "de")
    beside: tuple[str, ...] = ()
    filters: str = "null"
    crf: int = 12
    episode: int | None = None
    heading: Mapping[str, str] | None = None

    @property
    def subtitled(self) -> tuple[str, ...]:
        """The languages in which every line has words."""
        return tuple(language for language in self.lines[0].words) if self.lines else ()


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A finished picture; `colour` is what to show while it loads."""

    kind: ArtworkKind
    path: str
    width_px: int
    height_px: int
    colour: str
    language: str | None = None


class DemoFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A finished film. `audio` holds sound beside the master's own, `subtitles` WebVTT, both by language.

    `stills` belong to the film or episode itself, `artwork` to the title (empty for all but a series' first episode).
    """

    slug: str
    master: str
    audio: dict[str, str]
    subtitles: dict[str, str]
    artwork: list[Picture]
    stills: list[Picture]
