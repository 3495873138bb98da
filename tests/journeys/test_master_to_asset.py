"""From a master file to an encrypted asset that plays, through failures, cancellations and repeated orders."""

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
from tests.journeys.encoding_deployment import EncodingDeployment, open_deployment
from tests.unit.encoding_rig import FFMPEG, make_clip, make_film

from matinee.catalogue.api import Asset, AudioTrack, TitleDraft, TitleNotFound, VideoTrack
from matinee.encoding.api import Job, NoSpace, Order, SideFile, Unusable
from matinee.encoding.jobs.housekeeping import sweep_folders_once
from matinee.encoding.jobs.worker import create_worker, run_worker
from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.plan import Chunk
from matinee.encoding.ports import Blobs, Encoder
from matinee.events.api import EncodeFinished, FactRecord
from matinee.kit.clock import SystemClock
from matinee.kit.disk import RESERVE_BYTES
from matinee.kit.hashing import sha256_file
from matinee.kit.ids import TitleId
from matinee.mesh.queue.items import RetryPolicy
from matinee.mesh.queue.worker import QueueWorker

FILM = TitleId("tit_01jh0000000000000000000000")
SECONDS, RATE = 9, 25


class FutureClock:
    """A clock ahead of all others: every lease has ended."""

    def now(self) -> datetime:
        return SystemClock().now() + timedelta(minutes=5)


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[EncodingDeployment]:
    async with open_deployment(tmp_path / "data") as one:
        draft = TitleDraft(title_id=FILM, kind="film", names={"en": "A film"}, original_language="en")
        await one.catalogue.put_title(draft=draft)
        yield one


@pytest.fixture
async def master(tmp_path: Path) -> Path:
    return await make_film(tmp_path / 'it\'s a "master" 🎬.mkv', seconds=SECONDS)


def worker(deployment: EncodingDeployment, **options: Any) -> QueueWorker[Job]:
    clock = options.pop("clock", SystemClock())
    tools = dataclasses.replace(deployment.tools, **options)
    folder, policy = deployment.work, RetryPolicy(wait_s=0)
    return create_worker(store=deployment.store, tools=tools, clock=clock, folder=folder, owner="w", policy=policy)


async def relay_facts(deployment: EncodingDeployment) -> list[Any]:
    records: list[bytes] = []

    async def append(batch: list[bytes]) -> None:
        records.extend(batch)

    await deployment.store.outbox.relay(append)
    return [msgspec.json.decode(record, type=FactRecord).fact for record in records]


async def play(deployment: EncodingDeployment, asset: Asset, track: VideoTrack | AudioTrack, into: Path) -> list[str]:
    """Join a track's segments, decrypt and decode them, and return the times of the frames."""
    count = sum(run.count for run in track.segments)
    names = [track.init, *(track.media.replace("$Number$", str(n)) for n in range(1, count + 1))]
    folder = deployment.objects / "assets" / asset.asset_id
    (into / "track.mp4").write_bytes(b"".join((folder / name).read_bytes() for name in names))
    keys = await deployment.licensing.ensure_content_keys(asset_id=asset.asset_id, labels=("AUDIO", "SD", "HD"))
    key = next(key.key for key in keys if key.key_id == track.key_id)
    decode = ["-xerror", "-decryption_key", key, "-i", "track.mp4", "-map", "0", "-fps_mode", "passthrough"]
    stats = ["-stats_enc_pre", "times", "-stats_enc_pre_fmt", "{t}", "-f", "null", "-"]
    assert await FFMPEG.run([*decode, *stats], cwd=into, deadline_s=60) == []
    return (into / "times").read_text().split()


async def test_master_becomes_an_asset_that_plays(deployment: EncodingDeployment, master: Path, tmp_path: Path) -> None:
    subtitles = tmp_path / "ja.srt"
    subtitles.write_text("1\n00:00:01,000 --> 00:00:03,000\nこんにちは\n")
    side = [SideFile(path=str(subtitles), language="ja")]
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master), language="en", subtitles=side))
    assert await worker(deployment).run_next()
    job = await deployment.encoding.get_job(job_id=job.job_id)
    assert (job.state, job.reason) == ("done", "")
    assert {step.state for step in job.steps} == {"done"}
    title = await deployment.catalogue.title(title_id=FILM)
    assert (title.state, title.asset_id, title.duration_ms) == ("published", job.asset_id, SECONDS * 1000)
    await check_artwork(deployment, title.artwork)
    asset = (await deployment.catalogue.playable(title_id=FILM, territory="DE")).asset
    await check_tracks(deployment, asset, tmp_path)
    assert [type(fact) for fact in await relay_facts(deployment)] == [EncodeFinished]
    assert (deployment.objects / "sources" / f"{sha256_file(master)}.mkv").exists()
    assert not (deployment.work / job.job_id).exists()


