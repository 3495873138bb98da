"""What crosses the public API: one composed answer a screen. The web client's types are made from these.

    method path (below /api/v1)                    body → answer                          who
    POST   /auth/sign-up                           SignUp → Session                       anyone
    POST   /auth/sign-in                           SignIn → Session                       anyone
    POST   /auth/refresh                           Refresh (may be empty) → Session       cookie or body
    POST   /auth/sign-out                          → 204                                  signed in
    POST   /auth/sign-out-everywhere               → 204                                  signed in
    GET    /profiles                               → list[ProfileView]                    signed in
    POST   /profiles                               NewProfile → ProfileView               signed in
    PATCH  /profiles/{profile_id}                  ProfileChange → ProfileView            signed in
    DELETE /profiles/{profile_id}                  → 204                                  signed in
    POST   /profiles/{profile_id}/choose           Pin → Session                          signed in
    GET    /devices                                → list[DeviceView]                     signed in
    DELETE /devices/{device_id}                    → 204                                  signed in
    GET    /home                                   → HomeScreen                           profile
    GET    /genres/{genre_id}?cursor=              → GenreScreen                          profile
    GET    /titles/{title_id}                      → TitleScreen                          profile
    GET    /history?cursor=                        → HistoryScreen                        profile
    DELETE /continue-watching/{title_id}           → 204                                  profile
    POST   /playback                               PlayRequest → playback.PlaySession     profile
    POST   /playback/{session_id}/renew            RenewRequest → playback.Renewal        profile
    POST   /playback/{session_id}/heartbeat             playback.Heartbeat → 204                    profile
    POST   /playback/{session_id}/end              playback.Heartbeat → 204                    profile
    POST   /playback/{session_id}/beacon/{token}   playback.Heartbeat → 204                    token in the path
    GET    /playback/{session_id}/manifest/{token}/{name}   → manifest                    token in the path
    POST   /licences/clearkey                      ClearKeyRequest → ClearKeyLicence      profile + X-Licence-Token
    GET    /licences/hls/{token}/{key_id}          → 16 bytes                             token in the path
    GET    /ping                                   → nothing: what a request costs at least   signed in
    POST   /operator/uploads, HEAD/PATCH/DELETE /operator/uploads/{upload_id}   tus 1.0   operator
    POST   /operator/ingest                        IngestRequest → IngestAnswer           operator
    GET    /operator/jobs?state=&cursor=           → Page[encoding.Job]                   operator
    POST   /operator/jobs/{job_id}/cancel, /retry  → encoding.Job                         operator
    GET    /operator/titles?cursor=                → Page[catalogue.Title]                operator
    PUT    /operator/titles/{title_id}             catalogue.TitleDraft → catalogue.Title operator
    POST   /operator/titles/{title_id}/publish, /withdraw   → catalogue.Title             operator
    GET    /operator/services                      → list[ServiceView]                    operator
    GET    /operator/edges                         → list[steering.Edge]                  operator
    POST   /operator/edges/{edge_id}/drain         Drain → steering.Edge                  operator

Outside it: `/` the web client, `/art/<path>` artwork, `/trust` how a device comes to trust this deployment,
`/.well-known/jwks.json`, `/healthz`, `/readyz`, `/metrics` (the last three not through Envoy), `/problems/{kind}` what
a problem means, `/schema/openapi.json`. What goes wrong here is in `api.problems`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from matinee.identity.api import DeviceInfo
from matinee.kit.ids import AccountId, DeviceId, EpisodeId, JobId, ProfileId, TitleId, UploadId
from matinee.playback.api import Capabilities


class SignUp(msgspec.Struct, frozen=True, kw_only=True):
    """Open an account."""

    email: str
    password: str
    name: str
    device: DeviceInfo
    language: str = "en"


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """Sign in."""

    email: str
    password: str
    device: DeviceInfo


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh token, for devices that keep it themselves; browsers send it as an HttpOnly cookie."""

    refresh_token: str | None = None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who is signed in. `refresh_token` is filled only for devices that are no browsers."""

    access_token: str
    expires_in_s: int
    account_id: AccountId
    device_id: DeviceId
    profile_id: ProfileId | None = None
    roles: tuple[str, ...] = ()
    refresh_token: str | None = None


class ProfileView(msgspec.Struct, frozen=True, kw_only=True):
    """A profile on the "who is watching" page."""

    profile_id: ProfileId
    name: str
    avatar: str
    language: str
    maturity: int
    kids: bool
    has_pin: bool


class NewProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A profile to be made."""

    name: str
    avatar: str = "ember"
    language: str = "en"
    maturity: int = 18
    kids: bool = False
    pin: str | None = None


class ProfileChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different; an empty `pin` takes it away."""

    name: str | None = None
    avatar: str | None = None
    language: str | None = None
    maturity: int | None = None
    kids: bool | None = None
    pin: str | None = None


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """The PIN of a profile that has one."""

    pin: str | None = None


class DeviceView(msgspec.Struct, frozen=True, kw_only=True):
    """A device of the account."""

    device_id: DeviceId
    name: str
    kind: str
    last_seen_at: datetime
    signed_in: bool
    current: bool


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture; `url` is a path on this host, `colour` fills its place until it is there."""

    url: str
    width_px: int
    height_px: int
    colour: str


class Pictures(msgspec.Struct, frozen=True, kw_only=True):
    """The pictures of a title or an episode."""

    card: Picture | None = None
    poster: Picture | None = None
    backdrop: Picture | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the profile is."""

    position_ms: int
    duration_ms: int
    finished: bool = False
    episode_id: EpisodeId | None = None
    season_number: int | None = None
    episode_number: int | None = None


class GenreView(msgspec.Struct, frozen=True, kw_only=True):
    """A genre in the profile's language."""

    genre_id: str
    name: str


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A title in a row, in the profile's language."""

    title_id: TitleId
    kind: Literal["film", "series"]
    name: str
    pictures: Pictures
    maturity: int
    duration_ms: int
    genres: list[GenreView] = []
    year: int | None = None
    tagline: str = ""
    is_new: bool = False
    season_count: int = 0
    progress: Progress | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row; the client names `continue-watching` and `new` itself, a genre row carries its genre."""

    row_id: str
    kind: Literal["continue-watching", "new", "genre"]
    cards: list[Card]
    genre: GenreView | None = None


class Billboard(msgspec.Struct, frozen=True, kw_only=True):
    """The one recommendation on top."""

    card: Card
    synopsis: str


class HomeScreen(msgspec.Struct, frozen=True, kw_only=True):
    """Home in one call. `missing` names the parts that failed and were left out."""

    rows: list[Row]
    billboard: Billboard | None = None
    missing: list[str] = []


class GenreScreen(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in a genre."""

    genre: GenreView
    cards: list[Card]
    next_cursor: str | None = None


class CreditView(msgspec.Struct, frozen=True, kw_only=True):
    """A person and what they did."""

    name: str
    role: str
    character: str | None = None


class EpisodeView(msgspec.Struct, frozen=True, kw_only=True):
    """An episode on the title page."""

    episode_id: EpisodeId
    number: int
    name: str
    synopsis: str
    duration_ms: int
    playable: bool
    pictures: Pictures
    progress: Progress | None = None


class SeasonView(msgspec.Struct, frozen=True, kw_only=True):
    """A season on the title page."""

    number: int
    episodes: list[EpisodeView]


class TitleScreen(msgspec.Struct, frozen=True, kw_only=True):
    """A title's page in one call. `play_episode_id` is what the play button plays of a series."""

    card: Card
    synopsis: str
    original_language: str
    credits: list[CreditView] = []
    audio_languages: list[str] = []
    subtitle_languages: list[str] = []
    seasons: list[SeasonView] = []
    more_like_this: list[Card] = []
    play_episode_id: EpisodeId | None = None
    missing: list[str] = []


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was watched."""

    card: Card
    updated_at: datetime


class HistoryScreen(msgspec.Struct, frozen=True, kw_only=True):
    """What was watched, newest first."""

    entries: list[HistoryEntry]
    next_cursor: str | None = None


class PlayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Press play."""

    title_id: TitleId
    capabilities: Capabilities
    episode_id: EpisodeId | None = None
    from_start: bool = False


class RenewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Fresh URLs; `failed` are the edges that did not answer."""

    failed: tuple[str, ...] = ()


class ClearKeyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A ClearKey licence request (W3C Encrypted Media Extensions §9.1.3): base64url key ids."""

    kids: list[str]
    type: str = "temporary"


class IngestSide(msgspec.Struct, frozen=True, kw_only=True):
    """Sound or subtitles uploaded beside the film."""

    upload_id: UploadId
    language: str
    role: str = "main"


class IngestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Make a title of an upload. Without `title_id` a film of this name is made."""

    upload_id: UploadId
    name: str = ""
    title_id: TitleId | None = None
    episode_id: EpisodeId | None = None
    synopsis: str = ""
    language: str = "en"
    year: int | None = None
    maturity: int = 0
    genre_ids: list[str] = []
    audio: list[IngestSide] = []
    subtitles: list[IngestSide] = []


class IngestAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The job that was queued."""

    title_id: TitleId
    job_id: JobId


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """An instance of a service, as the registry has it."""

    service: str
    instance_id: str
    address: str
    state: str
    renewed_at: datetime


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an edge is to be given no new sessions."""

    draining: bool
