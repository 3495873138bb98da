"""The instances of all services, from the mesh's registry."""

from __future__ import annotations

from matinee.gateway.api.operator import ServiceView
from matinee.kit.clock import Clock
from matinee.mesh.membership import Directory


class RegistryInstances:
    """Implements `Instances` by this process's copy of the registry."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock

    async def services(self) -> list[ServiceView]:
        """Return every instance of every service."""
        await self._directory.refresh()
        now = self._clock.now()
        return [
            ServiceView(
                service=service,
                instance_id=instance.instance_id,
                address=instance.address,
                state="draining" if instance.draining else "serving",
                renewed_at=now,
            )
            for instance in self._directory.instances
            for service in instance.services
        ]