async def check_artwork(deployment: EncodingDeployment, artwork: list[Any]) -> None:
    assert {art.kind for art in artwork} == {"poster", "card", "backdrop"}
    for art in artwork:
        data = (deployment.objects / "public" / "art" / art.path).read_bytes()
        assert data[:2] == b"\xff\xd8"
        assert art.path == f"{sha256_file(deployment.objects / 'public' / 'art' / art.path)}.jpg"


async def check_tracks(deployment: EncodingDeployment, asset: Asset, tmp_path: Path) -> None:
    assert asset.scheme == "cbcs"
    for video in asset.video:
        times = await play(deployment, asset, video, tmp_path)
        assert len(times) == SECONDS * RATE
        assert [float(time) for time in times] == pytest.approx([n / RATE for n in range(SECONDS * RATE)], abs=1e-4)
        assert sum(run.duration * run.count for run in video.segments) == SECONDS * video.timescale
        assert video.bandwidth_bps >= video.average_bandwidth_bps > 0
    assert [(audio.language, audio.channels) for audio in asset.audio] == [("en", 2), ("en", 6)]
    for audio in asset.audio:
        assert len(await play(deployment, asset, audio, tmp_path)) == pytest.approx(SECONDS * 48_000 / 1024, abs=1)
    folder = deployment.objects / "assets" / asset.asset_id
    texts = {text.language: (folder / text.path).read_text() for text in asset.text}
    assert texts.keys() == {"en", "ja"}
    assert "こんにちは" in texts["ja"]
    assert asset.thumbnails is not None
    assert len(list((folder / "thumbnails").iterdir())) == asset.thumbnails.sheets
    init = (folder / asset.video[0].init).read_bytes()
    assert b"cbcs" in init
    assert bytes.fromhex(asset.video[0].key_id or "") in init


class CountingEncoder:
    """An encoder that records what it encodes."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.chunks: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    async def encode_chunk(self, *, chunk: Chunk, outputs: dict[Rung, Path], **options: Any) -> None:
        self.chunks += [(rung.name, chunk.first) for rung in outputs]
        await self._encoder.encode_chunk(chunk=chunk, outputs=outputs, **options)


async def test_repeated_order_encodes_nothing(deployment: EncodingDeployment, master: Path) -> None:
    order = Order(title_id=FILM, path=str(master))
    first = await deployment.encoding.submit(order=order)
    assert (await deployment.encoding.submit(order=order)).job_id == first.job_id
    await worker(deployment).run_next()
    second = await deployment.encoding.submit(order=order)
    counting = CountingEncoder(deployment.tools.encoder)
    await worker(deployment, encoder=counting).run_next()
    jobs = [await deployment.encoding.get_job(job_id=job.job_id) for job in (first, second)]
    assert jobs[0].asset_id == jobs[1].asset_id is not None
    assert jobs[1].state == "done"
    assert counting.chunks == []


async def test_new_rung_is_added_to_the_asset_without_changing_it(
    deployment: EncodingDeployment, tmp_path: Path
) -> None:
    path = await make_clip(tmp_path / "film.mp4", "-c:v", "libx264", "-preset", "ultrafast", size="640x360", seconds=3)
    order = Order(title_id=FILM, path=str(path))
    assets, objects = list[Asset](), list[dict[Path, int]]()
    for max_lines in (240, 360):
        await deployment.encoding.submit(order=order)
        counting = CountingEncoder(deployment.tools.encoder)
        await worker(deployment, encoder=counting, max_lines=max_lines).run_next()
        assets.append((await deployment.catalogue.playable(title_id=FILM, territory="DE")).asset)
        objects.append({file: file.stat().st_mtime_ns for file in deployment.objects.glob("assets/*/*/*")})
        assert counting.chunks == [(f"{max_lines}p", 0)]
    first, second = assets
    assert objects[0].items() <= objects[1].items()
    assert first.asset_id == second.asset_id
    assert [video.track_id for video in second.video] == ["avc-240p", "avc-360p"]
    assert second.video[0] == first.video[0]
    assert [video.key_label for video in second.video] == ["SD", "SD"]
    assert (second.audio, second.thumbnails) == (first.audio, first.thumbnails)
    for video in second.video:
        assert len(await play(deployment, second, video, tmp_path)) == 3 * RATE


async def test_job_of_a_killed_worker_resumes_after_its_finished_chunks(
    deployment: EncodingDeployment, master: Path, tmp_path: Path
) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    command = [sys.executable, "-m", "tests.journeys.encoding_deployment", str(tmp_path / "data"), "2"]
    root = Path(__file__).parents[2]
    other = await asyncio.create_subprocess_exec(*command, cwd=root)
    results = deployment.work / job.job_id
    while not list(results.glob("chunk-*.json")):
        assert other.returncode is None
        await asyncio.sleep(0.02)
    os.kill(other.pid, signal.SIGKILL)
    await other.wait()
    kept = {("64p", int(result.stem[-8:])) for result in results.glob("chunk-*.json")}
    counting = CountingEncoder(deployment.tools.encoder)
    assert await worker(deployment, encoder=counting, chunk_s=2, clock=FutureClock()).run_next()
    done = await deployment.encoding.get_job(job_id=job.job_id)
    assert (done.state, done.attempts) == ("done", 1)
    assert kept
    assert not kept & set(counting.chunks)
    asset = (await deployment.catalogue.playable(title_id=FILM, territory="DE")).asset
    assert len(await play(deployment, asset, asset.video[-1], tmp_path)) == SECONDS * RATE


async def wait_for_end(deployment: EncodingDeployment, job: Job) -> Job:
    """Poll a job until it has ended."""
    found = await deployment.encoding.get_job(job_id=job.job_id)
    if found.state in ("queued", "running"):
        await asyncio.sleep(0.05)
        return await wait_for_end(deployment, job)
    return found


class EndlessEncoder:
    """An encoder whose chunks never end."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.started = asyncio.Event()
        self.stopped = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    async def encode_chunk(self, **options: Any) -> None:
        self.started.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.stopped.set()


