"""The genres of the generated catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from matinee.catalogue.api import Genre, Localised

_PATH = Path(__file__).parents[1] / "data" / "catalogue_genres.toml"


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    weight: float
    names: Localised


_ENTRIES = msgspec.toml.decode(_PATH.read_bytes(), type=dict[str, _Entry])
GENRES: Final = [Genre(genre_id=genre_id, names=entry.names) for genre_id, entry in _ENTRIES.items()]
WEIGHTS: Final = [entry.weight for entry in _ENTRIES.values()]
