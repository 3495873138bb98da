"""The playback service on a real session store, with fakes of the other domains."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from matinee.catalogue.api import Asset, AssetNotFound, AudioTrack, Episode, Playable, SegmentRun, TextTrack, VideoTrack
from matinee.drivers.sql import Database
from matinee.events.api import FactRecord
from matinee.identity.api import Account, Profile, TokenRejected, Viewer
from matinee.kit import ids
from matinee.kit.clock import ManualClock
from matinee.kit.context import Principal
from matinee.kit.hashing import verify_path_token
from matinee.kit.ids import AccountId, AssetId, DeviceId, EdgeId, EpisodeId, PlaySessionId, ProfileId, SignInId, TitleId
from matinee.licensing.api import LicenceTerms
from matinee.playback.adapters.sql import SqlSessionStore
from matinee.playback.api import Capabilities, Heartbeat, PlaySession
from matinee.playback.model.options import PlaybackOptions
from matinee.playback.service import PlaybackService
from matinee.steering.api import RankedEdge
from matinee.viewing.api import Position

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
TOKEN_KEY, EDGE_KEY = b"t" * 32, b"e" * 32
TITLE = ids.derive(TitleId, "t")
EDGE_IDS = [ids.derive(EdgeId, name) for name in "abc"]
T = TypeVar("T")


def principal(name: str = "ada") -> Principal:
    return Principal(
        account_id=ids.derive(AccountId, name),
        profile_id=ids.derive(ProfileId, name),
        device_id=ids.derive(DeviceId, name),
        sign_in_id=ids.derive(SignInId, name),
    )


def asset(name: str = "film") -> Asset:
    asset_id = ids.derive(AssetId, name)
    common: dict[str, Any] = {"timescale": 1000, "segments": [SegmentRun(0, 4000, 25)], "key_id": "0f" * 16}
    return Asset(
        asset_id=asset_id,
        title_id=TITLE,
        prefix=f"assets/{asset_id}/",
        duration_ms=100_000,
        video=[
            VideoTrack(
                track_id=f"v{height_px}",
                codec="avc1.64001f",
                bandwidth_bps=height_px * 1000,
                init=f"v{height_px}/init.mp4",
                media=f"v{height_px}/$Number$.m4s",
                width_px=height_px * 16 // 9,
                height_px=height_px,
                frame_rate="25",
                **common,
            )
            for height_px in (480, 1080)
        ],
        audio=[
            AudioTrack(
                track_id="a",
                codec="mp4a.40.2",
                bandwidth_bps=128_000,
                init="a/init.mp4",
                media="a/$Number$.m4s",
                language="en",
                channels=2,
                sample_rate_hz=48_000,
                **common,
            )
        ],
        text=[TextTrack(track_id="s", language="de", path="de.vtt", label="Deutsch")],
    )


def episode(number: int) -> Episode:
    name = f"e{number}"
    return Episode(
        episode_id=ids.derive(EpisodeId, name),
        season_number=1,
        number=number,
        names={"en": name},
        asset_id=asset(name).asset_id,
    )


class FakeDomains:
    """Identity, catalogue, viewing, steering and licensing. Calls are recorded, and can fail or hang."""

    def __init__(self) -> None:
        self.maturity = 18
        self.status: Any = "active"
        self.edge_ids = EDGE_IDS
        self.ended_sign_ins: set[SignInId] = set()
        self.playables = {
            None: Playable(title_id=TITLE, names={"en": "A film"}, original_language="en", maturity=12, asset=asset())
        }
        self.last_position: Position | None = None
        self.failing: dict[str, Exception] = {}
        self.hanging: set[str] = set()
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.most_concurrent = 0
        self._running = 0

    async def _call(self, name: str, answer: T, **arguments: Any) -> T:
        self.calls.append((name, arguments))
        self._running += 1
        self.most_concurrent = max(self.most_concurrent, self._running)
        try:
            await (asyncio.Event().wait() if name in self.hanging else asyncio.sleep(0))
        finally:
            self._running -= 1
        if name in self.failing:
            raise self.failing[name]
        return answer

    def calls_of(self, name: str) -> list[dict[str, Any]]:
        return [arguments for called, arguments in self.calls if called == name]

    async def viewer(
        self, *, account_id: AccountId, profile_id: ProfileId, sign_in_id: SignInId | None = None
    ) -> Viewer:
        if sign_in_id in self.ended_sign_ins:
            raise TokenRejected
        account = Account(account_id=account_id, email="", created_at=NOW, status=self.status)
        profile = Profile(
            profile_id=profile_id, account_id=account_id, name="Ada", avatar="", language="en", maturity=self.maturity
        )
        return await self._call("viewer", Viewer(account=account, profile=profile))

    async def playable(
        self,
        *,
        title_id: TitleId,
        territory: str,
        episode_id: EpisodeId | None = None,
        last_episode_id: EpisodeId | None = None,
        last_finished: bool = False,
    ) -> Playable:
        if last_finished:
            following = self.playables[last_episode_id].next_episode
            episode_id = following.episode_id if following else None
        elif last_episode_id is not None:
            episode_id = last_episode_id
        return await self._call("playable", self.playables[episode_id], territory=territory, episode_id=episode_id)

    async def asset(self, *, asset_id: AssetId) -> Asset:
        for playable in self.playables.values():
            if playable.asset.asset_id == asset_id:
                return await self._call("asset", playable.asset)
        raise AssetNotFound(asset_id=asset_id)

    async def get_position(
        self, *, account_id: AccountId, profile_id: ProfileId, title_id: TitleId, episode_id: EpisodeId | None = None
    ) -> Position | None:
        return await self._call("position", self.last_position, profile_id=profile_id)

    async def record(self, *, position: Position) -> Position:
        return await self._call("record", position, position=position)

    async def rank(
        self, *, client_ip: str, region: str = "local", avoid: tuple[EdgeId, ...] = (), limit: int = 3
    ) -> list[RankedEdge]:
        order = sorted(self.edge_ids, key=lambda edge_id: edge_id in avoid)
        edges = [RankedEdge(edge_id=edge_id, base_url=f"http://{edge_id}", score=0) for edge_id in order]
        return await self._call("rank", edges, client_ip=client_ip, avoid=avoid)

    async def observe(self, *, client_ip: str, edge_id: EdgeId, succeeded: bool, latency_ms: int | None = None) -> None:
        await self._call("observe", None, edge_id=edge_id, succeeded=succeeded)

    async def grant(self, *, terms: LicenceTerms) -> str:
        return await self._call("grant", f"licence-{len(self.calls_of('grant'))}", terms=terms)

    async def revoke(self, *, session_id: PlaySessionId, expires_at: datetime) -> None:
        await self._call("revoke", None, session_id=session_id, expires_at=expires_at)


class Deployment:
    """The service, its store, its clock and the fakes of the other domains."""

    def __init__(self, store: SqlSessionStore, **settings: int) -> None:
        self.store = store
        self.clock = ManualClock(NOW)
        self.domains = FakeDomains()
        domains: Any = self.domains
        self.playback = PlaybackService(
            store=store,
            identity=domains,
            catalogue=domains,
            viewing=domains,
            steering=domains,
            licensing=domains,
            clock=self.clock,
            token_key=TOKEN_KEY,
            edge_token_key=EDGE_KEY,
            options=PlaybackOptions(**settings),
        )

    async def start(self, who: Principal | None = None, **fields: Any) -> PlaySession:
        arguments = {"capabilities": Capabilities(), "client_ip": "192.0.2.7", "territory": "DE", **fields}
        return await self.playback.start(principal=who or principal(), title_id=TITLE, **arguments)

    async def manifest(self, play: PlaySession, name: str = "manifest.mpd") -> str:
        token = play.dash_path.split("/")[-2]
        return (await self.playback.get_manifest(session_id=play.session_id, token=token, name=name)).body.decode()

    async def heartbeat(self, play: PlaySession, who: Principal | None = None, **fields: Any) -> None:
        await self.playback.record_heartbeat(
            principal=who or principal(),
            session_id=play.session_id,
            heartbeat=self.make_heartbeat(**fields),
            client_ip="192.0.2.7",
        )

    async def end(self, play: PlaySession, who: Principal | None = None, **fields: Any) -> None:
        await self.playback.end(
            principal=who or principal(), session_id=play.session_id, heartbeat=self.make_heartbeat(**fields)
        )

    def make_heartbeat(self, **fields: Any) -> Heartbeat:
        return Heartbeat(**{"position_ms": 30_000, "state": "playing", "at": self.clock.now(), **fields})

    async def relay_facts(self) -> list[Any]:
        found: list[Any] = []

        async def append(records: list[bytes]) -> None:
            found.extend(msgspec.json.decode(record, type=FactRecord).fact for record in records)

        await self.store.outbox.relay(append)
        return found


@asynccontextmanager
async def open_deployment(folder: Path) -> AsyncIterator[Deployment]:
    """Open a deployment on an empty store."""
    async with Database(f"sqlite:///{folder}/playback.db") as database:
        yield Deployment(await SqlSessionStore.open(database))


def is_valid_link(url: str, moment: datetime, asset_id: AssetId | None = None) -> bool:
    """Return whether a link is valid at a moment for an asset, by default the one it names."""
    found = re.search(r"/t/([^/]+)/(assets/[^/]+)/", url)
    assert found
    scope = f"assets/{asset_id}" if asset_id else found[2]
    return verify_path_token(EDGE_KEY, scope, found[1], moment.timestamp())
