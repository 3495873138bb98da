"""Short films made by FFmpeg, and the tools of encoding on the local disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

from msgspec.structs import replace

from matinee.catalogue.api import Artwork, Asset, Title, TitleNotFound
from matinee.drivers.ffmpeg import Ffmpeg
from matinee.drivers.objects import ObjectStore
from matinee.drivers.packager import Shaka
from matinee.encoding.adapters.ffmpeg import FfmpegEncoder, FfmpegProber, FfmpegStills
from matinee.encoding.adapters.objects import ObjectBlobs
from matinee.encoding.adapters.packager import ShakaPackager
from matinee.encoding.jobs.run import Tools
from matinee.kit.ids import AssetId, EpisodeId, TitleId
from matinee.licensing.api import ContentKey, Label
from matinee.mesh.executor.ports import Executor

FFMPEG = Ffmpeg(nice=0)


async def make_clip(path: Path, *arguments: str, size: str = "96x64", rate: str = "25", seconds: float = 1) -> Path:
    """Make a test video; `arguments` precede its file name."""
    source = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds}"]
    await FFMPEG.run([*source, *arguments, f"file:{path}"], deadline_s=60)
    return path


async def make_film(path: Path, *, seconds: float = 9, rate: str = "25") -> Path:
    """Make a video with six channels of audio and a subtitle stream."""
    text = path.with_suffix(".srt")
    text.write_text("1\n00:00:00,500 --> 00:00:02,000\nHello\n")
    inputs = ["-f", "lavfi", "-i", f"sine=f=330:d={seconds}", "-i", f"file:{text}"]
    encode = ["-map", "0", "-map", "1", "-map", "2", "-c:v", "libx264", "-preset", "ultrafast", "-g", "40"]
    await make_clip(path, *inputs, *encode, "-c:a", "aac", "-ac", "6", "-c:s", "srt", rate=rate, seconds=seconds)
    text.unlink()
    return path


class FakeCatalogue:
    """A catalogue of one film, with the methods that encoding calls."""

    def __init__(self, title_id: TitleId) -> None:
        self.film = Title(title_id=title_id, kind="film", names={"en": "A film"}, original_language="en")
        self.assets: list[Asset] = []
        self.published = 0

    async def title(self, *, title_id: TitleId) -> Title:
        if title_id != self.film.title_id:
            raise TitleNotFound(title_id=title_id)
        return self.film

    async def attach_asset(self, *, asset: Asset) -> None:
        self.assets.append(asset)

    async def publish(self, *, title_id: TitleId) -> Title:
        self.published += 1
        return self.film

    async def add_artwork(
        self, *, title_id: TitleId, artwork: list[Artwork], episode_id: EpisodeId | None = None
    ) -> Title:
        self.film = replace(self.film, artwork=[*self.film.artwork, *artwork])
        return self.film


class FakeLicensing:
    """Content keys derived from asset and label."""

    async def ensure_content_keys(self, *, asset_id: AssetId, labels: tuple[Label, ...]) -> list[ContentKey]:
        return [self.key(asset_id, label) for label in labels]

    def key(self, asset_id: AssetId, label: Label) -> ContentKey:
        key_id, key = (hashlib.sha256(f"{asset_id}{label}{what}".encode()).hexdigest()[:32] for what in ("id", "key"))
        return ContentKey(asset_id=asset_id, label=label, key_id=key_id, key=key)


def make_tools(data: Path, catalogue: object, licensing: object, executor: Executor, **options: object) -> Tools:
    """Make the tools of a worker, with objects below a folder."""
    return Tools(
        blobs=ObjectBlobs(ObjectStore(f"file://{data}/objects")),
        prober=FfmpegProber(FFMPEG),
        encoder=FfmpegEncoder(FFMPEG),
        stills=FfmpegStills(FFMPEG, executor),
        packager=ShakaPackager(Shaka(nice=0)),
        catalogue=catalogue,  # type: ignore[arg-type]
        licensing=licensing,  # type: ignore[arg-type]
        executor=executor,
        **{"preset": "ultrafast", **options},  # type: ignore[arg-type]
    )
