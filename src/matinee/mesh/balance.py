"""Choosing the instance for a call. Pure: the time and the random generator are passed in."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from random import Random

from matinee.kit.breaker import Breaker
from matinee.mesh.api import Instance

# Weight of the latest latency in the moving average.
_WEIGHT = 0.2
_MIN_LATENCY_S = 1e-3
# The latency of an instance that is not called halves in this time, so that a slow one is tried again.
_HALF_LIFE_S = 5.0


class Peer:
    """The state of one instance as observed by calling it."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.breaker = Breaker()
        self.in_flight = 0
        self.draining = instance.draining
        self._latency_s = 0.0
        self._observed_at_s = 0.0

    def cost(self, now_s: float) -> float:
        """Estimate the duration of a new call: the recent latency times the number of calls in flight."""
        latency_s = self._latency_s * math.exp2((self._observed_at_s - now_s) / _HALF_LIFE_S)
        return (self.in_flight + 1) * max(latency_s, _MIN_LATENCY_S)

    def observe(self, latency_s: float, now_s: float) -> None:
        """Update the latency by the duration of one call."""
        self._latency_s += (latency_s - self._latency_s) * (_WEIGHT if self._latency_s else 1.0)
        self._observed_at_s = now_s


class Peers:
    """All instances in the registry."""

    def __init__(self) -> None:
        self._peers: dict[str, Peer] = {}
        self._instances: tuple[Instance, ...] = ()

    def update(self, instances: tuple[Instance, ...]) -> None:
        """Apply the list of the registry; the state of an instance is kept while it is listed."""
        if instances is self._instances:
            return
        self._instances = instances
        previous, self._peers = self._peers, {}
        for instance in instances:
            peer = previous.get(instance.instance_id) or Peer(instance)
            peer.draining = instance.draining or (peer.draining and not peer.instance.draining)
            peer.instance = instance
            self._peers[instance.instance_id] = peer

    def pick(self, service: str, *, avoid: Collection[Peer], now_s: float, rng: Random) -> Peer | None:
        """Return the cheaper of two random instances of a service; an avoided one only when there is no other."""
        allowed = [peer for peer in self._serving(service) if peer.breaker.allows(now_s)]
        preferred = [peer for peer in allowed if peer not in avoid] if avoid else allowed
        candidates = preferred or allowed
        if len(candidates) > 2:
            candidates = rng.sample(candidates, 2)
        return min(candidates, key=lambda peer: peer.cost(now_s), default=None)

    def has_other(self, service: str, peer: Peer) -> bool:
        """Return whether another instance serves this."""
        return any(other is not peer for other in self._serving(service))

    def _serving(self, service: str) -> Iterable[Peer]:
        return (p for p in self._peers.values() if service in p.instance.services and not p.draining)
