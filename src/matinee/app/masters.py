"""Upload of masters from this machine's disk, for encoders that may run on other machines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import msgspec

from matinee.encoding.api import INCOMING, Order, Unusable
from matinee.kit import ids, url
from matinee.kit.ids import UploadId
from matinee.kit.problem import DeadlineExceeded, Unreachable
from matinee.kit.text import replace_controls
from matinee.mesh.hosting.settings import Settings


@contextlib.asynccontextmanager
async def upload_masters(settings: Settings, order: Order) -> AsyncIterator[Order]:
    """Yield the order with its files in the object store, unless that is a directory of this machine.

    Files whose names are not text are put there in any case, because an order cannot name them.

    They are deleted when the block raises; else encoding deletes them when it has stored them. Raises Unusable,
    EngineUnavailable, StoreFull.
    """
    paths = (order.path, *(side.path for side in (*order.audio, *order.subtitles)))
    if url.scheme(settings.objects.store) == "file" and all(path == replace_controls(path) for path in paths):
        yield order
        return
    from matinee.drivers.objects import ObjectStore

    files = {path: Path(path) for path in paths}
    objects, folder = ObjectStore(settings.objects.store), await asyncio.to_thread(_folder_for, order, files.values())
    keys = {
        path: f"{folder}/{number}/{replace_controls(file.name)}" for number, (path, file) in enumerate(files.items())
    }
    try:
        for path, key in keys.items():
            await objects.put_file(key, files[path])
        yield msgspec.structs.replace(
            order,
            path=keys[order.path],
            audio=[msgspec.structs.replace(side, path=keys[side.path]) for side in order.audio],
            subtitles=[msgspec.structs.replace(side, path=keys[side.path]) for side in order.subtitles],
            consume=True,
        )
    except (Unreachable, DeadlineExceeded):  # the job may have been queued
        raise
    except BaseException:
        await objects.delete_prefix(f"{folder}/")
        raise


def _folder_for(order: Order, files: Iterable[Path]) -> str:
    """Return the folder of the uploads, the same one for the same order and files. Raises Unusable."""
    versions = []
    for file in files:
        try:
            with file.open("rb"):
                versions.append(f"{replace_controls(str(file))}\x1f{file.stat().st_size}\x1f{file.stat().st_mtime_ns}")
        except OSError as error:
            remedy = "Check the path and who may read it."
            name = replace_controls(file.name)
            detail = f"{name}: file: it cannot be read ({error.strerror}). {remedy}"
            raise Unusable(file=name, stream="file", remedy=remedy, detail=detail) from error
    return f"{INCOMING}{ids.derive(UploadId, order.title_id, order.episode_id or '', *versions)}"
