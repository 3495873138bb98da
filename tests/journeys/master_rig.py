"""A film in the catalogue, masters made by FFmpeg, workers that encode them, and how their tracks are played."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from tests.journeys.encoding_deployment import EncodingDeployment, open_deployment
from tests.unit.encoding_rig import FFMPEG

from matinee.catalogue.api import Asset, AudioTrack, TitleDraft, VideoTrack
from matinee.drivers.ffmpeg import Ffmpeg
from matinee.drivers.process import ToolFailed
from matinee.encoding.api import Job
from matinee.encoding.jobs.worker import create_worker
from matinee.encoding.model.ladder import Rung
from matinee.encoding.model.plan import Chunk
from matinee.encoding.ports import Encoder
from matinee.events.api import FactRecord
from matinee.kit.clock import SystemClock
from matinee.kit.ids import TitleId
from matinee.mesh.queue.items import RetryPolicy
from matinee.mesh.queue.worker import QueueWorker

FILM = TitleId("tit_01jh0000000000000000000000")
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "16", "-pix_fmt", "yuv420p", "-g", "25")
Ingest = Callable[[Path], Awaitable[tuple[Job, Asset]]]

SECONDS, RATE = 9, 25


class FutureClock:
    """A clock ahead of all others: every lease has ended."""

    def now(self) -> datetime:
        return SystemClock().now() + timedelta(minutes=5)


@asynccontextmanager
async def open_with_film(data: Path) -> AsyncIterator[EncodingDeployment]:
    """Open the services of a folder in which there is a draft of a film."""
    async with open_deployment(data) as one:
        draft = TitleDraft(title_id=FILM, kind="film", names={"en": "A film"}, original_language="en")
        await one.catalogue.put_title(draft=draft)
        yield one


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


async def play(
    deployment: EncodingDeployment, asset: Asset, track: VideoTrack | AudioTrack, into: Path, *, is_cut: bool = False
) -> list[str]:
    """Join a track's segments, decrypt and decode them, and return the times of the frames.

    Where the last segment is cut, what is missing is no failure.
    """
    count = sum(run.count for run in track.segments)
    names = [track.init, *(track.media.replace("$Number$", str(n)) for n in range(1, count + 1))]
    folder = deployment.objects / "assets" / asset.asset_id
    (into / "track.mp4").write_bytes(b"".join((folder / name).read_bytes() for name in names))
    keys = await deployment.licensing.ensure_content_keys(asset_id=asset.asset_id, labels=("AUDIO", "SD", "HD"))
    key = next(key.key for key in keys if key.key_id == track.key_id)
    decode = ["-xerror", "-decryption_key", key, "-i", "track.mp4", "-map", "0", "-fps_mode", "passthrough"]
    stats = ["-stats_enc_pre", "times", "-stats_enc_pre_fmt", "{t}", "-f", "null", "-"]
    if is_cut:
        (into / "times").unlink(missing_ok=True)
        with contextlib.suppress(ToolFailed):
            await FFMPEG.run([*decode[1:], *stats], cwd=into, deadline_s=60)
    else:
        assert await FFMPEG.run([*decode, *stats], cwd=into, deadline_s=60) == []
    return (into / "times").read_text().split()


def picture(seconds: float = 2, size: str = "96x64", rate: str = "25") -> list[str]:
    return ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds}"]


def noise(seconds: float = 2) -> list[str]:
    return ["-f", "lavfi", "-i", f"anoisesrc=d={seconds}:c=pink:r=48000:a=0.25:seed=7"]


async def make(path: Path, *arguments: str) -> Path:
    await FFMPEG.run([*arguments, f"file:{path}"], cwd=path.parent, deadline_s=60)
    return path


async def join(path: Path, *parts: list[str]) -> Path:
    """Write MPEG-TS parts one after another, each beginning where its arguments say."""
    files = [await make(path.with_name(f"part{n}.ts"), *arguments) for n, arguments in enumerate(parts)]
    return await asyncio.to_thread(_join_files, path, files)


def _join_files(path: Path, files: list[Path]) -> Path:
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    return path


async def decode_sound(
    deployment: EncodingDeployment, asset: Asset, folder: Path, track: AudioTrack | None = None
) -> NDArray[np.float32]:
    """Decode the first sound to one channel, or a track to columns of its channels."""
    sound = track or asset.audio[0]
    await play(deployment, asset, sound, folder)
    channels = track.channels if track else 1
    write = ["-ac", str(channels), "-f", "f32le"]
    samples = await _decode(deployment, asset, folder, sound.key_id, *write, np.float32)
    return samples.reshape(-1, channels) if track else samples


async def decode_picture(deployment: EncodingDeployment, asset: Asset, folder: Path) -> NDArray[np.uint8]:
    """Decode the best rendition to RGB frames."""
    video = asset.video[-1]
    await play(deployment, asset, video, folder)
    convert = "scale=in_color_matrix=bt709:in_range=tv,format=rgb24"
    data = await _decode(deployment, asset, folder, video.key_id, "-vf", convert, "-f", "rawvideo", np.uint8)
    return data.reshape(-1, video.height_px, video.width_px, 3)


async def _decode(
    deployment: EncodingDeployment, asset: Asset, folder: Path, key_id: str | None, *arguments: str | type
) -> NDArray[np.generic]:
    keys = await deployment.licensing.ensure_content_keys(asset_id=asset.asset_id, labels=("AUDIO", "SD", "HD"))
    key = next(key.key for key in keys if key.key_id == key_id)
    *words, kind = arguments
    read = ["-decryption_key", key, "-i", "track.mp4"]
    await Ffmpeg(nice=0).run([*read, *map(str, words), "-fps_mode", "passthrough", "raw"], cwd=folder, deadline_s=60)
    return np.fromfile(folder / "raw", dtype=kind)


def find_start(sound: NDArray[np.float32]) -> float:
    """Find the second at which the silence at the start of a sound ends."""
    return float(np.argmax(np.abs(sound) > 0.01)) / 48_000


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
