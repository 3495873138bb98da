"""The public interface of playback: play sessions from start to end."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol, TypeAlias

import msgspec

from matinee.catalogue.api import Localised
from matinee.kit.context import Principal
from matinee.kit.ids import AssetId, EdgeId, EpisodeId, PlaySessionId, TitleId
from matinee.kit.problem import Problem
from matinee.mesh.api import idempotent

# How an HLS player gets keys: each by its own address, or from a ClearKey licence server.
KeyFormat: TypeAlias = Literal["identity", "clearkey"]


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a device can decode: codec families (`avc1`, `hvc1`, `vp09`, `av01`; `mp4a`, `opus`) and limits."""

    video: tuple[str, ...] = ("avc1",)
    audio: tuple[str, ...] = ("mp4a",)
    max_height_px: int = 2160
    max_channels: int = 6
    hdr: bool = False


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An edge for a session. `base_url` ends in `/` and has the signed token in its path."""

    edge_id: EdgeId
    base_url: str


class AudioChoice(msgspec.Struct, frozen=True, kw_only=True):
    """An available audio track."""

    language: str
    channels: int
    role: str
    label: str


class TextChoice(msgspec.Struct, frozen=True, kw_only=True):
    """An available subtitle track."""

    language: str
    role: str
    label: str


class ThumbnailSheets(msgspec.Struct, frozen=True, kw_only=True):
    """Thumbnail sheets; `media` is relative to a delivery's base URL and contains `$Number$`, counted from 1."""

    media: str
    columns: int
    rows: int
    width_px: int
    height_px: int
    interval_ms: int
    sheets: int


class NextUp(msgspec.Struct, frozen=True, kw_only=True):
    """The next episode."""

    episode_id: EpisodeId
    season_number: int
    number: int
    names: Localised


class ChapterStart(msgspec.Struct, frozen=True, kw_only=True):
    """Where a chapter begins; `name` is empty where the master names none."""

    start_ms: int
    name: str = ""


class PlaySession(msgspec.Struct, frozen=True, kw_only=True):
    """All that a player needs. Paths (`…_path`) are at the gateway and contain their own signed token.

    The licence server at `clearkey_path` is for players without an access token; `licence_path` needs one and
    `licence_token`. `hls_clearkey_path` is for HLS players that get their keys from a licence server.
    """

    session_id: PlaySessionId
    title_id: TitleId
    names: Localised
    asset_id: AssetId
    duration_ms: int
    resume_ms: int
    dash_path: str
    hls_path: str
    beacon_path: str
    licence_path: str
    licence_token: str
    deliveries: list[Delivery]
    expires_at: datetime
    heartbeat_ms: int
    start_bandwidth_bps: int
    episode_id: EpisodeId | None = None
    episode_names: Localised = {}
    season_number: int | None = None
    episode_number: int | None = None
    next_up: NextUp | None = None
    audio: list[AudioChoice] = []
    text: list[TextChoice] = []
    thumbnails: ThumbnailSheets | None = None
    hls_clearkey_path: str = ""
    clearkey_path: str = ""
    chapters: list[ChapterStart] = []


class Renewal(msgspec.Struct, frozen=True, kw_only=True):
    """New signed URLs for a session."""

    deliveries: list[Delivery]
    licence_token: str
    expires_at: datetime


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A player's position, and its measurements since the last heartbeat.

    `at` is when the player was there and `sent_at` when the request was sent, both by the device's clock. With both,
    only the time between them counts, so a wrong clock does no harm.
    """

    position_ms: int
    state: Literal["starting", "playing", "paused", "rebuffering", "seeking", "ended", "failed"]
    at: datetime
    sent_at: datetime | None = None
    playing_ms: int = 0
    rebuffering_ms: int = 0
    rebuffer_count: int = 0
    join_time_ms: int | None = None
    bandwidth_bps: int | None = None
    rendition: str | None = None
    dropped_frames: int = 0
    edge_id: EdgeId | None = None
    error_code: str | None = None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A rendered manifest."""

    content_type: str
    body: bytes


class SessionNotFound(Problem, status=404):
    """This play session has ended."""

    session_id: PlaySessionId


class ManifestNotFound(Problem, status=404):
    """This title has no such playlist."""

    name: str


class LinkExpired(Problem, status=403):
    """This link is no longer valid."""


class TooMature(Problem, status=403):
    """This title is above the maturity level of this profile."""

    maturity: int
    profile_maturity: int


class NotEntitled(Problem, status=403):
    """This account cannot play titles."""


class NoRendition(Problem, status=409):
    """This device can decode none of the renditions of this title."""

    offered: list[str]


class Playback(Protocol):
    """Play sessions from start to end."""

    async def start(
        self,
        *,
        principal: Principal,
        title_id: TitleId,
        capabilities: Capabilities,
        client_ip: str,
        territory: str,
        episode_id: EpisodeId | None = None,
        from_start: bool = False,
        heartbeats: bool = True,
    ) -> PlaySession:
        """Start a session. Its data is requested concurrently under one deadline.

        A session whose player sends no `heartbeats` lasts, with its links, until it is ended or expires.

        Raises NotEntitled, TooMature, NoRendition, TitleNotFound, EpisodeNotFound, NotPlayable, NotAvailable, NoEdge.
        """

    @idempotent
    async def get_manifest(
        self,
        *,
        session_id: PlaySessionId,
        token: str,
        name: str,
        origin: str = "",
        key_format: KeyFormat = "identity",
    ) -> Manifest:
        """Render `manifest.mpd`, `master.m3u8` or `<track id>.m3u8` for a session, with newly signed URLs.

        The URLs are valid as long as the session, because a player does not request the manifest of a film again.
        `master.m3u8` refers to `<track id>~<edge id>.m3u8`, to `steering.json` (an edge is a pathway of HLS content
        steering) and to playlists of I-frames. `origin` is where the player reaches the gateway. The request
        keeps the session open. Raises LinkExpired, SessionNotFound, ManifestNotFound, NoEdge.
        """

    async def renew(
        self, *, principal: Principal, session_id: PlaySessionId, client_ip: str, failed: tuple[EdgeId, ...] = ()
    ) -> Renewal:
        """Sign new URLs, with failed edges last. Raises SessionNotFound, NoEdge."""

    async def record_heartbeat(
        self, *, principal: Principal, session_id: PlaySessionId, heartbeat: Heartbeat, client_ip: str
    ) -> None:
        """Record a heartbeat: the position in viewing, the measurements as a fact. Raises SessionNotFound."""

    async def record_beacon(
        self, *, session_id: PlaySessionId, token: str, heartbeat: Heartbeat, client_ip: str
    ) -> None:
        """Record a heartbeat of a closing page, authorised by the token in its path.

        Raises LinkExpired, SessionNotFound.
        """

    @idempotent
    async def end(self, *, principal: Principal, session_id: PlaySessionId, heartbeat: Heartbeat) -> None:
        """End a session. Idempotent."""
