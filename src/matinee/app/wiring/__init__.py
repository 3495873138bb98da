"""Settings in, objects out: the one place where adapters are chosen and parts are put together."""

from matinee.app.wiring.fabric import Clients, Fabric, clients, fabric
from matinee.app.wiring.host import host, waiting

__all__ = ["Clients", "Fabric", "clients", "fabric", "host", "waiting"]
