"""The registration of playback."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matinee.catalogue.api import Catalogue
from matinee.events.api import Events, Follower, relay_facts
from matinee.identity.api import Identity
from matinee.licensing.api import Licensing
from matinee.mesh.hosting.domain import Domain, Wiring
from matinee.playback.api import Playback
from matinee.playback.model.options import PlaybackOptions
from matinee.steering.api import EDGE_LINK_KEY, Steering
from matinee.viewing.api import Viewing

if TYPE_CHECKING:
    from matinee.playback.adapters.redis import RedisSessionStore
    from matinee.playback.adapters.sql import SqlSessionStore


class PlaybackSection(PlaybackOptions, frozen=True, kw_only=True):
    """Play sessions. `link_s`: the lifetime of a signed URL; `start_ms`: the deadline of starting playback.

    `session_s`: the lifetime of a session and of the links in its manifests, beyond the duration of the film;
    `idle_s`: the longest time without a heartbeat or a request for a manifest.
    `start_bandwidth_bps`: the bandwidth assumed for a network that has no measurements yet. The default
    starts with the lowest quality.
    """

    store: str = "sqlite:///{data}/playback.db"


async def _build(wiring: Wiring[PlaybackSection]) -> Playback:
    from matinee.playback import jobs
    from matinee.playback.service import PlaybackService

    store = await _open_store(wiring)
    service = PlaybackService(
        store=store,
        identity=wiring.client(Identity),
        catalogue=wiring.client(Catalogue),
        viewing=wiring.client(Viewing),
        steering=wiring.client(Steering),
        licensing=wiring.client(Licensing),
        clock=wiring.clock,
        token_key=wiring.runtime.secret("play-links.key"),
        edge_token_key=wiring.runtime.secret(EDGE_LINK_KEY),
        options=wiring.settings,
    )
    wiring.add_job(relay_facts, store.outbox, wiring.client(Events))
    wiring.add_job(jobs.end_revoked_sessions, service, wiring.get_provided(Follower))
    wiring.add_schedule("@every 1m", jobs.end_idle_sessions, service)
    return service


async def _open_store(wiring: Wiring[PlaybackSection]) -> RedisSessionStore | SqlSessionStore:
    if wiring.is_redis("store"):
        from matinee.playback.adapters.redis import RedisSessionStore

        return await RedisSessionStore.open(await wiring.redis("store"))
    from matinee.playback.adapters.sql import SqlSessionStore

    return await SqlSessionStore.open(await wiring.database("store", has_short_rows=True))


DOMAIN = Domain(
    name="playback",
    section=PlaybackSection,
    protocol=Playback,
    needs=(Events, Catalogue, Identity, Licensing, Viewing, Steering),
    build=_build,
    store="store",
)
