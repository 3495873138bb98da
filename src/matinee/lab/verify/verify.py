"""Runs every check of an asset against its source."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from matinee.catalogue.api import Asset, AudioTrack, Track, VideoTrack
from matinee.drivers.ffmpeg import Ffmpeg, input_arguments
from matinee.encoding.adapters.ffmpeg.prober import FfmpegProber
from matinee.encoding.model.languages import parse_language
from matinee.lab.verify import cues, pictures, sound, tracks
from matinee.lab.verify.checks import Check, judge, skip
from matinee.lab.verify.media import (
    PATCHES_PX,
    Clock,
    Fit,
    Media,
    MediaReader,
    Pictures,
    Sound,
    choose_options,
    join,
    prepare,
)

Read: TypeAlias = Callable[[str], Awaitable[bytes]]
_COLOUR_FRAMES = 5
_RESTARTING = ("mpegts", "mpeg", "ogg")
_END_S = 0.1
# Sound that goes on for longer than the picture needs a picture.
_TAIL_S = 0.5
# From here on the last picture may be held to the end of the sound.
_HELD_S = 0.09

_MISSING = re.compile(r"missing|cut short|truncated|damaged|incomplete", re.IGNORECASE)


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared: an asset, its objects by `read`, its content keys by their ids, the warnings of its job."""

    asset: Asset
    read: Read
    keys: Mapping[str, str]
    warnings: Sequence[str] = ()
    has_side_files: bool = False


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A probed and decoded source: `start_s` is its start in its own times, `fit` the size of what changes its size."""

    file: Path
    shown: dict[str, Any]
    media: Media
    start_s: float
    fit: Fit | None

    def list_streams(self, kind: str) -> list[dict[str, Any]]:
        """List the streams of a kind that were decoded."""
        decoded = {**self.media.pictures, **self.media.sounds}
        return [stream for stream in tracks.list_streams(self.shown, kind) if stream["index"] in decoded]


async def verify(output: Output, file: Path, folder: Path) -> list[Check]:
    """Compare an output with its source in a working folder. Raises ToolFailed where the source cannot be read."""
    reader = MediaReader(folder)
    shown = await reader.probe(file)
    streams = [*tracks.list_streams(shown, "video"), *tracks.list_streams(shown, "audio")]
    restarts = shown.get("format", {}).get("format_name") in _RESTARTING
    fit = await _choose_fit(reader, output, file, streams)
    probed = await FfmpegProber(Ffmpeg()).probe(path=file, name=file.name)
    restarts = restarts or bool(probed.parts)
    clock: Clock = "whole" if not restarts else "restarting" if probed.clock_step_s else "gapped"
    media = join([await reader.decode(file, streams, clock, part=part, fit=fit) for part in probed.parts or (None,)])
    source = Source(file=file, shown=shown, media=media, start_s=0.0 if restarts else _read_start(shown), fit=fit)
    if not source.media.pictures or not output.asset.video:
        return [judge("frames", "", False, "there is no picture")]
    comparison = _Comparison(reader, output, source)
    return [check async for check in comparison.run()]


def _is_changing(output: Output) -> bool:
    return any("changes its size" in warning for warning in output.warnings)


async def _choose_fit(reader: MediaReader, output: Output, file: Path, streams: list[dict[str, Any]]) -> Fit | None:
    """Return the size into which a picture that changes its size was fitted; None where it cannot be told."""
    if not _is_changing(output) or not output.asset.video or not streams:
        return None
    largest = max(output.asset.video, key=lambda track: track.height_px)
    shapes = await reader.read_shapes(file, streams[0]["index"])
    return Fit(largest.width_px, largest.height_px, shapes) if shapes else None


def _read_start(shown: dict[str, Any]) -> float:
    return float(shown.get("format", {}).get("start_time") or 0)


class _Comparison:
    """One asset beside one source."""

    def __init__(self, reader: MediaReader, output: Output, source: Source) -> None:
        self._reader = reader
        self._output = output
        self._source = source
        self._asset = output.asset
        self._video: dict[str, Any] = {}
        self._offset_s = 0.0
        self._end_s = 0.0

    async def run(self) -> AsyncIterator[Check]:
        """Yield every check."""
        for track in sorted(self._asset.video, key=lambda video: video.height_px):
            async for check in self._check_rendition(track):
                yield check
        used: set[int] = set()
        for audio in self._asset.audio:
            async for check in self._check_audio(audio, used):
                yield check
        own = tracks.list_programme(self._source.shown, int(self._video["index"]))
        streams = [{**s, "programme": bool(own) and s["index"] not in own} for s in self._source.list_streams("audio")]
        for check in [*self._list_left_out("audio", streams, used), *self._check_rest(used)]:
            yield check
        async for check in self._check_text():
            yield check
        for check in tracks.check_chapters(self._asset, self._source.shown, self._offset_s):
            yield check

    async def _check_rendition(self, track: VideoTrack) -> AsyncIterator[Check]:
        file, name = await self._fetch(track), track.track_id
        key = self._get_key(track)
        decoded = await self._reader.decode(file, _OUTPUT_VIDEO, key=key)
        if 0 not in decoded.pictures:
            yield judge("frames", name, False, "no frame can be decoded")
            return
        ours = decoded.pictures[0]
        stream, theirs, match = self._choose_picture(ours)
        if not self._video:
            self._video, self._offset_s, self._end_s = stream, match.offset_s, ours.end_s
            yield self._check_duration(ours, theirs)
            for check in self._check_whole(theirs):
                yield check
        is_changing = _is_changing(self._output)
        if is_changing and not self._source.fit:
            yield skip("frames", name, f"{len(ours.times_s)}; in the source the shape of pixels changes")
        else:
            yield pictures.check_frames(name, self._cut_held(ours, theirs), theirs, match)
        yield judge("start", name, abs(ours.times_s[0]) < 0.001, f"the first picture is at {ours.times_s[0]:.3f} s")
        if is_changing:
            yield skip("size", name, "the source changes its size")
        else:
            yield pictures.check_size(name, track.width_px, track.height_px, stream)
        if not is_changing or self._source.fit:
            yield await self._check_colours(name, file, key, match, track.width_px, track.height_px)

    def _choose_picture(self, ours: Pictures) -> tuple[dict[str, Any], Pictures, pictures.Match]:
        """Choose the stream that the output was made of: the one that it resembles most."""
        found = []
        for stream in [self._video] if self._video else self._source.list_streams("video"):
            theirs = self._source.media.pictures[stream["index"]]
            found.append((stream, theirs, pictures.match_frames(self._cut_held(ours, theirs), theirs)))
        return min(found, key=lambda entry: entry[2].distance)

    def _cut_held(self, ours: Pictures, theirs: Pictures) -> Pictures:
        """Return an output without the frames that hold the last picture to the end of a longer sound."""
        if max((one.end_s for one in self._source.media.sounds.values()), default=0.0) - theirs.end_s <= _HELD_S:
            return ours
        return ours.cut(theirs.end_s - float(theirs.times_s[0]))

    def _check_duration(self, ours: Pictures, theirs: Pictures) -> Check:
        """Check that the film ends with the picture, or with sound that goes on for longer."""
        sounds = [one.end_s for one in self._source.media.sounds.values()]
        picture_end_s, last_s = theirs.end_s + self._offset_s, max([theirs.end_s, *sounds]) + self._offset_s
        from_s = last_s if last_s - picture_end_s > _TAIL_S else picture_end_s
        lasts_s = self._asset.duration_ms / 1000
        found = f"{lasts_s:.3f} s; in the source the picture ends at {picture_end_s:.3f}, all at {last_s:.3f} s"
        margin_s = _END_S + ours.frame_s
        is_right = from_s - margin_s <= lasts_s <= last_s + margin_s and abs(ours.end_s - lasts_s) <= margin_s
        return judge("duration", "", is_right, found)

    def _check_whole(self, theirs: Pictures) -> list[Check]:
        """Check that a source that holds less than it states was accepted with a warning only."""
        shown = self._source.shown
        if shown.get("format", {}).get("format_name") in _RESTARTING:
            return []  # nothing is stated: FFmpeg computes it from the last time
        media = [*tracks.list_streams(shown, "video"), *tracks.list_streams(shown, "audio")]
        stated = [float(stream["duration"]) for stream in media if "duration" in stream]
        stated_s = max(stated, default=float(shown.get("format", {}).get("duration") or 0))
        ends_s = max([theirs.end_s, *(one.end_s for one in self._source.media.sounds.values())])
        # Some containers state the end, others the time from the start to the end.
        stated_s = min((stated_s, stated_s + self._source.start_s), key=lambda end_s: abs(end_s - ends_s))
        if stated_s - ends_s <= _TAIL_S:
            return []
        named = [w for w in self._output.warnings if _MISSING.search(w)]
        found = f"the source states {stated_s:.3f} s and has {ends_s:.3f} s"
        return [judge("whole", "", bool(named), f"{found}: {named[0] if named else 'no warning says so'}")]

    async def _check_colours(
        self, name: str, file: Path, key: str, match: pictures.Match, width_px: int, height_px: int
    ) -> Check:
        transfer = str(self._video.get("color_transfer", ""))
        if transfer in pictures.HDR:
            return skip("colours", name, f"high dynamic range ({transfer}) is tone-mapped")
        if min(width_px, height_px) < min(PATCHES_PX):
            return skip("colours", name, "the rendition is too small")
        numbers = dict.fromkeys(int(n) for n in match.numbers)
        every = max(1, len(numbers) // _COLOUR_FRAMES)
        chosen = list(numbers)[every // 2 :: every][:_COLOUR_FRAMES]
        frames = [int((match.numbers == number).argmax()) for number in chosen]
        ours = await self._reader.read_patches(file, 0, frames, pictures.OUTPUT_CONVERSION, key=key)
        verdicts = []
        for convert in pictures.list_conversions(self._video):
            theirs = await self._reader.read_patches(
                self._source.file,
                self._video["index"],
                sorted(chosen),
                prepare(self._video, self._source.fit) + convert,
                options=choose_options(self._video),
            )
            if ours is not None and theirs is not None:
                verdicts.append(pictures.compare_colours(ours, theirs))
        if not verdicts:
            return skip("colours", name, "the source cannot be converted as its tags say")
        is_right, found = max(verdicts)
        return judge("colours", name, is_right, found)

    async def _check_audio(self, track: AudioTrack, used: set[int]) -> AsyncIterator[Check]:
        file, name, key = await self._fetch(track), track.track_id, self._get_key(track)
        decoded = await self._reader.decode(file, _OUTPUT_AUDIO, key=key)
        if 0 not in decoded.sounds:
            yield judge("sound", name, False, "nothing can be decoded")
            return
        ours = decoded.sounds[0]
        chosen = self._choose_sound(track, ours, used)
        if chosen is None:
            yield skip("sound", name, "the source has none; it is from a separate file")
        else:
            stream, offset_s, alike = chosen
            used.add(stream["index"])
            if sound.is_silent(ours) and sound.is_silent(self._source.media.sounds[stream["index"]]):
                yield skip("sound", name, "silence")
            else:
                yield sound.check_offset(name, offset_s, self._offset_s, alike)
                yield sound.check_gaps(name, ours, self._source.media.sounds[stream["index"]], offset_s)
            several = len([s for s in self._source.list_streams("audio") if _has_language(s, track.language)]) > 1
            yield tracks.check_audio_track(track, stream, self._output.warnings, several=several)
        yield sound.check_length(name, ours, self._end_s)
        measure = [*(["-decryption_key", key] if key else []), *input_arguments(file), "-af", sound.MEASURE]
        yield sound.check_loudness(name, await self._reader.run([*measure, "-f", "null", "-"], level="info"))

    def _choose_sound(
        self, track: AudioTrack, ours: Sound, used: set[int]
    ) -> tuple[dict[str, Any], float, float] | None:
        """Choose the stream that a track resembles most, with its offset and how alike they are."""
        found = []
        for stream in self._source.list_streams("audio"):
            offset_s, alike = sound.find_offset(ours, self._source.media.sounds[stream["index"]], self._offset_s)
            likely = _has_language(stream, track.language), track.channels > 2 or stream["index"] not in used
            found.append((round(alike, 2), likely, -stream["index"], stream, offset_s, alike))
        if not found or (max(found)[0] < 0.3 and self._output.has_side_files):
            return None
        *_, stream, offset_s, alike = max(found, key=lambda entry: entry[:3])
        return stream, offset_s, alike

    def _list_left_out(self, kind: str, streams: list[dict[str, Any]], used: set[int]) -> list[Check]:
        return tracks.check_left_out(kind, streams, used, self._output.warnings)

    def _check_rest(self, audio: set[int]) -> list[Check]:
        shown, video = self._source.shown, int(self._video["index"])
        others = [{**stream, "programme": True} for stream in self._source.list_streams("video")]
        return [*tracks.check_programmes(shown, video, audio), *self._list_left_out("video", others, {video})]

    async def _check_text(self) -> AsyncIterator[Check]:
        streams = tracks.list_streams(self._source.shown, "subtitle")
        used: set[int] = set()
        for track in self._asset.text:
            published = await self._output.read(self._asset.prefix + track.path)
            stream = tracks.choose_text_stream(track, streams, used)
            if stream is None:
                found = f"{track.language} {track.role}, of a separate file: {cues.describe_published(published)}"
                yield skip("cues", track.track_id, found)
                continue
            used.add(stream["index"])
            title = tracks.get_tag(stream, "title")
            label = f"stream {stream['index']}, {track.language} {track.role} {track.label}".rstrip()
            several = len([s for s in streams if _has_language(s, track.language)]) > 1
            yield judge("tracks", track.track_id, not (several and title) or title in track.label, label)
            yield await cues.check_cues(
                self._reader, self._source.file, stream, published, track.track_id, self._offset_s, self._end_s
            )
        for check in self._list_left_out("subtitle", streams, used):
            yield check

    async def _fetch(self, track: Track) -> Path:
        """Join the objects of a track."""
        count = sum(run.count for run in track.segments)
        names = [track.init, *(track.media.replace("$Number$", str(number)) for number in range(1, count + 1))]
        return self._reader.write("track.mp4", [await self._output.read(self._asset.prefix + n) for n in names])

    def _get_key(self, track: Track) -> str:
        return self._output.keys.get(track.key_id or "", "")


_OUTPUT_VIDEO = [{"index": 0, "codec_type": "video"}]
_OUTPUT_AUDIO = [{"index": 0, "codec_type": "audio"}]


def _has_language(stream: dict[str, Any], language: str) -> bool:
    return parse_language(tracks.get_tag(stream, "language") or "und") in ("und", language)
