"""From a master file to an encrypted asset that plays, and orders that are repeated or refused."""

import asyncio
import json
import os
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.journeys.encoding_deployment import EncodingDeployment
from tests.journeys.master_rig import (
    FILM,
    RATE,
    SECONDS,
    CountingEncoder,
    FutureClock,
    play,
    relay_facts,
    worker,
)
from tests.unit.encoding_rig import make_clip

from matinee.catalogue.api import Asset, SegmentRun, TextTrack, TitleNotFound
from matinee.encoding.api import Order, SideFile, Unusable
from matinee.encoding.jobs.housekeeping import sweep_folders_once
from matinee.events.api import EncodeFinished
from matinee.kit.clock import SystemClock
from matinee.kit.hashing import sha256_file
from matinee.kit.ids import TitleId
from matinee.kit.packing import unpack_sizes


async def test_master_becomes_an_asset_that_plays(deployment: EncodingDeployment, master: Path, tmp_path: Path) -> None:
    subtitles = tmp_path / "ja.srt"
    subtitles.write_text("1\n00:00:01,000 --> 00:00:03,000\nこんにちは\n")
    vertical = tmp_path / "zh.vtt"
    vertical.write_text("WEBVTT\n\n00:00:01.000 --> 00:00:03.000 vertical:rl\n你好\n")
    side = [SideFile(path=str(subtitles), language="ja"), SideFile(path=str(vertical), language="zh")]
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
    assert texts.keys() == {"en", "ja", "zh"}
    assert "vertical:rl" in texts["zh"]
    assert "こんにちは" in texts["ja"]
    assert asset.thumbnails is not None
    assert len(list((folder / "thumbnails").iterdir())) == asset.thumbnails.sheets
    init = (folder / asset.video[0].init).read_bytes()
    assert b"cbcs" in init
    assert b"pssh" not in init  # players learn the key ids from the manifest
    assert bytes.fromhex(asset.video[0].key_id or "") in init
    await check_iframes(deployment, asset, tmp_path)
    check_subtitle_segments(folder, asset)


async def check_iframes(deployment: EncodingDeployment, asset: Asset, into: Path) -> None:
    """The part of a segment up to its first picture has exactly this picture; only the smallest rendition has sizes."""
    smallest, *others = sorted(asset.video, key=lambda track: track.height_px)
    assert not any(track.iframes for track in others)
    sizes = unpack_sizes(smallest.iframes)
    assert len(sizes) == sum(run.count for run in smallest.segments)
    for number, size in enumerate(sizes, start=1):
        one = replace(smallest, segments=[SegmentRun(0, smallest.timescale)], media=f"iframe-{number}-$Number$.m4s")
        folder = deployment.objects / "assets" / asset.asset_id
        segment = (folder / smallest.media.replace("$Number$", str(number))).read_bytes()
        assert size < len(segment)
        (folder / f"iframe-{number}-1.m4s").write_bytes(segment[:size])
        assert len(await play(deployment, asset, one, into, is_cut=True)) == 1
        (folder / f"iframe-{number}-1.m4s").write_bytes(segment[: size - 1])
        assert len(await play(deployment, asset, one, into, is_cut=True)) == 0


def check_subtitle_segments(folder: Path, asset: Asset) -> None:
    """Subtitles are in segments too, and all tracks name their language."""
    codes = {"en": "eng", "ja": "jpn"}
    for track in (*asset.audio, *asset.text):
        found = track.segmented if isinstance(track, TextTrack) else track
        if track.language == "zh":
            assert found is None  # the packager writes vertical text wrongly
            continue
        assert found is not None
        init = (folder / found.init).read_bytes()
        at = init.index(b"mdhd") + 24
        packed = int.from_bytes(init[at : at + 2], "big")
        assert "".join(chr((packed >> shift & 31) + 0x60) for shift in (10, 5, 0)) == codes[track.language]
        assert init[init.index(b"mvhd") + 8 :][:8] == bytes(8)  # not when it was made: another run gives the same
    texts = {text.language: text.segmented for text in asset.text}
    assert texts["ja"] is not None
    assert "こんにちは" in (folder / texts["ja"].media.replace("$Number$", "1")).read_text(errors="replace")


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
