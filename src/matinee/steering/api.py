"""The front door of steering."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from matinee.kit.ids import EdgeId
from matinee.kit.problem import Problem
from matinee.mesh.api import idempotent

Health: TypeAlias = Literal["healthy", "degraded", "draining", "gone"]
# The name of the secret by which playback signs links and edges verify them.
EDGE_LINK_KEY: Final = "edge-links.key"


class EdgeReport(msgspec.Struct, frozen=True, kw_only=True):
    """An edge's heartbeat. `load` is 0 (idle) to 1 (full); counters run since the edge started."""

    edge_id: EdgeId
    name: str
    base_url: str
    region: str = "local"
    load: float = 0.0
    open_connections: int = 0
    sent_bytes: int = 0
    hits: int = 0
    misses: int = 0
    upstream_errors: int = 0
    disk_used_bytes: int = 0
    disk_limit_bytes: int = 0
    healthy: bool = True


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """An edge as steering sees it."""

    report: EdgeReport
    health: Health
    last_seen_at: datetime


class RankedEdge(msgspec.Struct, frozen=True, kw_only=True):
    """An edge for a client, best first; a lower score is better."""

    edge_id: EdgeId
    base_url: str
    score: float


class EdgeNotFound(Problem, status=404):
    """There is no such edge."""

    edge_id: EdgeId


class NoEdge(Problem, status=503):
    """No edge can serve this just now."""

    retry_after_ms: int


class Steering(Protocol):
    """Which edges are there, and which of them a client should use."""

    @idempotent
    async def heartbeat(self, *, report: EdgeReport) -> Health:
        """Register an edge, or renew it; tells the edge how steering sees it. Idempotent."""

    @idempotent
    async def rank(
        self, *, client_ip: str, region: str = "local", avoid: tuple[EdgeId, ...] = (), limit: int = 3
    ) -> list[RankedEdge]:
        """Edges for a client by reachability, health and load. Avoided ones come last, never first. Raises NoEdge."""

    async def observe(self, *, client_ip: str, edge_id: EdgeId, succeeded: bool, latency_ms: int | None = None) -> None:
        """What a player saw of an edge: this is what reachability is reckoned from."""

    @idempotent
    async def edges(self) -> list[Edge]:
        """Every edge heard of in the last day."""

    @idempotent
    async def drain(self, *, edge_id: EdgeId, draining: bool) -> Edge:
        """Give an edge no new sessions, or give it some again. Idempotent. Raises EdgeNotFound."""
