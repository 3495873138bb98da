"""Structs built from other Structs."""

from __future__ import annotations

from typing import TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)


def build_from(source: msgspec.Struct, kind: type[S], **values: object) -> S:
    """Build a Struct of `kind` from the attributes of `source` of the same names; `values` replace or add to them."""
    common = {name: getattr(source, name) for name in kind.__struct_fields__ if hasattr(source, name)}
    return kind(**{**common, **values})
