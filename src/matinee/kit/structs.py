"""Structs built from other Structs."""

from __future__ import annotations

import functools
from typing import TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)


def build_from(source: msgspec.Struct, kind: type[S], **values: object) -> S:
    """Build a Struct of `kind` from the attributes of `source` of the same names; `values` replace or add to them."""
    common = {name: getattr(source, name) for name in _find_common_names(type(source), kind)}
    return kind(**{**common, **values})


@functools.cache
def _find_common_names(source: type[msgspec.Struct], kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return tuple(name for name in kind.__struct_fields__ if hasattr(source, name))
