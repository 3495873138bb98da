"""Validation of drafts and assets: all faults are reported at once, each with the field it belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from matinee.catalogue.api import (
    Artwork,
    Asset,
    AudioTrack,
    Episode,
    Localised,
    RightsWindow,
    SegmentRun,
    TextSegments,
    TitleDraft,
    VideoTrack,
)
from matinee.kit import ids
from matinee.kit.packing import unpack_sizes
from matinee.kit.problem import Fault, Invalid

NAME_LIMIT = 300
TEXT_LIMIT = 5_000
LANGUAGES_LIMIT = 200
EPISODES_LIMIT = 5_000
CREDITS_LIMIT = 1_000
LIST_LIMIT = 200
FACTS_LIMIT = 50
KEYWORD_LIMIT = 100
SEGMENTS_LIMIT = 200_000
OLDEST_YEAR, NEWEST_YEAR = 1870, 2200
OLDEST_AGE = 21

# The shape of BCP 47 (RFC 5646 §2.1) without its grandfathered tags.
_LANGUAGE = re.compile(r"[a-zA-Z]{2,3}(-[a-zA-Z]{3}){0,3}(-[a-zA-Z]{4})?(-([a-zA-Z]{2}|\d{3}))?(-[a-zA-Z0-9]{2,8})*")
_COUNTRY = re.compile(r"[A-Z]{2}")
_TERRITORY = re.compile(r"\*|[A-Z]{2}")
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TRACK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PATH = re.compile(r"[\w$.-]+(/[\w$.-]+)*", re.ASCII)
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_KEY_ID = re.compile(r"[0-9a-f]{32}")
_FRAME_RATE = re.compile(r"[1-9]\d{0,6}(/[1-9]\d{0,6})?")
_CODEC = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{1,63}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def check_draft(draft: TitleDraft) -> None:
    """Raise Invalid with every fault of a draft."""
    _raise_if_any(_check_draft(draft))


def check_artwork(artwork: list[Artwork]) -> None:
    """Raise Invalid with every fault of a list of pictures."""
    _raise_if_any(_check_artwork("artwork", artwork))


def check_asset(asset: Asset) -> None:
    """Raise Invalid with every fault of an asset that would break playback."""
    _raise_if_any(_asset_faults(asset))


def check_limit(limit: int, most: int) -> None:
    """Raise Invalid if a page size is too small or too large."""
    if not 1 <= limit <= most:
        raise Invalid(faults=[Fault("limit", f"ask for 1 to {most} at a time")])


def check_territory(territory: str) -> None:
    """Raise Invalid if a viewer's territory is not an ISO 3166-1 alpha-2 code."""
    if territory == "*" or not _TERRITORY.fullmatch(territory):
        raise Invalid(faults=[Fault("territory", "give two capital letters (ISO 3166-1), such as `DE`")])


def _raise_if_any(faults: Iterable[Fault]) -> None:
    if found := list(faults):
        raise Invalid(faults=found)


def _check_draft(draft: TitleDraft) -> Iterator[Fault]:
    yield from _check_id("title_id", draft.title_id, "tit")
    yield from _check_texts("names", draft.names, NAME_LIMIT, needed=True)
    yield from _check_texts("synopses", draft.synopses, TEXT_LIMIT)
    yield from _check_texts("taglines", draft.taglines, NAME_LIMIT)
    yield from _check_language("original_language", draft.original_language)
    if draft.year is not None and not OLDEST_YEAR <= draft.year <= NEWEST_YEAR:
        yield Fault("year", f"give a year from {OLDEST_YEAR} to {NEWEST_YEAR}")
    if not 0 <= draft.maturity <= OLDEST_AGE:
        yield Fault("maturity", f"give an age from 0 to {OLDEST_AGE}")
    if draft.kind == "film" and draft.episodes:
        yield Fault("episodes", "a film has no episodes")
    yield from _check_facts(draft)
    yield from _check_credits(draft)
    yield from _check_artwork("artwork", draft.artwork)
    yield from _check_rights(draft.rights)
    yield from _check_episodes(draft.episodes)


