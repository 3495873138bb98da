"""The gateway on a real socket, with the real domains on SQLite; each domain can be replaced."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from matinee.catalogue.adapters.memory import MemoryReadModel
from matinee.catalogue.adapters.sql import SqlTitleStore
from matinee.catalogue.api import Artwork, Asset, AudioTrack, Episode, Genre, SegmentRun, TitleDraft, VideoTrack
from matinee.catalogue.service import CatalogueService
from matinee.drivers.argon import Argon2
from matinee.drivers.asgi import Server
from matinee.drivers.cache import CacheClient, CacheMetrics, MemoryCache
from matinee.drivers.ffmpeg import Ffmpeg
from matinee.drivers.jwt import Signer, Verifier
from matinee.drivers.metrics import Metrics
from matinee.drivers.objects import ObjectStore
from matinee.drivers.passwords import find_weakness
from matinee.drivers.sql import Database
from matinee.drivers.vault import FileSealer
from matinee.encoding.adapters.ffmpeg import FfmpegProber
from matinee.encoding.adapters.objects import ObjectBlobs
from matinee.encoding.adapters.sources import SqlSourceStore
from matinee.encoding.adapters.sql import SqlJobStore
from matinee.encoding.service import EncodingService
from matinee.gateway.adapters.disk import DiskUploadStore
from matinee.gateway.api.operator import ServiceView
from matinee.gateway.server import AppState, ServerSettings, build
from matinee.gateway.service import Intake, LastHomes, Screens
from matinee.identity.adapters.sql import SqlIdentityStore
from matinee.identity.adapters.sql_audit import SqlAuditLog
from matinee.identity.api import COMMAND_LINE, parse_principal
from matinee.identity.service import IdentityService
from matinee.kit import ids
from matinee.kit.clock import SystemClock
from matinee.kit.ids import AssetId, EdgeId, EpisodeId, InstanceId, TitleId
from matinee.kit.page import Page
from matinee.kit.structs import build_from
from matinee.licensing.adapters.sql import SqlKeyVault
from matinee.licensing.service import LicensingService
from matinee.mesh.executor.processes import ProcessExecutor
from matinee.mesh.host import Host
from matinee.playback.adapters.sql import SqlSessionStore
from matinee.playback.model.options import PlaybackOptions
from matinee.playback.service import PlaybackService
from matinee.search.api import SearchResult
from matinee.steering.adapters.sql import SqlFleetStore
from matinee.steering.api import EdgeReport
from matinee.steering.service import SteeringService
from matinee.viewing.adapters.sql import SqlViewingStore
from matinee.viewing.service import ViewingService

CLOCK = SystemClock()
PASSWORD = "correct horse battery"
KEY = b"0" * 32
DRAMA = Genre(genre_id="drama", names={"en": "Drama", "de": "Drama auf Deutsch"})
NOISE = Genre(genre_id="noise", names={"en": "Noise"})


class NoSearch:
    """Fulfils `Search` as far as the gateway uses it: nothing is found."""

    async def find(self, **_: Any) -> SearchResult:
        return SearchResult()

    async def list_trending(self, **_: Any) -> list[TitleId]:
        return []

    async def list_initials(self, **_: Any) -> list[str]:
        return []

    async def browse(self, **_: Any) -> Page[TitleId]:
        return Page(items=[])


class OneInstance:
    """Fulfils `Instances`."""

    async def services(self) -> list[ServiceView]:
        instance_id = InstanceId("ins_1")
        return [
            ServiceView(
                service="gateway",
                instance_id=instance_id,
                address="http://127.0.0.1:1",
                state="serving",
                renewed_at=CLOCK.now(),
            )
        ]


@dataclass
class HttpResponse:
    """A response."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def problem(self) -> str:
        """The type of the problem; asserts that the body is a problem document with the same status."""
        assert self.headers["Content-Type"] == "application/problem+json", self.body
        assert self.json["status"] == self.status
        return str(self.json["type"]).removeprefix("/problems/")


