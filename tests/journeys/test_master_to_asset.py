"""A master file goes in, an encrypted asset that can be played comes out, whatever happens on the way."""

import asyncio
import dataclasses
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.journeys.encoding_deployment import Studio, studio
from tests.unit.encoding_rig import FFMPEG, clip, film

from matinee.catalogue.api import Asset, AudioTrack, TitleDraft, TitleNotFound, VideoTrack
from matinee.encoding.api import Job, NoSpace, Order, SideFile, Unusable
from matinee.encoding.jobs.housekeeping import sweep_folders_once
from matinee.encoding.jobs.worker import Worker, run_worker
from matinee.encoding.model.plan import Chunk
from matinee.encoding.ports import Blobs, Encoder
from matinee.events.api import EncodeFailed, EncodeFinished, FactRecord
from matinee.kit.clock import SystemClock
from matinee.kit.hashing import sha256_file
from matinee.kit.ids import TitleId

FILM = TitleId("tit_01jh0000000000000000000000")
SECONDS, RATE = 9, 25


class Ahead:
    """A clock that is later than all others: whose leases there were have ended."""

    def now(self) -> datetime:
        return SystemClock().now() + timedelta(minutes=5)


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[Studio]:
    async with studio(tmp_path / "data") as one:
        draft = TitleDraft(title_id=FILM, kind="film", names={"en": "A film"}, original_language="en")
        await one.catalogue.put_title(draft=draft)
        yield one


@pytest.fixture
async def master(tmp_path: Path) -> Path:
    return await film(tmp_path / 'it\'s a "master" 🎬.mkv', seconds=SECONDS)


def worker(deployment: Studio, **words: Any) -> Worker:
    clock = words.pop("clock", SystemClock())
    tools = dataclasses.replace(deployment.tools, **words)
    return Worker(store=deployment.store, tools=tools, clock=clock, folder=deployment.work, owner="w")


async def facts(deployment: Studio) -> list[Any]:
    records: list[bytes] = []

    async def append(batch: list[bytes]) -> None:
        records.extend(batch)

    await deployment.store.outbox.relay(append)
    return [msgspec.json.decode(record, type=FactRecord).fact for record in records]


async def played(deployment: Studio, asset: Asset, track: VideoTrack | AudioTrack, into: Path) -> list[str]:
    """Put a track's segments together, decrypt it and decode it to its end: the times of its frames."""
    count = sum(run.count for run in track.segments)
    names = [track.init, *(track.media.replace("$Number$", str(n)) for n in range(1, count + 1))]
    folder = deployment.objects / "assets" / asset.asset_id
    (into / "track.mp4").write_bytes(b"".join((folder / name).read_bytes() for name in names))
    keys = await deployment.licensing.content_keys(asset_id=asset.asset_id, labels=("AUDIO", "SD", "HD"))
    key = next(key.key for key in keys if key.key_id == track.key_id)
    decode = ["-xerror", "-decryption_key", key, "-i", "track.mp4", "-map", "0", "-fps_mode", "passthrough"]
    stats = ["-stats_enc_pre", "times", "-stats_enc_pre_fmt", "{t}", "-f", "null", "-"]
    assert await FFMPEG.run([*decode, *stats], cwd=into, deadline_s=60) == []
    return (into / "times").read_text().split()


async def test_a_master_becomes_an_asset_that_plays(deployment: Studio, master: Path, tmp_path: Path) -> None:
    subtitles = tmp_path / "ja.srt"
    subtitles.write_text("1\n00:00:01,000 --> 00:00:03,000\nこんにちは\n")
    side = [SideFile(path=str(subtitles), language="ja")]
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master), language="en", subtitles=side))
    assert await worker(deployment).take_one()
    job = await deployment.encoding.job(job_id=job.job_id)
    assert (job.state, job.reason) == ("done", "")
    assert {step.state for step in job.steps} == {"done"}
    title = await deployment.catalogue.title(title_id=FILM)
    assert (title.state, title.asset_id, title.duration_ms) == ("published", job.asset_id, SECONDS * 1000)
    await check_artwork(deployment, title.artwork)
    asset = (await deployment.catalogue.playable(title_id=FILM, territory="DE")).asset
    await check_tracks(deployment, asset, tmp_path)
    assert [type(fact) for fact in await facts(deployment)] == [EncodeFinished]
    assert (deployment.objects / "sources" / f"{sha256_file(master)}.mkv").exists()
    assert not (deployment.work / job.job_id).exists()


async def check_artwork(deployment: Studio, artwork: list[Any]) -> None:
    assert {art.kind for art in artwork} == {"poster", "card", "backdrop"}
    for art in artwork:
        data = (deployment.objects / "public" / "art" / art.path).read_bytes()
        assert data[:2] == b"\xff\xd8"
        assert art.path == f"{sha256_file(deployment.objects / 'public' / 'art' / art.path)}.jpg"