def _check_facts(draft: TitleDraft) -> Iterator[Fault]:
    yield from _check_slugs("genres", "genre_id", [(genre.genre_id, genre.names) for genre in draft.genres], LIST_LIMIT)
    yield from _check_slugs("moods", "mood_id", [(mood.mood_id, mood.names) for mood in draft.moods], FACTS_LIMIT)
    yield from _check_count("countries", draft.countries, FACTS_LIMIT)
    yield from _check_distinct("countries", draft.countries)
    for index, country in enumerate(draft.countries):
        if not _COUNTRY.fullmatch(country):
            yield Fault(f"countries.{index}", "give two capital letters (ISO 3166-1), such as `KR`")
    yield from _check_count("studios", draft.studios, FACTS_LIMIT)
    yield from _check_distinct("studios", draft.studios)
    for index, studio in enumerate(draft.studios):
        yield from _check_text(f"studios.{index}", studio, NAME_LIMIT)
    yield from _check_texts("franchise", draft.franchise, NAME_LIMIT)
    yield from _check_count("keywords", draft.keywords, LIST_LIMIT)
    for index, keyword in enumerate(draft.keywords):
        yield from _check_texts(f"keywords.{index}", keyword, KEYWORD_LIMIT, needed=True)


def _check_slugs(field: str, id_field: str, named: list[tuple[str, Localised]], limit: int) -> Iterator[Fault]:
    yield from _check_count(field, named, limit)
    yield from _check_distinct(field, [slug for slug, _ in named])
    for index, (slug, names) in enumerate(named):
        if len(slug) > 64 or not _SLUG.fullmatch(slug):
            yield Fault(f"{field}.{index}.{id_field}", "use lower-case letters, digits and single hyphens")
        yield from _check_texts(f"{field}.{index}.names", names, NAME_LIMIT, needed=True)


def _check_credits(draft: TitleDraft) -> Iterator[Fault]:
    yield from _check_count("credits", draft.credits, CREDITS_LIMIT)
    for index, credit in enumerate(draft.credits):
        yield from _check_id(f"credits.{index}.person.person_id", credit.person.person_id, "per")
        yield from _check_texts(f"credits.{index}.person.names", credit.person.names, NAME_LIMIT, needed=True)
        yield from _check_text(f"credits.{index}.role", credit.role, 64)
        if credit.character is not None:
            yield from _check_text(f"credits.{index}.character", credit.character, NAME_LIMIT)


def _check_artwork(field: str, artwork: list[Artwork]) -> Iterator[Fault]:
    yield from _check_count(field, artwork, LIST_LIMIT)
    for index, picture in enumerate(artwork):
        yield from _check_path(f"{field}.{index}.path", picture.path)
        if not (1 <= picture.width_px <= 20_000 and 1 <= picture.height_px <= 20_000):
            yield Fault(f"{field}.{index}.width_px", "a picture is 1 to 20000 pixels wide and high")
        if not _COLOUR.fullmatch(picture.colour):
            yield Fault(f"{field}.{index}.colour", "give a colour such as `#1a1614`")
        if picture.language is not None:
            yield from _check_language(f"{field}.{index}.language", picture.language)


def _check_rights(rights: list[RightsWindow]) -> Iterator[Fault]:
    yield from _check_count("rights", rights, 1_000)
    for index, window in enumerate(rights):
        if not _TERRITORY.fullmatch(window.territory):
            yield Fault(f"rights.{index}.territory", "give two capital letters (ISO 3166-1), such as `DE`, or `*`")
        yield from _check_time(f"rights.{index}.opens_at", window.opens_at)
        yield from _check_time(f"rights.{index}.closes_at", window.closes_at)
        if _has_zone(window.opens_at) and _has_zone(window.closes_at) and window.opens_at >= window.closes_at:  # type: ignore[operator]  # both are times
            yield Fault(f"rights.{index}.closes_at", "a window closes after it opens")


