"""How fast a viewer's network was lately: what a player should begin with."""

from __future__ import annotations

from collections import OrderedDict

from matinee.kit.network import to_network

# Of what was measured, a part: a first segment that comes late costs more than a first picture that is a little soft.
PRUDENCE = 0.6
_WEIGHT = 0.3
_LOWEST_BPS, _HIGHEST_BPS = 300_000, 20_000_000


class Networks:
    """Moving averages of what players measured, for the networks heard of last. A hint: lost with the process."""

    def __init__(self, *, default_bps: int, limit: int = 20_000) -> None:
        self._default_bps = default_bps
        self._limit = limit
        self._seen: OrderedDict[str, float] = OrderedDict()

    def learn(self, client_ip: str, bandwidth_bps: int) -> None:
        """Take in what a player measured."""
        network = to_network(client_ip)
        before = self._seen.get(network, float(bandwidth_bps))
        self._seen[network] = before + _WEIGHT * (bandwidth_bps - before)
        self._seen.move_to_end(network)
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)

    def start_bps(self, client_ip: str) -> int:
        """What to begin with on this network."""
        seen = self._seen.get(to_network(client_ip))
        if seen is None:
            return self._default_bps
        return round(min(max(seen * PRUDENCE, _LOWEST_BPS), _HIGHEST_BPS))
