"""Encoding: masters are looked at, queued, and watched; workers do the rest."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePath

from matinee.catalogue.api import Catalogue, EpisodeNotFound
from matinee.encoding.api import Job, JobState, Order, Report, SideFile
from matinee.encoding.model.progress import fresh_steps
from matinee.encoding.model.refusals import make_no_space, make_unusable, room_needed
from matinee.encoding.model.renditions import reported
from matinee.encoding.model.subtitles import BrokenSubtitles, parse
from matinee.encoding.ports import Blobs, JobStore, Prober
from matinee.kit import ids
from matinee.kit.clock import Clock
from matinee.kit.hashing import sha256_hex
from matinee.kit.ids import JobId
from matinee.kit.page import Page
from matinee.kit.problem import Fault, Invalid

PAGE_LIMIT = 200


async def located(blobs: Blobs, path: str, into: Path) -> Path:
    """The file of an order: an absolute path on this machine, or an object's key. It may not be there."""
    if PurePath(path).is_absolute():
        return Path(path)
    return await blobs.local(key=path, into=into) or Path(path)


class EncodingService:
    """Fulfils `encoding.api.Encoding`."""

    def __init__(self, *, store: JobStore, blobs: Blobs, prober: Prober, catalogue: Catalogue, clock: Clock) -> None:
        self._store = store
        self._blobs = blobs
        self._prober = prober
        self._catalogue = catalogue
        self._clock = clock

    async def inspect(self, *, path: str, audio: Sequence[SideFile] = (), subtitles: Sequence[SideFile] = ()) -> Report:
        with tempfile.TemporaryDirectory(prefix="matinee-inspect-") as folder:
            file = await located(self._blobs, path, Path(folder))
            report = reported(await self._prober.probe(path=file, name=PurePath(path).name))
        await self._check_side_files(audio, subtitles)
        await self._check_room(report)
        return report

    async def submit(self, *, order: Order) -> Job:
        report = await self.inspect(path=order.path, audio=order.audio, subtitles=order.subtitles)
        await self._check_title(order)
        now = self._clock.now()
        job = Job(
            job_id=ids.generate(JobId, now),
            order=order,
            state="queued",
            steps=fresh_steps(),
            created_at=now,
            updated_at=now,
            file_name=PurePath(order.path).name,
            warnings=report.warnings,
        )
        return await self._store.add(job=job, key=_film_key(order))

    async def job(self, *, job_id: JobId) -> Job:
        return await self._store.get(job_id=job_id)

    async def jobs(self, *, state: JobState | None = None, cursor: str | None = None, limit: int = 50) -> Page[Job]:
        if not 1 <= limit <= PAGE_LIMIT:
            raise Invalid(faults=[Fault("limit", f"ask for 1 to {PAGE_LIMIT} at a time")])
        return await self._store.page(state=state, cursor=cursor, limit=limit)

    async def cancel(self, *, job_id: JobId) -> Job:
        return await self._store.cancel(job_id=job_id, now=self._clock.now())

    async def retry(self, *, job_id: JobId) -> Job:
        return await self._store.retry(job_id=job_id, now=self._clock.now())

    async def _check_side_files(self, audio: Sequence[SideFile], subtitles: Sequence[SideFile]) -> None:
        with tempfile.TemporaryDirectory(prefix="matinee-inspect-") as folder:
            for side in audio:
                file = await located(self._blobs, side.path, Path(folder))
                await self._prober.probe_audio(path=file, name=PurePath(side.path).name)
            for side in subtitles:
                file = await located(self._blobs, side.path, Path(folder))
                await asyncio.to_thread(_check_subtitles, side, file)

    async def _check_title(self, order: Order) -> None:
        """Raises TitleNotFound, EpisodeNotFound, Invalid."""
        title = await self._catalogue.title(title_id=order.title_id)
        if order.episode_id is None:
            if title.kind == "series":
                raise Invalid(faults=[Fault("episode_id", "say which episode of the series this is")])
        elif order.episode_id not in {episode.episode_id for episode in title.episodes}:
            raise EpisodeNotFound(episode_id=order.episode_id)

    async def _check_room(self, report: Report) -> None:
        needed, free = room_needed(report.size_bytes), await self._blobs.free_bytes()
        if free is not None and free < needed:
            raise make_no_space("There is not enough room for the film", needed, free)


def _check_subtitles(side: SideFile, file: Path) -> None:
    name = PurePath(side.path).name
    try:
        parse(file.read_bytes(), file.suffix[1:].lower())
    except BrokenSubtitles as error:
        remedy = "Mend that line and hand it in again."
        raise make_unusable(name, f"subtitles, line {error.line}", error.what, remedy) from error
    except OSError as error:
        what = f"it cannot be read ({error.strerror})"
        raise make_unusable(name, "subtitles", what, "Check the path and who may read it.") from error


def _film_key(order: Order) -> str:
    """The same for orders of the same title, episode and file."""
    return sha256_hex("\x1f".join((order.title_id, order.episode_id or "", order.path)).encode())