async def test_cancelled_job_stops_and_can_be_retried(deployment: EncodingDeployment, master: Path) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    endless = EndlessEncoder(deployment.tools.encoder)
    tools = dataclasses.replace(deployment.tools, encoder=endless)
    running = asyncio.create_task(
        run_worker(store=deployment.store, tools=tools, clock=SystemClock(), folder=deployment.work, owner="w")
    )
    await endless.started.wait()
    await deployment.encoding.cancel(job_id=job.job_id)
    assert (await wait_for_end(deployment, job)).state == "cancelled"
    assert endless.stopped.is_set()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await deployment.encoding.retry(job_id=job.job_id)).state == "queued"
    await worker(deployment).run_next()
    assert (await deployment.encoding.get_job(job_id=job.job_id)).state == "done"


async def test_stopping_worker_releases_its_job(deployment: EncodingDeployment, master: Path) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    endless = EndlessEncoder(deployment.tools.encoder)
    running = asyncio.create_task(worker(deployment, encoder=endless).run_next())
    await endless.started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    released = await deployment.encoding.get_job(job_id=job.job_id)
    assert (released.state, released.attempts) == ("queued", 0)
    assert {step.state for step in released.steps} <= {"done", "waiting"}


class FullBlobs:
    """An object store that is full after some objects of an asset."""

    def __init__(self, blobs: Blobs, objects: int) -> None:
        self._blobs = blobs
        self._left = objects

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    async def put_file(self, *, key: str, path: Path, move: bool = False, copy_of: str = "") -> None:
        self._left -= key.startswith("assets/")
        if self._left < 0:
            raise NoSpace(needed_bytes=0, free_bytes=0, detail="The object store is full: free some space.")
        await self._blobs.put_file(key=key, path=path, move=move, copy_of=copy_of)


async def test_job_waits_while_the_object_store_is_full_and_leaves_no_objects(
    deployment: EncodingDeployment, master: Path
) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    for _ in range(7):
        await worker(deployment, blobs=FullBlobs(deployment.tools.blobs, 5)).run_next()
    waiting = await deployment.encoding.get_job(job_id=job.job_id)
    assert waiting.state == "queued"
    assert waiting.reason == "The object store is full: free some space. The job then goes on by itself."
    assert not [path for path in (deployment.objects / "assets").rglob("*") if path.is_file()]
    assert await relay_facts(deployment) == []
    assert (await deployment.catalogue.title(title_id=FILM)).asset_id is None
    counting = CountingEncoder(deployment.tools.encoder)
    await worker(deployment, encoder=counting).run_next()
    done = await deployment.encoding.get_job(job_id=job.job_id)
    assert (done.state, done.reason) == ("done", "")
    assert counting.chunks == []