@dataclass
class Deployment:
    """A running gateway and the domains behind it."""

    url: str
    http: aiohttp.ClientSession
    domains: dict[str, Any]
    folder: Path
    internal_url: str = ""
    emails: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    async def viewer(self, *, kind: str = "browser", profile: bool = True, operator: bool = False) -> Viewer:
        """Sign up a new viewer."""
        self.emails += 1
        viewer = Viewer(self, f"viewer{self.emails}@example.org")
        body = {"email": viewer.email, "password": PASSWORD, "name": "Ada", "device": {"name": "test", "kind": kind}}
        answer = await viewer.call("POST", "/auth/sign-up", body, origin=None)
        assert answer.status == 200, answer.body
        if operator:
            identity = self.domains["identity"]
            account_id = (await identity.find_account(email=viewer.email)).account_id
            await identity.grant_role(by=COMMAND_LINE, account_id=account_id, role="operator")
            body = {"email": viewer.email, "password": PASSWORD, "device": {"name": "test", "kind": kind}}
            answer = await viewer.call("POST", "/auth/sign-in", body)
        viewer.use(answer)
        if profile:
            await viewer.choose((await viewer.call("GET", "/profiles")).json[0]["profile_id"])
        return viewer

    async def add_film(self, name: str, **fields: Any) -> TitleId:
        """Publish a film."""
        title_id = ids.generate(TitleId, CLOCK.now())
        draft = {"kind": "film", "original_language": "en", "names": {"en": name}, "genres": [DRAMA], **fields}
        await self.domains["catalogue"].put_title(draft=TitleDraft(title_id=title_id, **draft))
        await self.attach_asset(title_id)
        await self.domains["catalogue"].publish(title_id=title_id)
        return title_id

    async def add_series(self, name: str, seasons: tuple[int, ...] = (2, 1)) -> tuple[TitleId, list[EpisodeId]]:
        """Publish a series with that many episodes per season; the last episode is not playable."""
        title_id = ids.generate(TitleId, CLOCK.now())
        episodes = [
            Episode(
                episode_id=ids.generate(EpisodeId, CLOCK.now()),
                season_number=season,
                number=number,
                names={"en": f"{season}x{number}"},
            )
            for season, count in enumerate(seasons, 1)
            for number in range(1, count + 1)
        ]
        draft = TitleDraft(
            title_id=title_id,
            kind="series",
            original_language="en",
            names={"en": name},
            genres=[DRAMA],
            episodes=episodes,
        )
        await self.domains["catalogue"].put_title(draft=draft)
        for episode in episodes[:-1]:
            await self.attach_asset(title_id, episode.episode_id)
        await self.domains["catalogue"].publish(title_id=title_id)
        return title_id, [episode.episode_id for episode in episodes]

    async def remove_episode(self, title_id: TitleId, episode_id: EpisodeId) -> None:
        """Remove an episode from a series."""
        title = await self.domains["catalogue"].title(title_id=title_id)
        episodes = [episode for episode in title.episodes if episode.episode_id != episode_id]
        await self.domains["catalogue"].put_title(draft=build_from(title, TitleDraft, episodes=episodes))

    async def attach_asset(self, title_id: TitleId, episode_id: EpisodeId | None = None) -> None:
        """Attach an asset of 100 s."""
        asset_id = ids.generate(AssetId, CLOCK.now())
        runs = [SegmentRun(0, 4000, 25)]
        common = {"timescale": 1000, "init": "i.mp4", "media": "$Number$.m4s", "segments": runs}
        asset = Asset(
            asset_id=asset_id,
            title_id=title_id,
            episode_id=episode_id,
            prefix=f"assets/{asset_id}/",
            duration_ms=100_000,
            scheme="cbcs",
            video=[
                VideoTrack(
                    track_id="v360",
                    codec="avc1.4d401e",
                    bandwidth_bps=500_000,
                    width_px=640,
                    height_px=360,
                    frame_rate="24/1",
                    key_id="0" * 32,
                    **common,
                )
            ],
            audio=[
                AudioTrack(
                    track_id="a",
                    codec="mp4a.40.2",
                    bandwidth_bps=128_000,
                    language="en",
                    channels=2,
                    sample_rate_hz=48_000,
                    key_id="1" * 32,
                    **common,
                )
            ],
        )
        await self.domains["catalogue"].attach_asset(asset=asset)

    async def add_edge(self) -> EdgeId:
        """Register an edge by a heartbeat."""
        edge_id = ids.generate(EdgeId, CLOCK.now())
        report = EdgeReport(edge_id=edge_id, name="edge-a", base_url="http://127.0.0.1:9")
        await self.domains["steering"].heartbeat(report=report)
        return edge_id


