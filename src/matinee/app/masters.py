"""Masters that only this machine has, on their way to workers that may be on others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import msgspec

from matinee.app.settings import Settings
from matinee.encoding.api import Order
from matinee.encoding.model.refusals import make_unusable
from matinee.kit import ids, url
from matinee.kit.ids import UploadId
from matinee.kit.problem import DeadlineExceeded, Unreachable


@contextlib.asynccontextmanager
async def upload_masters(settings: Settings, order: Order) -> AsyncIterator[Order]:
    """The order with its files where every worker finds them: in the object store, unless that is a directory here.

    They are taken back when the block raises; encoding removes what it has stored. Raises Unusable, EngineUnavailable,
    StoreFull.
    """
    if url.scheme(settings.objects.store) == "file":
        yield order
        return
    from matinee.drivers.objects import ObjectStore

    files = {path: Path(path) for path in (order.path, *(side.path for side in (*order.audio, *order.subtitles)))}
    objects, folder = ObjectStore(settings.objects.store), await asyncio.to_thread(_folder, order, files.values())
    keys = {path: f"{folder}/{number}/{file.name}" for number, (path, file) in enumerate(files.items())}
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


def _folder(order: Order, files: Iterable[Path]) -> str:
    """Where the files wait: the same place when the same order comes again. Raises Unusable."""
    seen = []
    for file in files:
        try:
            with file.open("rb"):
                seen.append(f"{file}\x1f{file.stat().st_size}\x1f{file.stat().st_mtime_ns}")
        except OSError as error:
            why = f"it cannot be read ({error.strerror})"
            raise make_unusable(file.name, "file", why, "Check the path and who may read it.") from error
    from matinee.encoding.adapters.objects import INCOMING

    return f"{INCOMING}{ids.derive(UploadId, order.title_id, order.episode_id or '', *seen)}"
