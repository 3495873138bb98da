"""The bandwidth of clients' networks, from which a player chooses its first rendition."""

from __future__ import annotations

from collections import OrderedDict

from matinee.kit.network import to_network

# The share of the measured bandwidth to start with: a late first segment is worse than a soft first picture. With this
# share a first segment of 4 s takes at most 1.4 s, and the second one already has the quality that the network allows.
SAFETY_FACTOR = 0.35
_WEIGHT = 0.3
_LOWEST_BPS, _HIGHEST_BPS = 300_000, 20_000_000


class BandwidthHistory:
    """Moving averages of measured bandwidth for the most recent networks; kept in memory only."""

    def __init__(self, *, default_bps: int, limit: int = 20_000) -> None:
        self._default_bps = default_bps
        self._limit = limit
        self._averages: OrderedDict[str, float] = OrderedDict()

    def record(self, client_ip: str, bandwidth_bps: int) -> None:
        """Add a player's measurement."""
        network = to_network(client_ip)
        average = self._averages.get(network, float(bandwidth_bps))
        self._averages[network] = average + _WEIGHT * (bandwidth_bps - average)
        self._averages.move_to_end(network)
        if len(self._averages) > self._limit:
            self._averages.popitem(last=False)

    def estimate_start_bps(self, client_ip: str) -> int:
        """Estimate the bandwidth that a player can start with."""
        average = self._averages.get(to_network(client_ip))
        if average is None:
            return self._default_bps
        return round(min(max(average * SAFETY_FACTOR, _LOWEST_BPS), _HIGHEST_BPS))
