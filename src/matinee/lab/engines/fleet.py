"""Several engines in one folder, started and stopped together."""

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
Report: TypeAlias = Callable[[str], None]


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status of an engine for `matinee lab engines status`; its URL is without the password."""

    name: str
    version: str
    state: State
    url: str
    pid: int
    memory_bytes: int


class Fleet:
    """The engines of a folder, each in a subfolder. They continue to run when this process ends."""

    def __init__(self, folder: Path, known: Mapping[str, Engine] = ENGINES) -> None:
        self.folder = folder.absolute()
        self._known = known
        self._stopping = threading.Event()

    def up(self, names: Iterable[str], report: Report) -> dict[str, EngineProcess]:
        """Start engines in parallel, but Java engines one after another. Idempotent.

        Raises the error of the first that failed, after stopping those that this call has started.
        """
        wanted = list(names)
        groups = [[name] for name in wanted if name not in JVMS] + [[name for name in wanted if name in JVMS]]
        engines = {name: self.engine(name) for name in wanted}
        started = [engine for engine in engines.values() if not engine.pid]
        with ThreadPoolExecutor(len(groups)) as threads:
            starts = [threads.submit(self._start, [engines[name] for name in group], report) for group in groups]
            try:
                for start in as_completed(starts):
                    start.result()
            except BaseException:
                self._stopping.set()
                while not all(start.done() for start in starts):  # a thread may be about to start a process
                    _for_each(started, EngineProcess.kill)
                    threading.Event().wait(0.1)
                _for_each(started, EngineProcess.stop)
                raise
        return engines

    def down(self, names: Iterable[str]) -> list[str]:
        """Stop engines; return the names of those that ran."""
        return self._stop(names, EngineProcess.stop)

    def kill(self) -> None:
        """Kill all engines."""
        self._stop(self._known, EngineProcess.kill)

    def status(self) -> list[EngineStatus]:
        """Return the status of every engine that was ever started in this folder."""
        return [_describe(self.engine(name)) for name in self._known if self._exists(name)]

    def engine(self, name: str) -> EngineProcess:
        """Return the process of an engine."""
        return EngineProcess(self._known[name], self.folder / name, tied=False)

    def write_settings(self, engine_of: Mapping[str, tuple[str, str]]) -> Path:
        """Write a `matinee.toml` with the URL of the engine and namespace of each setting, as far as they are ready.

        Only its owner may read it, because the URLs contain passwords.
        """
        lines: dict[str, list[str]] = {}
        for key, (name, namespace) in engine_of.items():
            if self._exists(name) and (engine := self.engine(name)).is_ready:
                section, _, field = key.partition(".")
                value = msgspec.json.encode(engine.url(namespace)).decode()  # TOML's strings are JSON's
                lines.setdefault(section, []).append(f"{field} = {value}")
        file = self.folder / "matinee.toml"
        file.touch(mode=0o600)
        file.chmod(0o600)
        file.write_text("\n".join("\n".join([f"[{section}]", *values, ""]) for section, values in lines.items()))
        return file

    def _stop(self, names: Iterable[str], action: Callable[[EngineProcess], None]) -> list[str]:
        ran = [engine for name in names if self._exists(name) and (engine := self.engine(name)).pid]
        _for_each(ran, action)
        return [engine.name for engine in ran]

    def _start(self, group: list[EngineProcess], report: Report) -> None:
        for engine in group:
            if self._stopping.is_set():
                return
            before = engine.pid
            engine.start()
            report(f"  {'started' if before != engine.pid else 'runs already':18} {engine.name}")

    def _exists(self, name: str) -> bool:
        return (self.folder / name / "place.json").exists()


def _for_each(fleet: list[EngineProcess], action: Callable[[EngineProcess], None]) -> None:
    with ThreadPoolExecutor(len(fleet) or 1) as threads:
        list(threads.map(action, fleet))


def _describe(engine: EngineProcess) -> EngineStatus:
    ready = engine.is_ready
    return EngineStatus(
        name=engine.name,
        version=engine.engine.version(),
        state="ready" if ready else "not answering" if engine.pid else "stopped",
        url=url.mask(engine.engine.address(engine.location)),
        pid=engine.pid,
        memory_bytes=engine.memory_bytes,
    )
