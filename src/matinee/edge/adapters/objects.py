"""An object store as origin: `file:///…` or `s3://…`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

from matinee.drivers.objects import ObjectHead, ObjectNotFound, ObjectStore
from matinee.edge.ports import ObjectMeta, ObjectMissing
from matinee.kit import url as urls

_NOT_IN_A_TAG = re.compile(r"[^\x21\x23-\x7e]")
_TAG_LIMIT = 128


class ObjectsUpstream:
    """The origin is a store of our own; in a directory no symbolic link is followed.

    `timeout_s`: how long the store may say nothing. Whoever asks has patience of their own, so one more try is made
    here, by which a connection that breaks in the middle goes on where it was.
    """

    def __init__(self, url: str, *, timeout_s: float = 15.0) -> None:
        self._root = urls.file_path(url).resolve() if urls.scheme(url) == "file" else None
        self._objects = ObjectStore(url, idle_timeout_s=timeout_s, attempts=2)

    async def open(self, key: str, *, start: int = 0) -> tuple[ObjectMeta, AsyncIterator[bytes]]:
        if self._root is not None and _is_linked(self._root, key):
            raise ObjectMissing(key)
        try:
            head, pieces = await self._objects.open(key, start=start)
        except ObjectNotFound as error:
            raise ObjectMissing(key) from error
        return _meta(head), pieces

    async def close(self) -> None:
        return None


def _meta(head: ObjectHead) -> ObjectMeta:
    etag = _NOT_IN_A_TAG.sub("", head.etag)[:_TAG_LIMIT]
    return ObjectMeta(
        head.key, head.size_bytes, f'"{etag}"', int(head.modified_at.timestamp()) if head.modified_at else 0
    )


def _is_linked(root: Path, key: str) -> bool:
    at = root
    for part in key.split("/"):
        at = at / part
        if at.is_symlink():
            return True
    return False
