"""Client networks. Measurements of one client are taken to apply to the other clients of its network."""

from __future__ import annotations

import ipaddress
from functools import lru_cache


@lru_cache(maxsize=16_384)
def to_network(client_ip: str) -> str:
    """Return the network of an address: its /24 for IPv4, its /48 for IPv6, and "" for text that is no address."""
    try:
        address = ipaddress.ip_address(client_ip.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return f"{ipaddress.ip_network((int(address) >> 80 << 80, 48)).network_address}/48"
        address = address.ipv4_mapped
    return f"{ipaddress.ip_address(int(address) >> 8 << 8)}/24"
