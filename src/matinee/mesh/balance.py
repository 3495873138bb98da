"""Which instance gets a call, and whether one that failed is called again. Pure: `now_s` and rng come in."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from random import Random

from matinee.mesh.api import Instance

_LEARN = 0.2
_UNKNOWN_S = 1e-3
# What was slow or broken is tried again in time: half of what is held against it is forgotten in this time.
_FORGET_S = 5.0


class Breaker:
    """Stops calling an instance that fails: after `threshold` failures in a row it opens.

    When its pause is over one call goes through as a probe: success closes it, failure doubles the pause.
    """

    def __init__(self, *, threshold: int = 5, pause_s: float = 0.5, longest_s: float = 5.0) -> None:
        self._threshold = threshold
        self._shortest_s = self._pause_s = pause_s
        self._longest_s = longest_s
        self._failures = 0
        self._opens_again_s = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether it holds calls back, but for probes."""
        return self._failures >= self._threshold

    def allows(self, now_s: float) -> bool:
        """Whether a call may be made now."""
        return not self.is_open or (now_s >= self._opens_again_s and not self._probing)

    def begin(self) -> None:
        """A call is made; under an open breaker it is the probe."""
        self._probing = self.is_open

    def succeed(self) -> None:
        """A call was answered."""
        self._failures, self._probing, self._pause_s = 0, False, self._shortest_s

    def abstain(self) -> None:
        """A call ended in a way that says nothing of the instance."""
        self._probing = False

    def fail(self, now_s: float) -> None:
        """A call was not answered."""
        if self._probing:
            self._pause_s = min(self._pause_s * 2, self._longest_s)
        self._failures, self._probing = self._failures + 1, False
        self._opens_again_s = now_s + self._pause_s


class Peer:
    """What is known of one instance by having called it."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.breaker = Breaker()
        self.in_flight = 0
        self.draining = instance.draining
        self._latency_s = 0.0
        self._heard_s = 0.0

    def cost(self, now_s: float) -> float:
        """How long a call would about take: calls under way and the new one, each as long as they took lately."""
        lately_s = self._latency_s * math.exp2((self._heard_s - now_s) / _FORGET_S)
        return (self.in_flight + 1) * max(lately_s, _UNKNOWN_S)

    def took(self, seconds: float, now_s: float) -> None:
        """Learn from how long an answer took, or a failure was waited for."""
        self._latency_s += (seconds - self._latency_s) * (_LEARN if self._latency_s else 1.0)
        self._heard_s = now_s


class Peers:
    """Every instance heard of, kept in step with the registry."""

    def __init__(self) -> None:
        self._peers: dict[str, Peer] = {}
        self._seen: tuple[Instance, ...] = ()

    def follow(self, instances: tuple[Instance, ...]) -> None:
        """Take the registry's list: what is known of an instance stays as long as it is listed."""
        if instances is self._seen:
            return
        self._seen = instances
        before, self._peers = self._peers, {}
        for instance in instances:
            peer = before.get(instance.instance_id) or Peer(instance)
            peer.draining = instance.draining or (peer.draining and not peer.instance.draining)
            peer.instance = instance
            self._peers[instance.instance_id] = peer

    def pick(self, service: str, *, avoid: Collection[Peer], now_s: float, rng: Random) -> Peer | None:
        """The cheaper of two drawn at random from those that take calls; an avoided one only if there is no other."""
        able = [p for p in self._serving(service) if p.breaker.allows(now_s)]
        fresh = [p for p in able if p not in avoid] if avoid else able
        drawn = fresh or able
        if len(drawn) > 2:
            drawn = rng.sample(drawn, 2)
        return min(drawn, key=lambda peer: peer.cost(now_s), default=None)

    def others(self, service: str, peer: Peer) -> bool:
        """Whether another instance could take the call."""
        return any(other is not peer for other in self._serving(service))

    def _serving(self, service: str) -> Iterable[Peer]:
        return (p for p in self._peers.values() if service in p.instance.services and not p.draining)
