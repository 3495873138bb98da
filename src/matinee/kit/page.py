"""Pages of long lists."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """One page of items; `next_cursor` is the opaque cursor of the next page, None on the last one."""

    items: list[T]
    next_cursor: str | None = None