@dataclass
class Viewer:
    """A viewer with a device."""

    deployment: Deployment
    email: str
    headers: dict[str, str] = field(default_factory=dict)
    session: dict[str, Any] = field(default_factory=dict)
    cookie: str = ""
    profile_id: str = ""

    async def call(
        self, method: str, path: str, body: Any = None, *, origin: str | None = None, **headers: str
    ) -> HttpResponse:
        """Call the API."""
        sent = {**self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if origin is not None:
            sent["Origin"] = origin
        data = body if isinstance(body, bytes) else None if body is None else msgspec.json.encode(body)
        return await call(self.deployment, method, f"/api/v1{path}", data, sent)

    def use(self, answer: HttpResponse) -> None:
        """Use the tokens of a session for further requests."""
        self.session = answer.json
        self.headers = {"Authorization": f"Bearer {self.session['access_token']}"}
        for cookie in answer.headers.getall("Set-Cookie", []):
            self.cookie = cookie.partition(";")[0]

    async def choose(self, profile_id: str, pin: str | None = None) -> HttpResponse:
        """Choose a profile."""
        answer = await self.call("POST", f"/profiles/{profile_id}/choose", {"pin": pin})
        if answer.status == 200:
            self.use(answer)
            self.profile_id = profile_id
        return answer


async def call(
    deployment: Deployment, method: str, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
) -> HttpResponse:
    """Request any path."""
    common = {"Content-Type": "application/json", "Accept-Encoding": "identity", **deployment.headers}
    sent = {**common, **(headers or {})}
    async with deployment.http.request(
        method, URL(deployment.url + path, encoded=True), data=data, headers=sent, allow_redirects=False
    ) as answer:
        return HttpResponse(answer.status, answer.headers, await answer.read())


@asynccontextmanager
async def run_gateway(
    folder: Path, *, replaced: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Deployment]:
    """Run a gateway with its domains; `replaced` are domains to use instead of the real ones."""
    screen_deadline_ms = settings.pop("screen_deadline_ms", 8_000)  # so that a slow machine leaves no part out
    async with AsyncExitStack() as stack:
        domains = await build_domains(folder, stack)
        used, metrics = {"search": NoSearch(), **domains, **(replaced or {})}, Metrics()
        search = used["search"]
        screen_parts = {name: used[name] for name in ("identity", "catalogue", "viewing")}
        territory = settings.get("territory", "ZZ")
        uploads = DiskUploadStore(folder / "uploads", spare_bytes=0)
        state = AppState(
            **used,
            screens=Screens(
                **screen_parts,
                search=search,
                last_homes=LastHomes(CacheClient(MemoryCache(clock=CLOCK), metrics=CacheMetrics(metrics))),
                clock=CLOCK,
                territory=territory,
                deadline_ms=screen_deadline_ms,
            ),
            intake=Intake(uploads=uploads, catalogue=used["catalogue"], encoding=used["encoding"]),
            uploads=uploads,
            instances=OneInstance(),
            clock=CLOCK,
            settings=ServerSettings(web_root=folder / "web", **settings),
        )
        verifier = Verifier(fetch_keys=domains["identity"].public_keys, parse_claims=parse_principal, clock=CLOCK)
        app = build(state, verifier=verifier, metrics=metrics)
        host = Host(key="mesh key", clock=CLOCK, metrics=metrics)
        internal = await stack.enter_async_context(Server(host))
        server = await stack.enter_async_context(Server(app))
        http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        await stack.enter_async_context(http)
        yield Deployment(server.address, http, domains, folder, internal.address)


async def build_domains(folder: Path, stack: AsyncExitStack) -> dict[str, Any]:
    async def database(name: str) -> Database:
        return await stack.enter_async_context(Database(f"sqlite:///{folder}/{name}.db"))

    argon = Argon2(time_cost=1, memory_kib=64)
    stack.callback(argon.close)
    identity_database = await database("identity")
    accounts = await SqlIdentityStore.open(identity_database)
    identity = IdentityService(
        accounts=accounts,
        sign_ins=accounts,
        throttle=accounts,
        audit=SqlAuditLog(identity_database),
        secrets=argon,
        signer=Signer.open(folder / "tokens.pem"),
        find_weakness=find_weakness,
        clock=CLOCK,
    )
    titles = await SqlTitleStore.open(await database("catalogue"))
    catalogue = CatalogueService(store=titles, read_model=MemoryReadModel(store=titles, clock=CLOCK), clock=CLOCK)
    viewing = ViewingService(store=await SqlViewingStore.open(await database("viewing")), clock=CLOCK)
    steering = SteeringService(fleet=await SqlFleetStore.open(await database("steering")), clock=CLOCK)
    licensing = LicensingService(
        vault=await SqlKeyVault.open(await database("licensing")),
        sealer=FileSealer.open(folder / "kek"),
        token_key=KEY,
        clock=CLOCK,
    )
    jobs = await database("encoding")
    encoding = EncodingService(
        store=await SqlJobStore.open(jobs),
        sources=SqlSourceStore(jobs),
        blobs=ObjectBlobs(ObjectStore(f"file://{folder}/objects")),
        prober=FfmpegProber(Ffmpeg()),
        catalogue=catalogue,
        executor=await stack.enter_async_context(ProcessExecutor(workers=1)),
        clock=CLOCK,
    )
    playback = PlaybackService(
        store=await SqlSessionStore.open(await database("playback")),
        identity=identity,
        catalogue=catalogue,
        viewing=viewing,
        steering=steering,
        licensing=licensing,
        clock=CLOCK,
        token_key=KEY,
        edge_token_key=KEY,
        options=PlaybackOptions(),
    )
    return {
        "identity": identity,
        "catalogue": catalogue,
        "viewing": viewing,
        "steering": steering,
        "licensing": licensing,
        "encoding": encoding,
        "playback": playback,
    }


def artwork(kind: str = "backdrop") -> Artwork:
    """Return a picture."""
    return Artwork(kind=kind, path=f"public/art/{kind}.jpg", width_px=1280, height_px=720)  # type: ignore[arg-type]
