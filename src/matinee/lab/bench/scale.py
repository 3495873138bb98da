"""The cost of screens, sign-in and manifests as a deployment grows, each beside the same at the smallest size.

Costs are CPU time of this process, which has every domain on SQLite as in an embedded deployment.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from matinee.app.domains import DOMAINS, PROTOCOLS
from matinee.app.host import build_targets
from matinee.app.settings import load
from matinee.catalogue.adapters.sql import SqlTitleStore
from matinee.catalogue.api import (
    Artwork,
    ArtworkKind,
    Asset,
    AudioTrack,
    Genre,
    RightsWindow,
    SegmentRun,
    Title,
    VideoTrack,
)
from matinee.catalogue.ports import Change, TitleFilter
from matinee.drivers.metrics import Metrics
from matinee.drivers.sql import Database
from matinee.encoding.model.timelines import to_runs
from matinee.gateway.service import LastHomes, Screens
from matinee.gateway.service.profile_catalogue import ROW_LENGTH
from matinee.identity.api import DeviceInfo, Grant
from matinee.kit import ids, log
from matinee.kit.context import Principal
from matinee.kit.ids import AssetId, DeviceId, EdgeId, ProfileId, TitleId
from matinee.kit.structs import build_from
from matinee.lab.bench.harness import Bench, Call, time_in_turns
from matinee.lab.viewer import PASSWORD
from matinee.mesh.hosting.domain import Process
from matinee.mesh.hosting.runtime import open_runtime
from matinee.playback.api import Capabilities
from matinee.steering.api import EdgeReport

SIZES = (100, 1_000, 10_000, 36_000)
SMALLEST_SIZES = (40, 120)
DEVICES = (1, 100, 4_000)
GENRES = 4
BATCH = 250
ARTWORK: tuple[tuple[ArtworkKind, int, int], ...] = (
    ("poster", 600, 900),
    ("card", 640, 360),
    ("backdrop", 1920, 1080),
)
MATURITIES = (0, 6, 12, 16, 18)
GROWTH_GOAL = 1.5
MANIFEST_GOAL_MS = 1.0
FILM_MS, AUDIO_TRACKS = 3 * 3_600_000, 6
EDGE = EdgeReport(edge_id=ids.derive(EdgeId, "a"), name="a", base_url="http://127.0.0.1:9")
FIRST = datetime(2020, 1, 1, tzinfo=UTC)
Calls: TypeAlias = dict[str, Call]


async def measure(bench: Bench) -> None:
    """Measure; filling 36,000 titles takes about a minute."""
    log.configure(level="ERROR")
    sizes = SMALLEST_SIZES if bench.smallest else SIZES
    deployments = {size: await Deployment.open(bench.folder / f"titles-{size}", bench.stack, size) for size in sizes}
    first = deployments[sizes[0]]
    for name in first.screens():
        calls: Calls = {f"{size} titles": one.screens()[name] for size, one in deployments.items()}
        await _report_growth(bench, name, calls, count=bench.size(40, 2))
    await _measure_sign_in(bench, first)
    await _measure_manifest(bench, first)


class Deployment:
    """Every domain in this process, on a folder of its own, with a catalogue of some size and one account."""

    def __init__(
        self,
        process: Process,
        store: SqlTitleStore,
        last_homes: LastHomes,
        grant: Grant,
        profiles: dict[int, ProfileId],
    ) -> None:
        self._store, self._clock = store, process.runtime.clock
        self.services: dict[str, Any] = process.services
        self.grant = grant
        self._profiles = profiles
        self._screens = Screens(
            identity=self.services["identity"],
            catalogue=self.services["catalogue"],
            viewing=self.services["viewing"],
            search=self.services["search"],
            last_homes=last_homes,
            clock=process.runtime.clock,
            deadline_ms=60_000,
        )

    @classmethod
    async def open(cls, folder: Path, stack: AsyncExitStack, size: int) -> Deployment:
        """Fill a catalogue, build the services, and sign up with a profile for an adult and one for a small child."""
        await _fill_catalogue(folder / "catalogue.db", size)
        options = {"deployment.data": str(folder), "telemetry.sampling": 0.0, "identity.sign_up": "open"}
        runtime = await stack.enter_async_context(open_runtime(load(None, {}, options)))
        process = Process(runtime, domains=DOMAINS, stack=stack, metrics=Metrics())
        await build_targets(process, tuple(set(PROTOCOLS) - {"encoding"}))
        identity = process.services["identity"]
        grant = await _sign_up(identity)
        child = await identity.create_profile(
            principal=build_from(grant, Principal, is_adult=True),
            name="Kim",
            avatar="ember",
            language="en",
            maturity=0,
            kids=True,
        )
        adult = (await identity.profiles(account_id=grant.account_id))[0]
        database = await stack.enter_async_context(Database(f"sqlite:///{folder}/catalogue.db"))
        store = await SqlTitleStore.open(database)
        profiles = {18: adult.profile_id, 0: child.profile_id}
        return cls(process, store, LastHomes(await process.cache()), grant, profiles)

    def screens(self) -> Calls:
        """Return the calls to measure."""
        catalogue, found = self.services["catalogue"], self._screens

        def for_profile(call: Callable[..., Awaitable[object]], maturity: int, **more: Any) -> Call:
            profile_id = self._profiles[maturity]
            return lambda _: call(account_id=self.grant.account_id, profile_id=profile_id, **more)

        return {
            **{f"home, maturity {age}": for_profile(found.home, age) for age in self._profiles},
            **{f"genre, maturity {age}": for_profile(found.genre, age, genre_id="genre-1") for age in self._profiles},
            **{f"new titles from the store, maturity {age}": self._browse(age) for age in self._profiles},
            "title page": for_profile(found.title, 18, title_id=_title_id(4)),
            "list of genres": lambda _: catalogue.genres(),
            "operator's titles": lambda _: catalogue.everything(),
        }

    def _browse(self, maturity: int) -> Call:
        """Return a call that reads the list of a row, which screens share with others of the same half second."""
        wanted = TitleFilter(territory="DE", maturity=maturity, now=self._clock.now())
        return lambda _: self._store.browse(wanted, None, ROW_LENGTH + 1)


async def _fill_catalogue(file: Path, size: int) -> None:
    async with Database(f"sqlite:///{file}") as database:
        store = await SqlTitleStore.open(database)
        for first in range(0, size, BATCH):
            numbers = range(first, min(size, first + BATCH))
            await asyncio.gather(*(store.change(_title_id(n), partial(_publish, n), FIRST) for n in numbers))


def _publish(number: int, _: Title | None, __: list[Asset]) -> Change:
    return Change(title=_make_title(number), asset=_make_asset(number))


def _title_id(number: int) -> TitleId:
    return ids.derive(TitleId, "scale", str(number))


def _make_title(number: int) -> Title:
    """Make a film; one in ten is not shown here. For every age are half of the oldest hundred, then one in twenty."""
    genres = {number % GENRES, number // GENRES % GENRES}
    every_age = number % (2 if number < SIZES[0] else 20) == 0
    return Title(
        title_id=_title_id(number),
        kind="film",
        names={"en": f"Film number {number}", "de": f"Film Nummer {number}"},
        synopses={"en": "A synopsis of ordinary length for a film. " * 6},
        original_language="en",
        year=1950 + number % 76,
        maturity=0 if every_age else MATURITIES[1 + number % 4],
        genres=[Genre(genre_id=f"genre-{each}", names={"en": f"Genre {each}"}) for each in sorted(genres)],
        artwork=[
            Artwork(kind=kind, path=f"artwork/{number}-{kind}.avif", width_px=width, height_px=height)
            for kind, width, height in ARTWORK
        ],
        rights=[RightsWindow(territory="FR" if number % 10 == 9 else "*")],
        state="published",
        duration_ms=FILM_MS,
        asset_id=ids.derive(AssetId, "scale", str(number)),
        audio_languages=["en"],
        published_at=FIRST + timedelta(minutes=number),
    )


def _make_asset(number: int, audio_tracks: int = 1) -> Asset:
    """Make the asset of a film at 24 frames a second, in segments of four seconds."""
    asset_id = ids.derive(AssetId, "scale", str(number))
    count = FILM_MS // 4000
    common: dict[str, Any] = {"timescale": 24_000, "init": "init.mp4", "media": "$Number$.m4s"}
    video = [
        VideoTrack(
            track_id=f"v{height}",
            codec="avc1.64001f",
            bandwidth_bps=height * 4000,
            segments=[SegmentRun(0, 96_000, count)],
            width_px=height * 16 // 9,
            height_px=height,
            frame_rate="24/1",
            key_label="SD",
            **common,
        )
        for height in (240, 360, 480, 720, 1080)
    ]
    audio = [
        AudioTrack(
            track_id=f"a{track}",
            codec="mp4a.40.2",
            bandwidth_bps=128_000,
            segments=_make_audio_runs(count),
            language="en",
            channels=2,
            sample_rate_hz=48_000,
            number=track + 1,
            **{**common, "timescale": 48_000},
        )
        for track in range(audio_tracks)
    ]
    return Asset(
        asset_id=asset_id,
        title_id=_title_id(number),
        prefix=f"assets/{asset_id}/",
        duration_ms=FILM_MS,
        video=video,
        audio=audio,
        scheme="none",
    )


@cache
def _make_audio_runs(count: int) -> list[SegmentRun]:
    """Make segments of whole AAC frames of 1,024 samples that end nearest to every fourth second at 48 kHz."""
    ends = [round(number * 4 * 48_000 / 1024) * 1024 for number in range(count + 1)]
    return to_runs(0, [end - start for start, end in pairwise(ends)])


async def _measure_sign_in(bench: Bench, deployment: Deployment) -> None:
    """Measure a sign-in of a known device to accounts with more and more devices."""
    identity = deployment.services["identity"]
    calls: Calls = {}

    def sign_in_again(email: str, device: DeviceInfo) -> Call:
        return lambda _: identity.sign_in(email=email, password=PASSWORD, device=device)

    for count in DEVICES[:2] if bench.smallest else DEVICES:
        email = f"devices-{count}@matinee.example"
        grant = await _sign_up(identity, email)
        for _ in range(count - 1):
            await identity.sign_in(email=email, password=PASSWORD, device=DeviceInfo(name="Browser"))
        calls[f"{count} devices"] = sign_in_again(email, DeviceInfo(name="Browser", device_id=grant.device_id))
    await _report_growth(bench, "sign-in", calls, count=1)


async def _measure_manifest(bench: Bench, deployment: Deployment) -> None:
    """Measure the manifests of a film of three hours with six sounds."""
    services = deployment.services
    await services["steering"].heartbeat(report=EDGE)
    asset = _make_asset(0, AUDIO_TRACKS)
    await services["catalogue"].attach_asset(asset=asset)
    principal = build_from(deployment.grant, Principal)
    profile = (await services["identity"].profiles(account_id=deployment.grant.account_id))[0]
    principal = msgspec.structs.replace(principal, profile_id=profile.profile_id, device_id=DeviceId("dev_bench"))
    session = await services["playback"].start(
        principal=principal, title_id=asset.title_id, capabilities=Capabilities(), client_ip="127.0.0.1", territory="DE"
    )
    token = session.dash_path.split("/")[-2]
    for name in ("manifest.mpd", "a0.m3u8"):

        async def get(_: int, name: str = name) -> object:
            return await services["playback"].get_manifest(session_id=session.session_id, token=token, name=name)

        (samples,) = await time_in_turns(
            {name: get}, count=bench.size(20, 1), rounds=bench.size(5, 1), clock=time.process_time
        )
        bench.report(f"{name}, 3 h, 6 sounds", samples, "ms", max_value=MANIFEST_GOAL_MS)


async def _report_growth(bench: Bench, name: str, calls: Calls, *, count: int) -> None:
    first, *others = await time_in_turns(calls, count=count, rounds=bench.size(5, 1), clock=time.process_time)
    for samples in others:
        bench.report(f"{name}: {samples.name}", samples, "ms", baseline=first, max_ratio=GROWTH_GOAL)


async def _sign_up(identity: Any, email: str = "bench@matinee.example") -> Grant:
    grant: Grant = await identity.sign_up(
        email=email, password=PASSWORD, name="Ada", language="en", device=DeviceInfo(name="Browser")
    )
    return grant