def _check_episodes(episodes: list[Episode]) -> Iterator[Fault]:
    yield from _check_count("episodes", episodes, EPISODES_LIMIT)
    yield from _check_distinct("episodes", [episode.episode_id for episode in episodes])
    yield from _check_distinct("episodes", [f"season {e.season_number} episode {e.number}" for e in episodes])
    for index, episode in enumerate(episodes):
        yield from _check_id(f"episodes.{index}.episode_id", episode.episode_id, "epi")
        if not (0 <= episode.season_number <= 10_000 and 0 <= episode.number <= 100_000):
            yield Fault(f"episodes.{index}.number", "seasons are numbered from 0 to 10000, episodes from 0 to 100000")
        yield from _check_texts(f"episodes.{index}.names", episode.names, NAME_LIMIT, needed=True)
        yield from _check_texts(f"episodes.{index}.synopses", episode.synopses, TEXT_LIMIT)
        yield from _check_artwork(f"episodes.{index}.artwork", episode.artwork)


def _asset_faults(asset: Asset) -> Iterator[Fault]:
    yield from _check_id("asset_id", asset.asset_id, "ast")
    if asset.prefix != f"assets/{asset.asset_id}/":
        yield Fault("prefix", f"the objects of an asset are stored under assets/{asset.asset_id}/")
    if not 0 < asset.duration_ms <= 100 * 3_600_000:
        yield Fault("duration_ms", "an asset is longer than 0 and at most 100 hours")
    if not asset.video:
        yield Fault("video", "an asset has at least one rendition")
    track_ids = [track.track_id for track in [*asset.video, *asset.audio]] + [text.track_id for text in asset.text]
    yield from _check_distinct("track_id", track_ids)
    yield from _check_count("track_id", track_ids, 1_000)
    for index, video in enumerate(asset.video):
        yield from _check_track(f"video.{index}", video, asset)
        if not (1 <= video.width_px <= 16_384 and 1 <= video.height_px <= 16_384):
            yield Fault(f"video.{index}.height_px", "a rendition is 1 to 16384 pixels wide and high")
        if not _FRAME_RATE.fullmatch(video.frame_rate):
            yield Fault(f"video.{index}.frame_rate", "give a fraction such as `30000/1001`")
        if not _has_valid_iframes(video):
            yield Fault(f"video.{index}.iframes", "give one size for each segment, or none")
    for index, audio in enumerate(asset.audio):
        yield from _check_track(f"audio.{index}", audio, asset)
        yield from _check_language(f"audio.{index}.language", audio.language)
        if not (1 <= audio.channels <= 64 and 1 <= audio.sample_rate_hz <= 768_000):
            yield Fault(f"audio.{index}.channels", "audio has 1 to 64 channels and a sample rate up to 768 kHz")
    yield from _check_texts_and_thumbnails(asset)


def _check_texts_and_thumbnails(asset: Asset) -> Iterator[Fault]:
    for index, text in enumerate(asset.text):
        yield from _check_track_id(f"text.{index}.track_id", text.track_id)
        yield from _check_language(f"text.{index}.language", text.language)
        yield from _check_path(f"text.{index}.path", text.path)
        if text.segmented is not None:
            yield from _check_segments(f"text.{index}.segmented", text.segmented)
    yield from _check_count("chapters", asset.chapters, LIST_LIMIT)
    for index, chapter in enumerate(asset.chapters):
        if not 0 <= chapter.start_ms < asset.duration_ms or len(chapter.name) > NAME_LIMIT:
            yield Fault(f"chapters.{index}", f"begins within the film, with a name of at most {NAME_LIMIT} letters")
    if (sheets := asset.thumbnails) is not None:
        yield from _check_path("thumbnails.media", sheets.media)
        numbers = (sheets.columns, sheets.rows, sheets.width_px, sheets.height_px, sheets.interval_ms, sheets.sheets)
        if "$Number$" not in sheets.media or min(numbers) < 1:
            yield Fault("thumbnails", "sheets are numbered by $Number$, and all sizes are at least 1")


def _check_track(field: str, track: VideoTrack | AudioTrack, asset: Asset) -> Iterator[Fault]:
    yield from _check_track_id(f"{field}.track_id", track.track_id)
    yield from _check_segments(field, track)
    if not _CODEC.fullmatch(track.codec):
        yield Fault(f"{field}.codec", "give a codec such as `avc1.640028` (RFC 6381)")
    if track.key_id is not None and (asset.scheme == "none" or not _KEY_ID.fullmatch(track.key_id)):
        yield Fault(
            f"{field}.key_id", "an encrypted track has a key id of 32 hexadecimal digits, a clear track has none"
        )


