"""Steering: the fleet in memory, ranking without a look at any store."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

import msgspec

from matinee.kit import log
from matinee.kit.clock import Clock
from matinee.kit.ids import EdgeId
from matinee.kit.network import to_network
from matinee.steering.api import Edge, EdgeNotFound, EdgeReport, Health, NoEdge, RankedEdge
from matinee.steering.model import (
    HEARD_OF,
    Experience,
    Member,
    Standing,
    failing,
    health_of,
    ranked,
    seen,
    standing,
)
from matinee.steering.ports import FleetStore

_log = log.get()
_STANDINGS_LAST = timedelta(milliseconds=500)
_NETWORKS = 50_000
_EDGES_A_NETWORK = 64
_RETRY_AFTER_MS = 2000


class SteeringService:
    """One instance of steering. Several share a `FleetStore` and learn of one another's edges by `synchronise`.

    What clients saw of an edge (`observe`) stays with the instance that was told: a hint, which moves an edge up or
    down in the ranking. Several instances each learn from their share of it, more slowly; who is healthy, drains or is
    gone they all know.
    """

    def __init__(self, *, fleet: FleetStore, clock: Clock) -> None:
        self._fleet = fleet
        self._clock = clock
        self._started_at = clock.now()
        self._members: dict[EdgeId, Member] = {}
        self._unsaved: set[EdgeId] = set()
        self._has_read = False
        self._read_at = self._started_at
        self._is_blind = False  # the store is away: nobody knows what the other instances hear
        self._standings: list[Standing] = []
        self._standings_at: datetime | None = None
        self._here: dict[str, dict[EdgeId, Experience]] = {}
        self._anywhere: dict[EdgeId, Experience] = {}

    async def heartbeat(self, *, report: EdgeReport) -> Health:
        if not self._has_read:
            await self.synchronise()
        known = self._members.get(report.edge_id)
        member = Member(report=report, last_seen_at=self._clock.now(), draining=known is not None and known.draining)
        self._members[report.edge_id] = member
        self._unsaved.add(report.edge_id)
        self._standings_at = None
        if known is None or known.report.base_url != report.base_url:
            await self._save()  # a newcomer is known to all at once; the rest waits for the next round
        return self._health(member)

    async def rank(
        self, *, client_ip: str, region: str = "local", avoid: tuple[EdgeId, ...] = (), limit: int = 3
    ) -> list[RankedEdge]:
        if not self._has_read:
            await self.synchronise()
        now = self._clock.now()
        network = to_network(client_ip)
        edges = ranked(
            self._current_standings(now),
            network=network or client_ip,
            region=region,
            avoid=avoid,
            here=self._here.get(network, {}),
            now_s=now.timestamp(),
            limit=limit,
        )
        if not edges:
            raise NoEdge(retry_after_ms=_RETRY_AFTER_MS)
        return edges

    async def observe(self, *, client_ip: str, edge_id: EdgeId, succeeded: bool, latency_ms: int | None = None) -> None:
        if edge_id not in self._members:
            return  # forgotten since, or never ours: nobody will be sent there
        now_s = self._clock.now().timestamp()
        latency_ms = None if latency_ms is None or latency_ms < 0 else latency_ms
        for known in (self._anywhere, self._experiences(to_network(client_ip))):
            before = known.get(edge_id, Experience(at_s=now_s))
            known[edge_id] = seen(before, now_s, succeeded=succeeded, latency_ms=latency_ms)

    async def edges(self) -> list[Edge]:
        if not self._has_read:
            await self.synchronise()
        since = self._clock.now() - HEARD_OF
        heard_of = (member for member in self._members.values() if member.last_seen_at >= since)
        return sorted(map(self._edge, heard_of), key=lambda edge: edge.report.edge_id)

    async def drain(self, *, edge_id: EdgeId, draining: bool) -> Edge:
        await self.synchronise()
        if edge_id not in self._members or not await self._fleet.set_draining(edge_id, draining):
            raise EdgeNotFound(edge_id=edge_id)
        member = msgspec.structs.replace(self._members[edge_id], draining=draining)
        self._members[edge_id] = member
        self._standings_at = None
        return self._edge(member)

    async def synchronise(self) -> None:
        """Write what is new here, and read what is new elsewhere. A store that is away changes nothing."""
        await self._save()
        try:
            stored = await self._fleet.load(self._clock.now() - HEARD_OF)
        except Exception as error:  # what is in memory goes on working
            self._is_blind = True
            _log.warning("fleet.not_read", error=repr(error))
            return
        self._has_read, self._is_blind, self._read_at = True, False, self._clock.now()
        self._merge(stored)

    async def forget(self) -> None:
        """Drop edges that nobody has heard of for a day."""
        before = self._clock.now() - HEARD_OF
        await self._fleet.forget(before)
        for edge_id in [e for e, member in self._members.items() if member.last_seen_at < before]:
            del self._members[edge_id]
            self._anywhere.pop(edge_id, None)

    def _merge(self, stored: list[Member]) -> None:
        for member in stored:
            known = self._members.get(member.report.edge_id)
            if known is not None and known.last_seen_at >= member.last_seen_at:
                member = msgspec.structs.replace(known, draining=member.draining)
            self._members[member.report.edge_id] = member
        self._standings_at = None

    async def _save(self) -> None:
        saving, self._unsaved = self._unsaved, set()
        if not saving:
            return
        try:
            await self._fleet.save([self._members[edge_id] for edge_id in saving if edge_id in self._members])
        except Exception as error:  # the next round tries again
            _log.warning("fleet.not_saved", error=repr(error))
            self._unsaved |= saving

    def _current_standings(self, now: datetime) -> list[Standing]:
        if self._standings_at is None or not timedelta(0) <= now - self._standings_at < _STANDINGS_LAST:
            found = (self._standing(member, now.timestamp()) for member in self._members.values())
            self._standings = [edge for edge in found if edge is not None]
            self._standings_at = now
        return self._standings

    def _standing(self, member: Member, now_s: float) -> Standing | None:
        failing_share = failing(self._anywhere.get(member.report.edge_id), now_s)
        return standing(member, self._health(member), failing_share)

    def _experiences(self, network: str) -> dict[EdgeId, Experience]:
        """What one network saw; the network heard of longest ago makes room."""
        known = self._here.pop(network, {})
        if len(known) >= _EDGES_A_NETWORK:
            known = dict(islice(known.items(), len(known) // 2, None))
        self._here[network] = known
        if len(self._here) > _NETWORKS:
            del self._here[next(iter(self._here))]
        return known

    def _health(self, member: Member) -> Health:
        health = health_of(member, self._clock.now(), self._started_at)
        if health == "gone" and self._is_blind:  # another instance may hear it: it goes last, unless it was gone before
            before = health_of(member, self._read_at, self._started_at)
            return "gone" if before == "gone" else "degraded"
        return health

    def _edge(self, member: Member) -> Edge:
        return Edge(report=member.report, health=self._health(member), last_seen_at=member.last_seen_at)