async def check_tracks(deployment: Studio, asset: Asset, tmp_path: Path) -> None:
    assert asset.scheme == "cbcs"
    for video in asset.video:
        times = await played(deployment, asset, video, tmp_path)
        assert len(times) == SECONDS * RATE
        assert [float(time) for time in times] == pytest.approx([n / RATE for n in range(SECONDS * RATE)], abs=1e-4)
        assert sum(run.duration * run.count for run in video.segments) == SECONDS * video.timescale
        assert video.bandwidth_bps >= video.average_bandwidth_bps > 0
    assert [(audio.language, audio.channels) for audio in asset.audio] == [("en", 2), ("en", 6)]
    for audio in asset.audio:
        assert len(await played(deployment, asset, audio, tmp_path)) == pytest.approx(SECONDS * 48_000 / 1024, abs=1)
    folder = deployment.objects / "assets" / asset.asset_id
    texts = {text.language: (folder / text.path).read_text() for text in asset.text}
    assert texts.keys() == {"en", "ja"}
    assert "こんにちは" in texts["ja"]
    assert asset.thumbnails is not None
    assert len(list((folder / "thumbnails").iterdir())) == asset.thumbnails.sheets
    init = (folder / asset.video[0].init).read_bytes()
    assert b"cbcs" in init
    assert bytes.fromhex(asset.video[0].key_id or "") in init


class Counting:
    """An encoder that tells which chunks it made."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.made: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    async def encode_chunk(self, *, chunk: Chunk, **words: Any) -> list[Path]:
        self.made.append(chunk.index)
        return await self._encoder.encode_chunk(chunk=chunk, **words)


async def test_the_same_film_again_costs_no_encode(deployment: Studio, master: Path) -> None:
    order = Order(title_id=FILM, path=str(master))
    first = await deployment.encoding.submit(order=order)
    assert (await deployment.encoding.submit(order=order)).job_id == first.job_id
    await worker(deployment).take_one()
    second = await deployment.encoding.submit(order=order)
    counting = Counting(deployment.tools.encoder)
    await worker(deployment, encoder=counting).take_one()
    jobs = [await deployment.encoding.job(job_id=job.job_id) for job in (first, second)]
    assert jobs[0].asset_id == jobs[1].asset_id is not None
    assert jobs[1].state == "done"
    assert counting.made == []


async def test_a_killed_worker_is_taken_over_and_finished_chunks_stay(
    deployment: Studio, master: Path, tmp_path: Path
) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    words = [sys.executable, "-m", "tests.journeys.encoding_deployment", str(tmp_path / "data"), "2"]
    root = Path(__file__).parents[2]
    doomed = await asyncio.create_subprocess_exec(*words, cwd=root)
    notes = deployment.work / job.job_id
    while not list(notes.glob("chunk-*.json")):
        assert doomed.returncode is None
        await asyncio.sleep(0.02)
    os.kill(doomed.pid, signal.SIGKILL)
    await doomed.wait()
    kept = {int(note.stem[-5:]) for note in notes.glob("chunk-*.json")}
    counting = Counting(deployment.tools.encoder)
    assert await worker(deployment, encoder=counting, chunk_s=2, clock=Ahead()).take_one()
    done = await deployment.encoding.job(job_id=job.job_id)
    assert (done.state, done.attempts) == ("done", 1)
    assert kept
    assert not kept & set(counting.made)
    asset = (await deployment.catalogue.playable(title_id=FILM, territory="DE")).asset
    assert len(await played(deployment, asset, asset.video[-1], tmp_path)) == SECONDS * RATE


async def ended(deployment: Studio, job: Job) -> Job:
    """Ask as a client does until it is over."""
    found = await deployment.encoding.job(job_id=job.job_id)
    if found.state in ("queued", "running"):
        await asyncio.sleep(0.05)
        return await ended(deployment, job)
    return found


class Endless:
    """An encoder whose chunks never end."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.begun = asyncio.Event()
        self.stopped = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    async def encode_chunk(self, **words: Any) -> list[Path]:
        self.begun.set()
        try:
            return await asyncio.get_running_loop().create_future()
        finally:
            self.stopped.set()


async def test_a_cancelled_job_stops_and_can_be_taken_up_again(deployment: Studio, master: Path) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    endless = Endless(deployment.tools.encoder)
    tools = dataclasses.replace(deployment.tools, encoder=endless)
    running = asyncio.create_task(
        run_worker(store=deployment.store, tools=tools, clock=SystemClock(), folder=deployment.work, owner="w")
    )
    await endless.begun.wait()
    await deployment.encoding.cancel(job_id=job.job_id)
    assert (await ended(deployment, job)).state == "cancelled"
    assert endless.stopped.is_set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await deployment.encoding.retry(job_id=job.job_id)).state == "queued"
    await worker(deployment).take_one()
    assert (await deployment.encoding.job(job_id=job.job_id)).state == "done"


