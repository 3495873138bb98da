"""What an operator may say of a title, and an encoder of an asset: every fault at once, named by its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from matinee.catalogue.api import Artwork, Asset, AudioTrack, Episode, Localised, RightsWindow, TitleDraft, VideoTrack
from matinee.kit import ids
from matinee.kit.problem import Fault, Invalid

NAME_LIMIT = 300
TEXT_LIMIT = 5_000
LANGUAGES_LIMIT = 200
EPISODES_LIMIT = 5_000
CREDITS_LIMIT = 1_000
LIST_LIMIT = 200
SEGMENTS_LIMIT = 200_000
OLDEST_YEAR, NEWEST_YEAR = 1870, 2200
OLDEST_AGE = 21

# The shape of BCP 47 (RFC 5646 §2.1) without its grandfathered tags.
_LANGUAGE = re.compile(r"[a-zA-Z]{2,3}(-[a-zA-Z]{3}){0,3}(-[a-zA-Z]{4})?(-([a-zA-Z]{2}|\d{3}))?(-[a-zA-Z0-9]{2,8})*")
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
    """Raises Invalid with everything that is wrong in a draft."""
    _raise(_draft_faults(draft))


def check_artwork(artwork: list[Artwork]) -> None:
    """Raises Invalid with everything that is wrong in pictures."""
    _raise(_artwork("artwork", artwork))


def check_asset(asset: Asset) -> None:
    """Raises Invalid with everything that is wrong in an asset: what a player would stumble over."""
    _raise(_asset_faults(asset))


def check_limit(limit: int, most: int) -> None:
    """Raises Invalid where a page is to be too small or too large."""
    if not 1 <= limit <= most:
        raise Invalid(faults=[Fault("limit", f"ask for 1 to {most} at a time")])


def check_territory(territory: str) -> None:
    """Raises Invalid where a viewer's territory is no ISO 3166-1 alpha-2 code."""
    if territory == "*" or not _TERRITORY.fullmatch(territory):
        raise Invalid(faults=[Fault("territory", "give two capital letters (ISO 3166-1), such as `DE`")])


def _raise(faults: Iterable[Fault]) -> None:
    if found := list(faults):
        raise Invalid(faults=found)


def _draft_faults(draft: TitleDraft) -> Iterator[Fault]:
    yield from _id("title_id", draft.title_id, "tit")
    yield from _texts("names", draft.names, NAME_LIMIT, needed=True)
    yield from _texts("synopses", draft.synopses, TEXT_LIMIT)
    yield from _texts("taglines", draft.taglines, NAME_LIMIT)
    yield from _language("original_language", draft.original_language)
    if draft.year is not None and not OLDEST_YEAR <= draft.year <= NEWEST_YEAR:
        yield Fault("year", f"give a year from {OLDEST_YEAR} to {NEWEST_YEAR}")
    if not 0 <= draft.maturity <= OLDEST_AGE:
        yield Fault("maturity", f"give an age from 0 to {OLDEST_AGE}")
    if draft.kind == "film" and draft.episodes:
        yield Fault("episodes", "a film has none")
    yield from _genres(draft)
    yield from _credits(draft)
    yield from _artwork("artwork", draft.artwork)
    yield from _rights(draft.rights)
    yield from _episodes(draft.episodes)


def _genres(draft: TitleDraft) -> Iterator[Fault]:
    yield from _few("genres", draft.genres, LIST_LIMIT)
    yield from _distinct("genres", [genre.genre_id for genre in draft.genres])
    for at, genre in enumerate(draft.genres):
        if len(genre.genre_id) > 64 or not _SLUG.fullmatch(genre.genre_id):
            yield Fault(f"genres.{at}.genre_id", "use lower-case letters, digits and single hyphens")
        yield from _texts(f"genres.{at}.names", genre.names, NAME_LIMIT, needed=True)


def _credits(draft: TitleDraft) -> Iterator[Fault]:
    yield from _few("credits", draft.credits, CREDITS_LIMIT)
    for at, credit in enumerate(draft.credits):
        yield from _id(f"credits.{at}.person.person_id", credit.person.person_id, "per")
        yield from _texts(f"credits.{at}.person.names", credit.person.names, NAME_LIMIT, needed=True)
        yield from _text(f"credits.{at}.role", credit.role, 64)
        if credit.character is not None:
            yield from _text(f"credits.{at}.character", credit.character, NAME_LIMIT)


