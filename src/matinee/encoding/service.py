"""The encoding service: inspects masters and queues jobs, which workers process."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePath

from msgspec.structs import replace

from matinee.catalogue.api import Catalogue, EpisodeNotFound, TitleNotFound, choose_text
from matinee.encoding.api import Job, JobNotFound, JobState, Order, Report, SideFile
from matinee.encoding.model.cues import InvalidSubtitles
from matinee.encoding.model.progress import create_steps
from matinee.encoding.model.refusals import check_space, make_already_ingested, make_unusable, make_unusable_subtitles
from matinee.encoding.model.renditions import list_warnings
from matinee.encoding.model.subtitles import LIMIT_BYTES, Subtitles, count_outside
from matinee.encoding.model.subtitles import read_subtitles as parse
from matinee.encoding.ports import Blobs, IngestedSource, JobStore, Prober, SourceStore
from matinee.kit import context, ids
from matinee.kit.clock import Clock
from matinee.kit.hashing import fingerprint_file, sha256_hex
from matinee.kit.ids import EpisodeId, JobId, TitleId
from matinee.kit.page import Page
from matinee.kit.problem import Fault, Invalid
from matinee.kit.structs import build_from
from matinee.mesh.executor.ports import Executor

PAGE_LIMIT = 200


async def locate(blobs: Blobs, path: str, into: Path) -> Path:
    """Return the file of an order's path: absolute on this machine, or an object's key. It may not exist."""
    if PurePath(path).is_absolute():
        return Path(path)
    return await blobs.fetch(key=path, into=into) or Path(path)


def read_subtitles(file: Path, kind: str, language: str) -> Subtitles:
    """Read a file of a kind (`srt`, `vtt`, `ass`), probably in a language. Raises InvalidSubtitles, OSError."""
    with file.open("rb") as opened:
        return parse(opened.read(LIMIT_BYTES + 1), kind, language)


def list_notes(subtitles: Subtitles, until_ms: int) -> list[str]:
    """List what a person should know about subtitles. Raises InvalidSubtitles where none is within the film."""
    notes = []
    if subtitles.charset:
        notes.append(f"they are not UTF-8 and were read as {subtitles.charset}: check the letters")
    if outside := count_outside(subtitles.cues, until_ms):
        notes.append(f"{outside} of {len(subtitles.cues)} begin after the end of the film and are left out")
    return notes


class EncodingService:
    """Implements `encoding.api.Encoding`."""

    def __init__(
        self,
        *,
        store: JobStore,
        sources: SourceStore,
        blobs: Blobs,
        prober: Prober,
        catalogue: Catalogue,
        executor: Executor,
        clock: Clock,
    ) -> None:
        self._store = store
        self._sources = sources
        self._blobs = blobs
        self._prober = prober
        self._catalogue = catalogue
        self._executor = executor
        self._clock = clock

    async def inspect(
        self,
        *,
        path: str,
        audio: Sequence[SideFile] = (),
        subtitles: Sequence[SideFile] = (),
        title_id: TitleId | None = None,
        episode_id: EpisodeId | None = None,
        again: bool = False,
    ) -> Report:
        report, fingerprint = await self._inspect(path, audio, subtitles)
        if not again:
            await self._check_not_ingested(fingerprint, PurePath(path).name, title_id, episode_id)
        return report

    async def submit(self, *, order: Order) -> Job:
        report, fingerprint = await self._inspect(order.path, order.audio, order.subtitles)
        if not order.again:
            await self._check_not_ingested(fingerprint, PurePath(order.path).name, order.title_id, order.episode_id)
        await self._check_title(order)
        now = self._clock.now()
        job = Job(
            job_id=ids.generate(JobId, now),
            order=order,
            state="queued",
            steps=create_steps(),
            created_at=now,
            updated_at=now,
            traceparent=context.traceparent(),
            file_name=PurePath(order.path).name,
            warnings=report.warnings,
        )
        added = await self._store.add(item=job, key=_build_film_key(order))
        await self._sources.save(fingerprint=fingerprint, source=build_from(order, IngestedSource, job_id=added.job_id))
        return added

    async def get_job(self, *, job_id: JobId) -> Job:
        return _require(await self._store.find(item_id=job_id), job_id)

    async def list_jobs(
        self, *, state: JobState | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[Job]:
        if not 1 <= limit <= PAGE_LIMIT:
            raise Invalid(faults=[Fault("limit", f"ask for 1 to {PAGE_LIMIT} at a time")])
        return await self._store.list_items(state=state, cursor=cursor, limit=limit)

    async def cancel(self, *, job_id: JobId) -> Job:
        return _require(await self._store.cancel(item_id=job_id, now=self._clock.now()), job_id)

    async def retry(self, *, job_id: JobId) -> Job:
        return _require(await self._store.retry(item_id=job_id, now=self._clock.now()), job_id)

    async def _inspect(self, path: str, audio: Sequence[SideFile], subtitles: Sequence[SideFile]) -> tuple[Report, str]:
        """Return the report on a master, and the fingerprint of its content."""
        with tempfile.TemporaryDirectory(prefix="matinee-inspect-") as folder:
            file = await locate(self._blobs, path, Path(folder))
            source = await self._prober.probe(path=file, name=PurePath(path).name)
            notes = await self._check_side_files(audio, subtitles, Path(folder), source.report.duration_ms)
            fingerprint = await asyncio.to_thread(fingerprint_file, file)
        check_space(source.report.size_bytes, await self._blobs.get_free_bytes())
        return replace(source.report, warnings=[*list_warnings(source), *notes]), fingerprint

    async def _check_not_ingested(
        self, fingerprint: str, file: str, title_id: TitleId | None, episode_id: EpisodeId | None
    ) -> None:
        """Raise AlreadyIngested where another title or episode was made of this content, or is being made."""
        known = await self._sources.find(fingerprint=fingerprint)
        if known is None or (known.title_id, known.episode_id) == (title_id, episode_id):
            return
        job = await self._store.find(item_id=known.job_id)
        if job is not None and job.state in ("failed", "cancelled"):
            return
        with contextlib.suppress(TitleNotFound):
            title = await self._catalogue.title(title_id=known.title_id)
            name = choose_text(title.names, [], title.original_language)
            raise make_already_ingested(file, known.title_id, known.episode_id, name)

    async def _check_side_files(
        self, audio: Sequence[SideFile], subtitles: Sequence[SideFile], folder: Path, duration_ms: int
    ) -> list[str]:
        """Return what a person should know about the files. Raises Unusable."""
        for side in audio:
            file = await locate(self._blobs, side.path, folder)
            await self._prober.probe_audio(path=file, name=PurePath(side.path).name)
        notes: list[str] = []
        for side in subtitles:
            file = await locate(self._blobs, side.path, folder)
            notes += await self._executor.run(_check_subtitles, side, file, duration_ms)
        return notes

    async def _check_title(self, order: Order) -> None:
        """Raise TitleNotFound, EpisodeNotFound or Invalid where the order's title does not fit."""
        title = await self._catalogue.title(title_id=order.title_id)
        if order.episode_id is None:
            if title.kind == "series":
                raise Invalid(faults=[Fault("episode_id", "name the episode of the series")])
        elif order.episode_id not in {episode.episode_id for episode in title.episodes}:
            raise EpisodeNotFound(episode_id=order.episode_id)


def _require(job: Job | None, job_id: JobId) -> Job:
    if job is None:
        raise JobNotFound(job_id=job_id)
    return job


def _check_subtitles(side: SideFile, file: Path, duration_ms: int) -> list[str]:
    name = PurePath(side.path).name
    try:
        subtitles = read_subtitles(file, file.suffix[1:].lower(), side.language)
        return [f"{name}: {note}" for note in list_notes(subtitles, duration_ms)]
    except InvalidSubtitles as error:
        raise make_unusable_subtitles(name, error) from error
    except OSError as error:
        what = f"it cannot be read ({error.strerror})"
        raise make_unusable(name, "subtitles", what, "Check its path and permissions.") from error


def _build_film_key(order: Order) -> str:
    """Return a key that is equal for orders of the same title, episode and file."""
    return sha256_hex("\x1f".join((order.title_id, order.episode_id or "", order.path)).encode())
