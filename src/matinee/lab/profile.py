"""The distributed profile: a deployment on real engines, which `matinee up` starts on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from matinee.app.settings import default_keys, flatten, read_stored, replace_values, store_values
from matinee.app.supervisor import MAX_EARLY_EXITS, Program, Supervisor
from matinee.lab.engines import ENGINES, Engine, EngineFailed, EngineLocation, EngineMissing, open_location
from matinee.lab.engines.fetch import fetch
from matinee.mesh.hosting.settings import BadSettings, Settings

START_S = 180.0
POLL_S = 0.25
# Two instances of each group, so that one may fail at any time.
DEPLOYMENT_SETTINGS = {
    "deployment.groups": "gateway;playback,steering,identity,licensing;catalogue,viewing,events;encoding",
    "deployment.instances": 2,
}
# The engine and namespace of each setting.
ENGINE_SETTINGS = {
    "mesh.registry": ("etcd", "mesh"),
    "mesh.schedules": ("mariadb", "schedules"),
    "events.log": ("kafka", "matinee"),
    "identity.store": ("mariadb", "identity"),
    "identity.sessions": ("redis", "identity"),
    "identity.throttle": ("redis", "identity"),
    "catalogue.store": ("mariadb", "catalogue"),
    "catalogue.read_model": ("cassandra", "catalogue"),
    "cache.engine": ("memcached", "matinee"),
    "licensing.store": ("mariadb", "licensing"),
    "encoding.store": ("mariadb", "encoding"),
    "steering.store": ("mariadb", "steering"),
    "viewing.store": ("cassandra", "viewing"),
    "search.index": ("opensearch", "search"),
    "search.store": ("mariadb", "search"),
    "playback.store": ("redis", "playback"),
    "objects.store": ("s3", "objects"),
    "gateway.uploads": ("s3", "objects/uploads"),  # below the object store, where workers fetch them
}


class LocalEngines:
    """Engines on this machine, for `matinee up`."""

    def check(self, settings: Settings, report: Callable[[str], None]) -> None:
        """Check that the deployment can be started; fetch the engines that this machine lacks.

        Raises BadSettings if the data directory belongs to the other profile, EngineMissing.
        """
        if settings.deployment.profile == "embedded":
            if read_stored(settings.data).get("deployment.profile") == "distributed":
                raise BadSettings(
                    detail=f"{settings.data} belongs to the distributed profile: name another directory with --data."
                )
            return
        for name, reason in fetch(sorted({ENGINE_SETTINGS[key][0] for key in _own_settings(settings)}), report).items():
            raise EngineMissing(engine=name, detail=reason)

    async def start(self, settings: Settings, supervisor: Supervisor) -> Settings:
        """Start an engine for each setting that was left at its default; return the settings that point to them.

        The addresses are stored in the data directory, so that later starts and other commands use the same ones.
        """
        keys = _own_settings(settings)
        locations = {name: _location(settings, name) for name in sorted({ENGINE_SETTINGS[key][0] for key in keys})}
        await asyncio.gather(*(_start(ENGINES[name], location, supervisor) for name, location in locations.items()))
        values: dict[str, Any] = {"deployment.profile": "distributed"}
        for key in keys:
            name, namespace = ENGINE_SETTINGS[key]
            values[key] = await asyncio.to_thread(ENGINES[name].url, locations[name], namespace)
        defaults = default_keys(settings)
        values |= {key: value for key, value in DEPLOYMENT_SETTINGS.items() if key in defaults}
        store_values(settings.data, read_stored(settings.data) | values)
        return replace_values(settings, values)


def _own_settings(settings: Settings) -> list[str]:
    """Return the settings that point, or will point, to engines of this deployment."""
    defaults, stored = default_keys(settings), read_stored(settings.data)
    return [key for key in ENGINE_SETTINGS if key in defaults or stored.get(key) == flatten(settings)[key]]


def _location(settings: Settings, name: str) -> EngineLocation:
    return open_location(settings.data / "engines" / name, ENGINES[name].ports)


async def _start(engine: Engine, location: EngineLocation, supervisor: Supervisor) -> None:
    if await asyncio.to_thread(engine.is_ready, location):
        return  # `matinee lab engines up` has started it
    await asyncio.to_thread(engine.prepare, location)
    await supervisor.start(
        Program(
            name=engine.name, command=engine.command(location), environment=engine.environment(location), lifeline=False
        )
    )
    deadline_s = asyncio.get_running_loop().time() + START_S
    while not await asyncio.to_thread(engine.is_ready, location):
        if asyncio.get_running_loop().time() > deadline_s:
            raise _failure(engine, "did not start", supervisor)
        if any(status.restarts >= MAX_EARLY_EXITS for status in supervisor.statuses() if status.name == engine.name):
            raise _failure(engine, "exits repeatedly", supervisor)
        await asyncio.sleep(POLL_S)


def _failure(engine: Engine, reason: str, supervisor: Supervisor) -> EngineFailed:
    detail = f"{engine.name} {reason} (log: {supervisor.log_file(engine.name)})"
    return EngineFailed(engine=engine.name, detail=detail)