def _artwork(place: str, artwork: list[Artwork]) -> Iterator[Fault]:
    yield from _few(place, artwork, LIST_LIMIT)
    for at, picture in enumerate(artwork):
        yield from _path(f"{place}.{at}.path", picture.path)
        if not (1 <= picture.width_px <= 20_000 and 1 <= picture.height_px <= 20_000):
            yield Fault(f"{place}.{at}.width_px", "a picture is 1 to 20000 pixels wide and high")
        if not _COLOUR.fullmatch(picture.colour):
            yield Fault(f"{place}.{at}.colour", "give a colour such as `#1a1614`")
        if picture.language is not None:
            yield from _language(f"{place}.{at}.language", picture.language)


def _rights(rights: list[RightsWindow]) -> Iterator[Fault]:
    yield from _few("rights", rights, 1_000)
    for at, window in enumerate(rights):
        if not _TERRITORY.fullmatch(window.territory):
            yield Fault(f"rights.{at}.territory", "give two capital letters (ISO 3166-1), such as `DE`, or `*`")
        yield from _time(f"rights.{at}.opens_at", window.opens_at)
        yield from _time(f"rights.{at}.closes_at", window.closes_at)
        if _has_zone(window.opens_at) and _has_zone(window.closes_at) and window.opens_at >= window.closes_at:  # type: ignore[operator]  # both are times
            yield Fault(f"rights.{at}.closes_at", "a window closes after it opens")


def _episodes(episodes: list[Episode]) -> Iterator[Fault]:
    yield from _few("episodes", episodes, EPISODES_LIMIT)
    yield from _distinct("episodes", [episode.episode_id for episode in episodes])
    yield from _distinct("episodes", [f"season {e.season_number} episode {e.number}" for e in episodes])
    for at, episode in enumerate(episodes):
        yield from _id(f"episodes.{at}.episode_id", episode.episode_id, "epi")
        if not (0 <= episode.season_number <= 10_000 and 0 <= episode.number <= 100_000):
            yield Fault(f"episodes.{at}.number", "seasons and episodes are numbered from 0, within reason")
        yield from _texts(f"episodes.{at}.names", episode.names, NAME_LIMIT, needed=True)
        yield from _texts(f"episodes.{at}.synopses", episode.synopses, TEXT_LIMIT)
        yield from _artwork(f"episodes.{at}.artwork", episode.artwork)


def _asset_faults(asset: Asset) -> Iterator[Fault]:
    yield from _id("asset_id", asset.asset_id, "ast")
    if asset.prefix != f"assets/{asset.asset_id}/":
        yield Fault("prefix", f"an asset lies under assets/{asset.asset_id}/")
    if not 0 < asset.duration_ms <= 100 * 3_600_000:
        yield Fault("duration_ms", "an asset lasts more than nothing and less than 100 hours")
    if not asset.video:
        yield Fault("video", "an asset has at least one rendition")
    track_ids = [track.track_id for track in [*asset.video, *asset.audio]] + [text.track_id for text in asset.text]
    yield from _distinct("track_id", track_ids)
    yield from _few("track_id", track_ids, 1_000)
    for at, video in enumerate(asset.video):
        yield from _track(f"video.{at}", video, asset)
        if not (1 <= video.width_px <= 16_384 and 1 <= video.height_px <= 16_384):
            yield Fault(f"video.{at}.height_px", "a rendition is 1 to 16384 pixels wide and high")
        if not _FRAME_RATE.fullmatch(video.frame_rate):
            yield Fault(f"video.{at}.frame_rate", "give a fraction such as `30000/1001`")
    for at, audio in enumerate(asset.audio):
        yield from _track(f"audio.{at}", audio, asset)
        yield from _language(f"audio.{at}.language", audio.language)
        if not (1 <= audio.channels <= 64 and 1 <= audio.sample_rate_hz <= 768_000):
            yield Fault(f"audio.{at}.channels", "sound has 1 to 64 channels and a sample rate")
    yield from _asides(asset)


