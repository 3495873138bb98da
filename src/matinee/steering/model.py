"""The rules of steering: whose health is what, and which edge suits a client."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from operator import itemgetter

import msgspec

from matinee.kit.ids import EdgeId
from matinee.steering.api import EdgeReport, Health, RankedEdge

BEAT_S = 2.0
DEGRADED_AFTER_S = 3 * BEAT_S
GONE_AFTER_S = 5 * BEAT_S
HEARD_OF = timedelta(days=1)
# How long an edge may have been silent before we started and still be given the time of a heartbeat to speak up.
_TRUSTED_BEFORE_START_S = 60.0

HALF_LIFE_S = 600.0
_DOUBT = 2.0  # tries that nobody made and that all succeeded: one failure alone proves little
_FULL_FROM = 0.8
_STEP = 0.1  # scores closer than this are equal, and equal edges share the clients

_COST_BY_HEALTH: dict[Health, float] = {"healthy": 0.0, "degraded": 4.0, "draining": 8.0}
_COST_AVOIDED = 100.0
_COST_OTHER_REGION = 0.5
_COST_FULL = 5.0
_COST_FAILING_HERE = 3.0
_COST_FAILING_ANYWHERE = 1.0
_COST_A_SECOND = 0.5


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """An edge of the fleet, as it is kept."""

    report: EdgeReport
    last_seen_at: datetime
    draining: bool = False


class Experience(msgspec.Struct, frozen=True):
    """What clients saw of an edge; the numbers of tries halve every `HALF_LIFE_S`, as of `at_s`."""

    tried: float = 0.0
    failed: float = 0.0
    latency_ms: float | None = None
    at_s: float = 0.0


class Standing(msgspec.Struct, frozen=True):
    """An edge as ranking needs it, worked out once for many clients."""

    edge_id: EdgeId
    base_url: str
    region: str
    cost: float
    spare: float
    seed: int


def health_of(member: Member, now: datetime, started_at: datetime | None = None) -> Health:
    """An edge's health by the heartbeats it missed and what it says of itself.

    `started_at` is when we began to listen: silence while nobody listened is not the edge's fault.
    """
    silent_s = (now - member.last_seen_at).total_seconds()
    if started_at is not None and (started_at - member.last_seen_at).total_seconds() < _TRUSTED_BEFORE_START_S:
        silent_s = min(silent_s, max(0.0, (now - started_at).total_seconds()))
    if silent_s > GONE_AFTER_S:
        return "gone"
    if member.draining:
        return "draining"
    return "healthy" if member.report.healthy and silent_s <= DEGRADED_AFTER_S else "degraded"


def standing(member: Member, health: Health, failing_share: float = 0.0) -> Standing | None:
    """How an edge stands with everybody; None for one that is gone. `failing_share` is what all clients saw."""
    if health == "gone":
        return None
    report = member.report
    load = min(1.0, max(0.0, report.load))
    cost = (
        _COST_BY_HEALTH[health]
        + _COST_FAILING_ANYWHERE * failing_share
        + max(0.0, load - _FULL_FROM) / (1 - _FULL_FROM) * _COST_FULL
    )
    spare = max(0.1, round(1 - load, 1))
    return Standing(report.edge_id, report.base_url, report.region, cost, spare, _seed(report.edge_id))


def seen(before: Experience, now_s: float, *, succeeded: bool, latency_ms: int | None) -> Experience:
    """An experience with one more try in it."""
    fading = _fading(before, now_s)
    known = before.latency_ms
    if latency_ms is not None:
        known = float(latency_ms) if known is None else known + (latency_ms - known) * 0.3
    failed = before.failed * fading + (0.0 if succeeded else 1.0)
    return Experience(before.tried * fading + 1.0, failed, known, max(now_s, before.at_s))


def failing(experience: Experience | None, now_s: float) -> float:
    """The share of tries that fail, 0 to 1; doubtful where there were few of late."""
    if experience is None:
        return 0.0
    fading = _fading(experience, now_s)
    return experience.failed * fading / (experience.tried * fading + _DOUBT)


def _fading(experience: Experience, now_s: float) -> float:
    return math.exp2(-max(0.0, now_s - experience.at_s) / HALF_LIFE_S)


def ranked(
    standings: Sequence[Standing],
    *,
    network: str,
    region: str,
    avoid: Collection[EdgeId],
    here: Mapping[EdgeId, Experience],
    now_s: float,
    limit: int,
) -> list[RankedEdge]:
    """At most `limit` edges for a client in a network, best first.

    Among equals each network has an order of its own (rendezvous hashing, weighted by spare capacity): always the
    same for one network, so caches stay warm; different from network to network, so load spreads.
    """
    steps: list[tuple[int, Standing]] = []
    for edge in standings:
        cost = edge.cost if edge.region == region else edge.cost + _COST_OTHER_REGION
        if edge.edge_id in avoid:
            cost += _COST_AVOIDED
        if (known := here.get(edge.edge_id)) is not None:
            cost += _COST_FAILING_HERE * failing(known, now_s) + _COST_A_SECOND * (known.latency_ms or 0.0) / 1000
        steps.append((round(cost / _STEP), edge))
    best = _first(steps, _seed(network), limit)
    return [RankedEdge(edge_id=e.edge_id, base_url=e.base_url, score=round(step * _STEP, 3)) for step, e in best]


def _first(steps: list[tuple[int, Standing]], seed: int, limit: int) -> list[tuple[int, Standing]]:
    """The first few by step, then by share; what cannot be among them is not looked at closely."""
    last = sorted([step for step, _ in steps])[: max(1, limit)][-1:]
    rows = [(step, -_share(seed, edge), edge) for step, edge in steps if step <= last[0]]
    rows.sort(key=_by_step_and_share)
    return [(step, edge) for step, _, edge in rows[: max(1, limit)]]


_by_step_and_share = itemgetter(0, 1)
_MASK = 2**64 - 1


def _share(seed: int, edge: Standing) -> float:
    """Weighted rendezvous hashing: the edge with the largest share gets the network."""
    # Multiply, fold, multiply: enough to make two good seeds into a third, at a tenth of a digest's price.
    mixed = (seed ^ edge.seed) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 31) * 0x94D049BB133111EB & _MASK
    return -edge.spare / math.log(((mixed >> 11) + 1) / (2**53 + 1))


@lru_cache(maxsize=16_384)
def _seed(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
