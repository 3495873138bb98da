"""The rules of steering: the health of edges, and their ranking for a client."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from operator import itemgetter

import msgspec

from matinee.kit.clock import CLOCK_SKEW
from matinee.kit.ids import EdgeId
from matinee.steering.api import EdgeReport, Health, RankedEdge

HEARTBEAT_S = 2.0
DEGRADED_AFTER_S = 3 * HEARTBEAT_S
UNAVAILABLE_AFTER_S = 5 * HEARTBEAT_S
RETENTION = timedelta(days=1)
# If an edge's last heartbeat is at most this much older than the start of this instance, missed ones are not counted.
_GRACE_BEFORE_START_S = 60.0

HALF_LIFE_S = 600.0
_PRIOR_TRIES = 2.0  # assumed successful tries, so that a single failure has a small effect
_PRIOR_TRIES_OF_ALL = 20.0  # as many that the failures of a single network do not change the ranking for others
_FORGOTTEN = 0.5
_FULL_FROM = 0.8
_STEP = 0.1  # costs are rounded to this, and edges of equal cost share the clients

_COST_BY_HEALTH = {Health.HEALTHY: 0.0, Health.DEGRADED: 4.0, Health.DRAINING: 8.0}
_COST_AVOIDED = 100.0
_COST_OTHER_REGION = 0.5
_COST_FULL = 5.0
_COST_FAILURES_IN_NETWORK = 3.0
_COST_FAILURES = 1.0
_COST_PER_SECOND = 0.5


class FleetMember(msgspec.Struct, frozen=True, kw_only=True):
    """An edge as stored."""

    report: EdgeReport
    last_seen_at: datetime
    draining: bool = False


class Experience(msgspec.Struct, frozen=True):
    """The outcomes of requests to an edge as of `at_s`; the counts halve every `HALF_LIFE_S`."""

    tried: float = 0.0
    failed: float = 0.0
    latency_ms: float | None = None
    at_s: float = 0.0


class Candidate(msgspec.Struct, frozen=True):
    """An edge as ranking needs it, computed once for many clients."""

    edge_id: EdgeId
    base_url: str
    region: str
    cost: float
    spare: float
    seed: int


def assess_health(member: FleetMember, now: datetime, started_at: datetime | None = None) -> Health:
    """Return an edge's health by its missed heartbeats and its own report.

    `started_at` is when this instance began to receive heartbeats: earlier ones do not count as missed.
    """
    silent_s = (now - member.last_seen_at).total_seconds()
    if started_at is not None and (started_at - member.last_seen_at).total_seconds() < _GRACE_BEFORE_START_S:
        silent_s = min(silent_s, max(0.0, (now - started_at).total_seconds()))
    if silent_s > UNAVAILABLE_AFTER_S:
        return Health.UNAVAILABLE
    if member.draining:
        return Health.DRAINING
    return Health.HEALTHY if member.report.healthy and silent_s <= DEGRADED_AFTER_S else Health.DEGRADED


def to_candidate(member: FleetMember, health: Health, failure_share: float = 0.0) -> Candidate | None:
    """Return an edge's candidate for all clients; None for an unavailable one. `failure_share` is of all clients."""
    if health == Health.UNAVAILABLE:
        return None
    report = member.report
    load = min(1.0, max(0.0, report.load))
    cost = (
        _COST_BY_HEALTH[health]
        + _COST_FAILURES * failure_share
        + max(0.0, load - _FULL_FROM) / (1 - _FULL_FROM) * _COST_FULL
    )
    spare = max(0.1, round(1 - load, 1))
    return Candidate(report.edge_id, report.base_url, report.region, cost, spare, _compute_seed(report.edge_id))


def add_outcome(before: Experience, now_s: float, *, succeeded: bool, latency_ms: int | None) -> Experience:
    """Return an experience with one more request."""
    decay = _compute_decay(before, now_s)
    average_ms = before.latency_ms
    if latency_ms is not None:
        average_ms = float(latency_ms) if average_ms is None else average_ms + (latency_ms - average_ms) * 0.3
    failed = before.failed * decay + (0.0 if succeeded else 1.0)
    return Experience(before.tried * decay + 1.0, failed, average_ms, now_s)


def estimate_failures(experience: Experience | None, now_s: float, *, of_all: bool = False) -> float:
    """Return the estimated share of requests that fail, from 0 to 1: those of one network, or `of_all`."""
    if experience is None:
        return 0.0
    decay = _compute_decay(experience, now_s)
    prior = _PRIOR_TRIES_OF_ALL if of_all else _PRIOR_TRIES
    return experience.failed * decay / (experience.tried * decay + prior)


def counts_for_all(before: Experience | None, now_s: float, *, succeeded: bool) -> bool:
    """Return whether a network's report counts for all clients; `before` is the network's experience until then.

    Of failures a network's first in a while counts, because its clients may report what did not happen.
    """
    return succeeded or before is None or before.failed * _compute_decay(before, now_s) < _FORGOTTEN


def _compute_decay(experience: Experience, now_s: float) -> float:
    if experience.at_s > now_s + CLOCK_SKEW.total_seconds():  # the clock was ahead: when it was is unknown
        return 0.0
    return math.exp2(-max(0.0, now_s - experience.at_s) / HALF_LIFE_S)


def rank(
    candidates: Sequence[Candidate],
    *,
    network: str,
    region: str,
    avoid: Collection[EdgeId],
    experiences: Mapping[EdgeId, Experience],
    now_s: float,
    limit: int,
) -> list[RankedEdge]:
    """Return at most `limit` edges for a client in a network, best first.

    Edges of equal cost are ordered by rendezvous hashing, weighted by spare capacity: the order is constant for a
    network, so that caches stay warm, and differs between networks, so that load is spread.
    """
    steps: list[tuple[int, Candidate]] = []
    for edge in candidates:
        cost = edge.cost if edge.region == region else edge.cost + _COST_OTHER_REGION
        if edge.edge_id in avoid:
            cost += _COST_AVOIDED
        if (experience := experiences.get(edge.edge_id)) is not None:
            cost += _COST_FAILURES_IN_NETWORK * estimate_failures(experience, now_s)
            cost += _COST_PER_SECOND * (experience.latency_ms or 0.0) / 1000
        steps.append((round(cost / _STEP), edge))
    best = _select_first(steps, _compute_seed(network), limit)
    return [RankedEdge(edge_id=e.edge_id, base_url=e.base_url, score=round(step * _STEP, 3)) for step, e in best]


def _select_first(steps: list[tuple[int, Candidate]], seed: int, limit: int) -> list[tuple[int, Candidate]]:
    """Return the first by step, then by share; the share is computed only for edges that can be among them."""
    last = sorted([step for step, _ in steps])[: max(1, limit)][-1:]
    rows = [(step, -_compute_share(seed, edge), edge) for step, edge in steps if step <= last[0]]
    rows.sort(key=_by_step_and_share)
    return [(step, edge) for step, _, edge in rows[: max(1, limit)]]


_by_step_and_share = itemgetter(0, 1)
_MASK = 2**64 - 1


def _compute_share(seed: int, edge: Candidate) -> float:
    """Return the weight of weighted rendezvous hashing: the edge with the largest share gets the network."""
    # The mixing steps of SplitMix64: ten times as fast as a digest of both seeds.
    mixed = (seed ^ edge.seed) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 31) * 0x94D049BB133111EB & _MASK
    return -edge.spare / math.log(((mixed >> 11) + 1) / (2**53 + 1))


@lru_cache(maxsize=16_384)
def _compute_seed(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