def _asides(asset: Asset) -> Iterator[Fault]:
    for at, text in enumerate(asset.text):
        yield from _track_id(f"text.{at}.track_id", text.track_id)
        yield from _language(f"text.{at}.language", text.language)
        yield from _path(f"text.{at}.path", text.path)
    if (sheets := asset.thumbnails) is not None:
        yield from _path("thumbnails.media", sheets.media)
        numbers = (sheets.columns, sheets.rows, sheets.width_px, sheets.height_px, sheets.interval_ms, sheets.sheets)
        if "$Number$" not in sheets.media or min(numbers) < 1:
            yield Fault("thumbnails", "sheets are numbered by $Number$, and none of their sizes is below 1")


def _track(place: str, track: VideoTrack | AudioTrack, asset: Asset) -> Iterator[Fault]:
    yield from _track_id(f"{place}.track_id", track.track_id)
    yield from _path(f"{place}.init", track.init)
    yield from _path(f"{place}.media", track.media)
    if "$Number$" not in track.media:
        yield Fault(f"{place}.media", "segments are numbered by $Number$")
    if not _CODEC.fullmatch(track.codec):
        yield Fault(f"{place}.codec", "give a codec such as `avc1.640028` (RFC 6381)")
    if track.bandwidth_bps < 1 or track.timescale < 1:
        yield Fault(f"{place}.bandwidth_bps", "bandwidth and timescale are above 0")
    if not track.segments or any(run.start < 0 or run.duration < 1 or run.count < 1 for run in track.segments):
        yield Fault(f"{place}.segments", "a track has segments, each longer than nothing")
    elif sum(run.count for run in track.segments) > SEGMENTS_LIMIT:
        yield Fault(f"{place}.segments", f"a track has at most {SEGMENTS_LIMIT} segments")
    if track.key_id is not None and (asset.scheme == "none" or not _KEY_ID.fullmatch(track.key_id)):
        yield Fault(f"{place}.key_id", "an encrypted track names its key in 32 hexadecimal digits, a clear one none")


def _track_id(place: str, track_id: str) -> Iterator[Fault]:
    if track_id == "master" or not _TRACK.fullmatch(track_id):
        yield Fault(place, "use letters, digits, `-` and `_`, and not `master`")


def _id(place: str, value: str, prefix: str) -> Iterator[Fault]:
    try:
        ids.decode(value)
    except ValueError:
        yield Fault(place, f"this is no id: ids of this kind are `{prefix}_` and 26 letters and digits")
    else:
        if value.rpartition("_")[0] != prefix:
            yield Fault(place, f"ids of this kind begin with `{prefix}_`")


def _texts(place: str, texts: Localised, limit: int, *, needed: bool = False) -> Iterator[Fault]:
    if needed and not texts:
        yield Fault(place, "give it in at least one language")
    yield from _few(place, list(texts), LANGUAGES_LIMIT)
    for language, text in texts.items():
        yield from _language(f"{place}.{language[:40]}", language)
        yield from _text(f"{place}.{language[:40]}", text, limit)


def _text(place: str, text: str, limit: int) -> Iterator[Fault]:
    if not text.strip():
        yield Fault(place, "this is empty")
    elif len(text) > limit:
        yield Fault(place, f"this is longer than {limit} letters")
    elif _CONTROL.search(text):
        yield Fault(place, "this holds control characters")


def _language(place: str, tag: str) -> Iterator[Fault]:
    if len(tag) > 35 or not _LANGUAGE.fullmatch(tag):
        yield Fault(place, "give a language tag such as `en` or `pt-BR` (BCP 47)")


def _path(place: str, path: str) -> Iterator[Fault]:
    if len(path) > 500 or not _PATH.fullmatch(path) or any(part in {".", ".."} for part in path.split("/")):
        yield Fault(place, "give a relative path of letters, digits, `.`, `-`, `_` and `/`")


def _few(place: str, things: Sequence[object], limit: int) -> Iterator[Fault]:
    if len(things) > limit:
        yield Fault(place, f"there are more than {limit}")


def _distinct(place: str, names: Sequence[str]) -> Iterator[Fault]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield Fault(place, f"{name} is there twice")
        seen.add(name)


def _time(place: str, moment: datetime | None) -> Iterator[Fault]:
    if moment is not None and not _has_zone(moment):
        yield Fault(place, "a time says its zone: end it in `Z`")


def _has_zone(moment: datetime | None) -> bool:
    return moment is not None and moment.tzinfo is not None