def _check_segments(field: str, track: VideoTrack | AudioTrack | TextSegments) -> Iterator[Fault]:
    yield from _check_path(f"{field}.init", track.init)
    yield from _check_path(f"{field}.media", track.media)
    if "$Number$" not in track.media:
        yield Fault(f"{field}.media", "segments are numbered by $Number$")
    if track.bandwidth_bps < 1 or track.timescale < 1:
        yield Fault(f"{field}.bandwidth_bps", "bandwidth and timescale are above 0")
    if not track.segments or not all(map(_is_valid_run, track.segments)):
        yield Fault(f"{field}.segments", "a track has segments, each longer than 0")
    elif sum(run.count for run in track.segments) > SEGMENTS_LIMIT:
        yield Fault(f"{field}.segments", f"a track has at most {SEGMENTS_LIMIT} segments")


def _is_valid_run(run: SegmentRun) -> bool:
    return run.start >= 0 and run.count >= 1 and min((run.duration, *run.following)) >= 1


def _has_valid_iframes(track: VideoTrack) -> bool:
    try:
        count = len(unpack_sizes(track.iframes))
    except ValueError:
        return False
    return count in {0, sum(run.count for run in track.segments)}


def _check_track_id(field: str, track_id: str) -> Iterator[Fault]:
    if track_id == "master" or not _TRACK.fullmatch(track_id):
        yield Fault(field, "use letters, digits, `-` and `_`, and not `master`")


def _check_id(field: str, value: str, prefix: str) -> Iterator[Fault]:
    try:
        ids.decode(value)
    except ValueError:
        yield Fault(field, f"this is not an id: ids of this kind are `{prefix}_` and 26 letters and digits")
    else:
        if value.rpartition("_")[0] != prefix:
            yield Fault(field, f"ids of this kind begin with `{prefix}_`")


def _check_texts(field: str, texts: Localised, limit: int, *, needed: bool = False) -> Iterator[Fault]:
    if needed and not texts:
        yield Fault(field, "give a text in at least one language")
    yield from _check_count(field, list(texts), LANGUAGES_LIMIT)
    for language, text in texts.items():
        yield from _check_language(f"{field}.{language[:40]}", language)
        yield from _check_text(f"{field}.{language[:40]}", text, limit)


def _check_text(field: str, text: str, limit: int) -> Iterator[Fault]:
    if not text.strip():
        yield Fault(field, "the text is empty")
    elif len(text) > limit:
        yield Fault(field, f"the text is longer than {limit} characters")
    elif _CONTROL.search(text):
        yield Fault(field, "the text contains control characters")


def _check_language(field: str, tag: str) -> Iterator[Fault]:
    if len(tag) > 35 or not _LANGUAGE.fullmatch(tag):
        yield Fault(field, "give a language tag such as `en` or `pt-BR` (BCP 47)")


def _check_path(field: str, path: str) -> Iterator[Fault]:
    if len(path) > 500 or not _PATH.fullmatch(path) or any(part in {".", ".."} for part in path.split("/")):
        yield Fault(field, "give a relative path of letters, digits, `.`, `-`, `_` and `/`")


def _check_count(field: str, values: Sequence[object], limit: int) -> Iterator[Fault]:
    if len(values) > limit:
        yield Fault(field, f"there are more than {limit} entries")


def _check_distinct(field: str, names: Sequence[str]) -> Iterator[Fault]:
    known: set[str] = set()
    for name in names:
        if name in known:
            yield Fault(field, f"{name} appears twice")
        known.add(name)


def _check_time(field: str, time: datetime | None) -> Iterator[Fault]:
    if time is not None and not _has_zone(time):
        yield Fault(field, "a time needs a zone, such as a final `Z`")


def _has_zone(time: datetime | None) -> bool:
    return time is not None and time.tzinfo is not None
