"""An object store as upstream: `file:///…` or `s3://…`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

from matinee.drivers.objects import ObjectHead, ObjectNotFound, ObjectStore
from matinee.edge.ports import ObjectMeta, ObjectMissing
from matinee.kit import url as urls

_INVALID_IN_ETAG = re.compile(r"[^\x21\x23-\x7e]")
_ETAG_LIMIT = 128


class ObjectStoreUpstream:
    """The deployment's own object store; in a directory no symbolic link is followed.

    `timeout_s` is how long the store may send nothing. The edge retries by itself, so the store's client makes only
    two attempts; the second resumes a connection that broke in the middle of an object.
    """

    def __init__(self, url: str, *, timeout_s: float = 15.0) -> None:
        self._root = urls.file_path(url).resolve() if urls.scheme(url) == "file" else None
        self._objects = ObjectStore(url, idle_timeout_s=timeout_s, attempts=2)

    async def open(self, key: str, *, start: int = 0) -> tuple[ObjectMeta, AsyncIterator[bytes]]:
        if self._root is not None and _has_symlink(self._root, key):
            raise ObjectMissing(key)
        try:
            head, pieces = await self._objects.open(key, start=start)
        except ObjectNotFound as error:
            raise ObjectMissing(key) from error
        return _to_meta(head), pieces

    async def close(self) -> None:
        return None


def _to_meta(head: ObjectHead) -> ObjectMeta:
    etag = _INVALID_IN_ETAG.sub("", head.etag)[:_ETAG_LIMIT]
    modified_s = int(head.modified_at.timestamp()) if head.modified_at else 0
    return ObjectMeta(head.key, head.size_bytes, f'"{etag}"', modified_s)


def _has_symlink(root: Path, key: str) -> bool:
    path = root
    for part in key.split("/"):
        path = path / part
        if path.is_symlink():
            return True
    return False