async def test_a_worker_that_is_told_to_stop_puts_its_job_back(deployment: Studio, master: Path) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    endless = Endless(deployment.tools.encoder)
    running = asyncio.create_task(worker(deployment, encoder=endless).take_one())
    await endless.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    back = await deployment.encoding.job(job_id=job.job_id)
    assert (back.state, back.attempts) == ("queued", 0)
    assert {step.state for step in back.steps} <= {"done", "waiting"}


class Full:
    """An object store whose disk is full after some objects of an asset."""

    def __init__(self, blobs: Blobs, room: int) -> None:
        self._blobs = blobs
        self._room = room

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    async def put_file(self, *, key: str, path: Path, move: bool = False, held: str = "") -> None:
        self._room -= key.startswith("assets/")
        if self._room < 0:
            raise NoSpace(needed_bytes=0, free_bytes=0, detail="The object store is full: free some room.")
        await self._blobs.put_file(key=key, path=path, move=move, held=held)


async def test_a_full_disk_ends_the_job_in_one_line_and_leaves_nothing_half_written(
    deployment: Studio, master: Path
) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    await worker(deployment, blobs=Full(deployment.tools.blobs, 5)).take_one()
    failed = await deployment.encoding.job(job_id=job.job_id)
    assert (failed.state, failed.reason) == ("failed", "The object store is full: free some room.")
    assert not [path for path in (deployment.objects / "assets").rglob("*") if path.is_file()]
    assert [type(fact) for fact in await facts(deployment)] == [EncodeFailed]
    assert (await deployment.catalogue.title(title_id=FILM)).asset_id is None
    await deployment.encoding.retry(job_id=job.job_id)
    counting = Counting(deployment.tools.encoder)
    await worker(deployment, encoder=counting).take_one()
    assert (await deployment.encoding.job(job_id=job.job_id)).state == "done"
    assert counting.made == []


async def test_a_film_that_is_gone_fails_once_and_says_so(deployment: Studio, master: Path) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    await asyncio.to_thread(master.unlink)
    await worker(deployment).take_one()
    failed = await deployment.encoding.job(job_id=job.job_id)
    assert failed.state == "failed"
    assert "cannot be read" in failed.reason
    assert not await worker(deployment).take_one()


async def test_a_film_that_is_handed_over_is_moved(deployment: Studio, master: Path) -> None:
    digest = sha256_file(master)
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master), consume=True))
    await worker(deployment).take_one()
    assert (await deployment.encoding.job(job_id=job.job_id)).state == "done"
    assert not os.path.exists(master)  # noqa: ASYNC240, PTH110
    assert sha256_file(deployment.objects / "sources" / f"{digest}.mkv") == digest


@pytest.mark.parametrize("rate", ["25/2", "179/6", "24000/1001"])
async def test_odd_rates_sizes_and_depths_keep_every_frame(deployment: Studio, tmp_path: Path, rate: str) -> None:
    odd = ("-vf", "format=yuv420p10le,scale=97:65,setsar=1", "-c:v", "ffv1")
    path = await clip(tmp_path / "odd.mkv", *odd, rate=rate, seconds=5)
    frames = (await deployment.encoding.inspect(path=str(path))).video.frames
    await deployment.encoding.submit(order=Order(title_id=FILM, path=str(path)))
    await worker(deployment, chunk_s=2).take_one()
    asset = (await deployment.catalogue.playable(title_id=FILM, territory="DE")).asset
    assert asset.audio == []
    assert len(await played(deployment, asset, asset.video[0], tmp_path)) == frames
    assert asset.video[0].frame_rate == rate


async def test_nothing_is_queued_for_what_cannot_be_used(deployment: Studio, master: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.srt"
    broken.write_text("1\n00:00:01,000 --> soon\nx\n")
    subtitles = [SideFile(path=str(broken), language="en")]
    with pytest.raises(Unusable, match=r"broken\.srt: subtitles, line 2: ") as refused:
        await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master), subtitles=subtitles))
    assert json.dumps(refused.value.to_document())
    with pytest.raises(TitleNotFound):
        await deployment.encoding.submit(order=Order(title_id=TitleId("tit_none"), path=str(master)))
    with pytest.raises(Unusable):
        await deployment.encoding.submit(order=Order(title_id=FILM, path=str(tmp_path)))
    assert (await deployment.encoding.jobs()).items == []


async def test_folders_of_ended_jobs_are_swept(deployment: Studio, master: Path) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    for name in (job.job_id, "job_unknown"):
        (deployment.work / name).mkdir(parents=True)
    swept = partial(sweep_folders_once, store=deployment.store, folder=deployment.work, keep=timedelta(minutes=1))
    assert await swept(clock=SystemClock()) == ["job_unknown"]
    await deployment.encoding.cancel(job_id=job.job_id)
    assert await swept(clock=SystemClock()) == []
    assert await swept(clock=Ahead()) == [job.job_id]
