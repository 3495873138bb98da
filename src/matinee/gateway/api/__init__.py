"""The public API: one composed response per screen. The types of the web client are generated from these.

The routes are the controllers of `gateway.server`, below `/api/v1`; each names who may use it. `web/openapi.json`
describes them: `python -m matinee.gateway.server` writes it.

Outside of the API: `/` the web client, `/art/<path>` artwork, `/trust` the certificate of the local authority,
`/.well-known/jwks.json`, `/problems/{kind}` the meaning of a problem, `/schema/openapi.json`. `/healthz`, `/readyz` and
`/metrics` are not reachable through Envoy. The problems are in `api.problems`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from matinee.identity.api import Account, Device, DeviceInfo
from matinee.kit.ids import AccountId, DeviceId, EpisodeId, ProfileId, TitleId
from matinee.playback.api import Capabilities


class SignUp(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a new account, and the device to sign in."""

    email: str
    password: str
    name: str
    device: DeviceInfo
    language: str = "en"


class AuthOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one can sign in. `sign_up`: whether strangers may open an account."""

    sign_up: bool


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """Credentials, and the device to sign in."""

    email: str
    password: str
    device: DeviceInfo


class Refresh(msgspec.Struct, frozen=True, kw_only=True):
    """A refresh token. Browsers send it as an HttpOnly cookie instead."""

    refresh_token: str | None = None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in and its tokens. Browsers get no `refresh_token` here but a cookie.

    With `is_adult` false a child's profile is chosen: it has no roles and cannot see the account.
    """

    access_token: str
    expires_in_s: int
    account_id: AccountId
    device_id: DeviceId
    profile_id: ProfileId | None = None
    is_adult: bool = True
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
    """A profile to create."""

    name: str
    avatar: str = "ember"
    language: str = "en"
    maturity: int = 18
    kids: bool = False
    pin: str | None = None


class ProfileChange(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a profile; an empty `pin` removes the PIN."""

    name: str | None = None
    avatar: str | None = None
    language: str | None = None
    maturity: int | None = None
    kids: bool | None = None
    pin: str | None = None


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """The PIN of a profile that has one."""

    pin: str | None = None


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The proof that an adult is present: the password, or the PIN of an adult's profile."""

    password: str | None = None
    profile_id: ProfileId | None = None
    pin: str | None = None


class NewPassword(msgspec.Struct, frozen=True, kw_only=True):
    """The password that replaces the present one."""

    password: str


class NewAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account that an operator opens; without `password` one is generated."""

    email: str
    name: str
    language: str = "en"
    password: str | None = None
    roles: list[Literal["operator"]] = []


class GivenPassword(msgspec.Struct, frozen=True, kw_only=True):
    """The password that an operator gives an account; without one it is generated."""

    password: str | None = None


class AccountWithPassword(msgspec.Struct, frozen=True, kw_only=True):
    """An account and the password that was generated for it, which is not shown again."""

    account: Account
    password: str | None = None


class AccountScreen(msgspec.Struct, frozen=True, kw_only=True):
    """An account for the operator."""

    account: Account
    profiles: list[ProfileView]
    devices: list[Device]


class EndedSignIns(msgspec.Struct, frozen=True, kw_only=True):
    """The number of sign-ins that were ended."""

    ended: int


class DeviceView(Device, frozen=True, kw_only=True):
    """A device of the account."""

    current: bool


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture. `url` is a path on this host; `colour` is shown until the picture is loaded."""

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
    """How much the profile has watched."""

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
    """A row of cards. The client has the names of `continue-watching` and `new`; a genre row includes its genre."""

    row_id: str
    kind: Literal["continue-watching", "new", "genre"]
    cards: list[Card]
    genre: GenreView | None = None


class Billboard(msgspec.Struct, frozen=True, kw_only=True):
    """The title at the top of the home page."""

    card: Card
    synopsis: str


class HomeScreen(msgspec.Struct, frozen=True, kw_only=True):
    """The home page. `missing` names the parts that could not be fetched.

    `earlier` says that parts are missing now, and that this is the last page that was whole.
    """

    rows: list[Row]
    billboard: Billboard | None = None
    missing: list[str] = []
    earlier: bool = False


class GenreScreen(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the titles of a genre."""

    genre: GenreView
    cards: list[Card]
    next_cursor: str | None = None


class CreditView(msgspec.Struct, frozen=True, kw_only=True):
    """A person and their role."""

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
    """The page of a title. `play_episode_id` is the episode that the play button of a series plays.

    `countries` are those of production (ISO 3166-1 alpha-2). `franchise` is the name of the series of titles that this
    one belongs to, "" for none, and `moods` are words for how it feels, in the profile's language.
    """

    card: Card
    synopsis: str
    original_language: str
    countries: list[str] = []
    studios: list[str] = []
    franchise: str = ""
    moods: list[str] = []
    credits: list[CreditView] = []
    audio_languages: list[str] = []
    subtitle_languages: list[str] = []
    seasons: list[SeasonView] = []
    more_like_this: list[Card] = []
    play_episode_id: EpisodeId | None = None
    missing: list[str] = []


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A title that was watched."""

    card: Card
    updated_at: datetime


class HistoryScreen(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the viewing history, newest first."""

    entries: list[HistoryEntry]
    next_cursor: str | None = None


class PlayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to play a title or an episode. `heartbeats` is false for a player that sends none."""

    title_id: TitleId
    capabilities: Capabilities
    episode_id: EpisodeId | None = None
    from_start: bool = False
    heartbeats: bool = True


class RenewRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for fresh URLs; `failed` are edges that did not answer."""

    failed: tuple[str, ...] = ()


class ClearKeyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A ClearKey licence request (W3C Encrypted Media Extensions §9.1.3): base64url key ids."""

    kids: list[str]
    type: str = "temporary"
