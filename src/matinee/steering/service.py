"""The service of steering: the fleet is in memory, and ranking reads no store."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice

import msgspec

from matinee.kit import log
from matinee.kit.clock import BoundedTimes, Clock
from matinee.kit.ids import EdgeId
from matinee.kit.network import to_network
from matinee.steering.api import Edge, EdgeNotFound, EdgeReport, Health, NoEdge, RankedEdge
from matinee.steering.model import (
    RETENTION,
    Candidate,
    Experience,
    FleetMember,
    add_outcome,
    assess_health,
    counts_for_all,
    estimate_failures,
    rank,
    to_candidate,
)
from matinee.steering.ports import FleetStore

_log = log.get()
_CANDIDATES_TTL = timedelta(milliseconds=500)
_MAX_NETWORKS = 50_000
_MAX_EDGES_PER_NETWORK = 64
_RETRY_AFTER_MS = 2000
# Less than the time for which a stored heartbeat is trusted after a start (`model.assess_health`).
SAVE_INTERVAL = timedelta(seconds=30)


class SteeringService:
    """Implements `Steering`. Several instances share a `FleetStore` and exchange edges by `synchronise`.

    A single instance stores reports only for the case that it starts again, and so seldom.

    The outcomes of requests (`observe`) stay in the instance that received them, and move an edge up or down in its
    ranking; of several instances each learns from its share. Health and draining are known to all instances.
    """

    def __init__(self, *, fleet: FleetStore, clock: Clock) -> None:
        self._fleet = fleet
        self._clock = clock
        self._started_at = clock.now()
        self._members: dict[EdgeId, FleetMember] = {}
        self._unsaved: set[EdgeId] = set()
        self._has_read = False
        self._read_at = self._saved_at = self._started_at
        self._is_store_unavailable = False  # then heartbeats at other instances are unknown
        self._last_seen = BoundedTimes()
        self._candidates: list[Candidate] = []
        self._candidates_at: datetime | None = None
        self._experiences: dict[EdgeId, Experience] = {}
        self._experiences_by_network: dict[str, dict[EdgeId, Experience]] = {}

    async def heartbeat(self, *, report: EdgeReport) -> Health:
        if not self._has_read:
            await self.synchronise()
        known = self._members.get(report.edge_id)
        member = FleetMember(
            report=report, last_seen_at=self._clock.now(), draining=known is not None and known.draining
        )
        self._members[report.edge_id] = member
        self._unsaved.add(report.edge_id)
        self._candidates_at = None
        if known is None or known.report.base_url != report.base_url:
            await self._save()  # a new edge is shared at once; other reports wait for `synchronise`
        return self._assess_health(member)

    async def rank(
        self, *, client_ip: str, region: str = "local", avoid: tuple[EdgeId, ...] = (), limit: int = 3
    ) -> list[RankedEdge]:
        if not self._has_read:
            await self.synchronise()
        now = self._clock.now()
        network = to_network(client_ip)
        edges = rank(
            self._list_candidates(now),
            network=network or client_ip,
            region=region,
            avoid=avoid,
            experiences=self._experiences_by_network.get(network, {}),
            now_s=now.timestamp(),
            limit=limit,
        )
        if not edges:
            raise NoEdge(retry_after_ms=_RETRY_AFTER_MS)
        return edges

    async def observe(self, *, client_ip: str, edge_id: EdgeId, succeeded: bool, latency_ms: int | None = None) -> None:
        if edge_id not in self._members:
            return  # deleted or unknown: no client will be sent there
        now_s = self._clock.now().timestamp()
        latency_ms = None if latency_ms is None or latency_ms < 0 else latency_ms
        own = self._find_experiences(to_network(client_ip))
        counts = counts_for_all(own.get(edge_id), now_s, succeeded=succeeded)
        for experiences in (own, self._experiences) if counts else (own,):
            before = experiences.get(edge_id, Experience(at_s=now_s))
            experiences[edge_id] = add_outcome(before, now_s, succeeded=succeeded, latency_ms=latency_ms)

    async def list_edges(self) -> list[Edge]:
        if not self._has_read:
            await self.synchronise()
        since = self._clock.now() - RETENTION
        edges = (self._to_edge(member) for member in self._members.values() if member.last_seen_at >= since)
        return sorted(edges, key=lambda edge: edge.report.edge_id)

    async def drain(self, *, edge_id: EdgeId, draining: bool) -> Edge:
        await self.synchronise()
        if edge_id not in self._members or not await self._fleet.set_draining(edge_id, draining):
            raise EdgeNotFound(edge_id=edge_id)
        member = msgspec.structs.replace(self._members[edge_id], draining=draining)
        self._members[edge_id] = member
        self._candidates_at = None
        return self._to_edge(member)

    async def synchronise(self) -> None:
        """Store new reports and load those of other instances. The fleet stays as it is if the store is unavailable."""
        now = self._clock.now()
        self._bound_times(now)
        if self._has_read and not self._fleet.is_shared and now - self._saved_at < SAVE_INTERVAL:
            return
        self._saved_at = now
        await self._save()
        try:
            stored = await self._fleet.load(self._clock.now() - RETENTION)
        except Exception as error:  # ranking continues from memory
            self._is_store_unavailable = True
            _log.warning("fleet.load_failed", error=repr(error))
            return
        self._has_read, self._is_store_unavailable, self._read_at = True, False, self._clock.now()
        self._merge(stored)

    async def delete_inactive(self) -> None:
        """Delete edges that sent no heartbeat for a day."""
        before = self._clock.now() - RETENTION
        await self._fleet.delete_inactive(before)
        for edge_id in [e for e, member in self._members.items() if member.last_seen_at < before]:
            del self._members[edge_id]
            self._experiences.pop(edge_id, None)

    def _bound_times(self, now: datetime) -> None:
        """Replace times that are ahead of now by now: the clock was ahead."""
        self._started_at, self._read_at = min(self._started_at, now), min(self._read_at, now)
        self._saved_at = min(self._saved_at, now)
        for edge_id, member in self._members.items():
            if member.last_seen_at > now:
                self._members[edge_id] = msgspec.structs.replace(member, last_seen_at=now)

    def _merge(self, stored: list[FleetMember]) -> None:
        now = self._clock.now()
        self._last_seen.keep_only({member.report.edge_id for member in stored})
        for member in stored:
            last_seen_at = self._last_seen.limit(member.report.edge_id, member.last_seen_at, now)
            member = msgspec.structs.replace(member, last_seen_at=last_seen_at)
            known = self._members.get(member.report.edge_id)
            if known is not None and known.last_seen_at >= member.last_seen_at:
                member = msgspec.structs.replace(known, draining=member.draining)
            self._members[member.report.edge_id] = member
        self._candidates_at = None

    async def _save(self) -> None:
        saving, self._unsaved = self._unsaved, set()
        if not saving:
            return
        try:
            await self._fleet.save([self._members[edge_id] for edge_id in saving if edge_id in self._members])
        except Exception as error:  # the next round retries
            _log.warning("fleet.save_failed", error=repr(error))
            self._unsaved |= saving

    def _list_candidates(self, now: datetime) -> list[Candidate]:
        if self._candidates_at is None or not timedelta(0) <= now - self._candidates_at < _CANDIDATES_TTL:
            found = (self._to_candidate(member, now.timestamp()) for member in self._members.values())
            self._candidates = [edge for edge in found if edge is not None]
            self._candidates_at = now
        return self._candidates

    def _to_candidate(self, member: FleetMember, now_s: float) -> Candidate | None:
        failure_share = estimate_failures(self._experiences.get(member.report.edge_id), now_s, of_all=True)
        return to_candidate(member, self._assess_health(member), failure_share)

    def _find_experiences(self, network: str) -> dict[EdgeId, Experience]:
        """Return the experiences of a network; the least recently used network is removed when there are too many."""
        known = self._experiences_by_network.pop(network, {})
        if len(known) >= _MAX_EDGES_PER_NETWORK:
            known = dict(islice(known.items(), len(known) // 2, None))
        self._experiences_by_network[network] = known
        if len(self._experiences_by_network) > _MAX_NETWORKS:
            del self._experiences_by_network[next(iter(self._experiences_by_network))]
        return known

    def _assess_health(self, member: FleetMember) -> Health:
        health = assess_health(member, self._clock.now(), self._started_at)
        if health == Health.UNAVAILABLE and self._is_store_unavailable:  # another instance may receive its heartbeats
            before = assess_health(member, self._read_at, self._started_at)
            return before if before == Health.UNAVAILABLE else Health.DEGRADED
        return health

    def _to_edge(self, member: FleetMember) -> Edge:
        return Edge(report=member.report, health=self._assess_health(member), last_seen_at=member.last_seen_at)
