"""A part of a long list."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Items and, where there are more, the opaque cursor that asks for the next page."""

    items: list[T]
    next_cursor: str | None = None