class ShrinkingBlobs:
    """An object store whose disk has nothing left beside the reserve while `is_full`."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.is_full = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    async def get_free_bytes(self) -> int | None:
        return -1 if self.is_full else 1 << 40


class FillingEncoder(CountingEncoder):
    """An encoder that fills the disk in its first chunk, and then takes long."""

    def __init__(self, encoder: Encoder, blobs: ShrinkingBlobs) -> None:
        super().__init__(encoder)
        self._shrinking = blobs

    async def encode_chunk(self, **options: Any) -> None:
        self._shrinking.is_full = True
        await asyncio.Event().wait()


async def test_job_stops_at_the_reserve_and_goes_on_once_there_is_space(
    deployment: EncodingDeployment, master: Path
) -> None:
    blobs = ShrinkingBlobs(deployment.tools.blobs)
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    async with asyncio.timeout(60):
        await worker(deployment, blobs=blobs, encoder=FillingEncoder(deployment.tools.encoder, blobs)).run_next()
    kept = "The rest of the disk is kept for sign-in and playback: free some space. The job then goes on by itself."
    for reserve_bytes in (RESERVE_BYTES, 1 << 60):
        waiting = await deployment.encoding.get_job(job_id=job.job_id)
        assert (waiting.state, waiting.reason, waiting.attempts) == ("queued", kept, 0)
        assert {step.state for step in waiting.steps} == {"done", "waiting"}
        blobs.is_full = reserve_bytes == RESERVE_BYTES
        await worker(deployment, blobs=blobs, reserve_bytes=reserve_bytes).run_next()
    blobs.is_full = False
    await worker(deployment, blobs=blobs).run_next()
    assert (await deployment.encoding.get_job(job_id=job.job_id)).state == "done"


async def test_missing_master_fails_the_job_at_once(deployment: EncodingDeployment, master: Path) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    await asyncio.to_thread(master.unlink)
    await worker(deployment).run_next()
    failed = await deployment.encoding.get_job(job_id=job.job_id)
    assert failed.state == "failed"
    assert "cannot be read" in failed.reason
    assert not await worker(deployment).run_next()


async def test_consumed_master_is_moved(deployment: EncodingDeployment, master: Path) -> None:
    digest = sha256_file(master)
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master), consume=True))
    await worker(deployment).run_next()
    assert (await deployment.encoding.get_job(job_id=job.job_id)).state == "done"
    assert not os.path.exists(master)  # noqa: ASYNC240, PTH110
    assert sha256_file(deployment.objects / "sources" / f"{digest}.mkv") == digest


@pytest.mark.parametrize("rate", ["25/2", "179/6", "24000/1001"])
async def test_odd_rates_sizes_and_depths_keep_every_frame(
    deployment: EncodingDeployment, tmp_path: Path, rate: str
) -> None:
    odd = ("-vf", "format=yuv420p10le,scale=97:65,setsar=1", "-c:v", "ffv1")
    path = await make_clip(tmp_path / "odd.mkv", *odd, rate=rate, seconds=5)
    frames = (await deployment.encoding.inspect(path=str(path))).video.frames
    await deployment.encoding.submit(order=Order(title_id=FILM, path=str(path)))
    await worker(deployment, chunk_s=2).run_next()
    asset = (await deployment.catalogue.playable(title_id=FILM, territory="DE")).asset
    assert asset.audio == []
    assert len(await play(deployment, asset, asset.video[0], tmp_path)) == frames
    assert asset.video[0].frame_rate == rate


async def test_unusable_files_queue_no_job(deployment: EncodingDeployment, master: Path, tmp_path: Path) -> None:
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
    assert (await deployment.encoding.list_jobs()).items == []


async def test_folders_of_ended_jobs_are_deleted(deployment: EncodingDeployment, master: Path) -> None:
    job = await deployment.encoding.submit(order=Order(title_id=FILM, path=str(master)))
    for name in (job.job_id, "job_unknown"):
        (deployment.work / name).mkdir(parents=True)
    swept = partial(sweep_folders_once, store=deployment.store, folder=deployment.work, keep=timedelta(minutes=1))
    assert await swept(clock=SystemClock()) == ["job_unknown"]
    await deployment.encoding.cancel(job_id=job.job_id)
    assert await swept(clock=SystemClock()) == []
    assert await swept(clock=FutureClock()) == [job.job_id]
