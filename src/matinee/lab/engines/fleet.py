"""Several engines in one folder, started and ended together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from matinee.kit import url
from matinee.lab.engines.engine import Engine
from matinee.lab.engines.known import ENGINES, JVMS
from matinee.lab.engines.process import EngineProcess

State: TypeAlias = Literal["ready", "not answering", "stopped"]
Say = Callable[[str], None]


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One engine as `matinee lab engines status` shows it; its URL without the password."""

    name: str
    version: str
    state: State
    url: str
    pid: int
    memory_bytes: int


class Fleet:
    """The engines of a folder, each in a folder of its own there. They stay when this process ends."""

    def __init__(self, folder: Path, known: Mapping[str, Engine] = ENGINES) -> None:
        self.folder = folder.absolute()
        self._known = known
        self._ending = threading.Event()

    def up(self, names: Iterable[str], say: Say) -> dict[str, EngineProcess]:
        """Start these side by side, but one Java engine after the other. Idempotent.

        Raises what the first that failed raised; then, and when it is interrupted, what this call started is ended.
        """
        wanted = list(names)
        groups = [[name] for name in wanted if name not in JVMS] + [[name for name in wanted if name in JVMS]]
        fleet = {name: self.running(name) for name in wanted}
        began = [running for running in fleet.values() if not running.pid]
        with ThreadPoolExecutor(len(groups)) as threads:
            starts = [threads.submit(self._start, [fleet[name] for name in group], say) for group in groups]
            try:
                for start in as_completed(starts):
                    start.result()
            except BaseException:
                self._ending.set()
                while not all(start.done() for start in starts):  # one may be about to start a process
                    _each(began, EngineProcess.kill)
                    threading.Event().wait(0.1)
                _each(began, EngineProcess.stop)
                raise
        return fleet

    def down(self, names: Iterable[str]) -> list[str]:
        """Ask these to end; tells which of them ran."""
        return self._end(names, EngineProcess.stop)

    def kill(self) -> None:
        """End all at once."""
        self._end(self._known, EngineProcess.kill)

    def status(self) -> list[EngineStatus]:
        """Every engine that was ever started here."""
        return [_describe(self.running(name)) for name in self._known if self._is_here(name)]

    def running(self, name: str) -> EngineProcess:
        """One of them."""
        return EngineProcess(self._known[name], self.folder / name, tied=False)

    def write_settings(self, keepers: Mapping[str, tuple[str, str]]) -> Path:
        """Write a `matinee.toml` that points each setting at the engine and namespace that keep it, if it is ready.

        Its owner alone may read it, since the URLs hold passwords.
        """
        lines: dict[str, list[str]] = {}
        for key, (name, namespace) in keepers.items():
            if self._is_here(name) and (running := self.running(name)).is_ready:
                section, _, field = key.partition(".")
                value = msgspec.json.encode(running.url(namespace)).decode()  # TOML's strings are JSON's
                lines.setdefault(section, []).append(f"{field} = {value}")
        file = self.folder / "matinee.toml"
        file.touch(mode=0o600)
        file.chmod(0o600)
        file.write_text("\n".join("\n".join([f"[{section}]", *said, ""]) for section, said in lines.items()))
        return file

    def _end(self, names: Iterable[str], deed: Callable[[EngineProcess], None]) -> list[str]:
        ran = [running for name in names if self._is_here(name) and (running := self.running(name)).pid]
        _each(ran, deed)
        return [running.name for running in ran]

    def _start(self, group: list[EngineProcess], say: Say) -> None:
        for running in group:
            if self._ending.is_set():
                return
            before = running.pid
            running.start()
            say(f"  {'started' if before != running.pid else 'runs already':18} {running.name}")

    def _is_here(self, name: str) -> bool:
        return (self.folder / name / "place.json").exists()


def _each(fleet: list[EngineProcess], deed: Callable[[EngineProcess], None]) -> None:
    with ThreadPoolExecutor(len(fleet) or 1) as threads:
        list(threads.map(deed, fleet))


def _describe(running: EngineProcess) -> EngineStatus:
    ready = running.is_ready
    return EngineStatus(
        name=running.name,
        version=running.engine.version(),
        state="ready" if ready else "not answering" if running.pid else "stopped",
        url=url.mask(running.engine.address(running.location)),
        pid=running.pid,
        memory_bytes=running.memory_bytes,
    )
