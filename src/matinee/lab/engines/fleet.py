"""Several engines in one folder, started and stopped together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Literal

import msgspec

from matinee.kit import url
from matinee.lab.engines.engine import Engine
from matinee.lab.engines.known import ENGINES
from matinee.lab.engines.process import EngineProcess
from matinee.lab.engines.sources import Jars, Report


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status of an engine for `matinee lab engines status`; its URL is without the password."""

    name: str
    version: str
    state: Literal["ready", "not answering", "stopped"]
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
        """Start engines in parallel, but Java engines, each of which takes a processor, one after another. Idempotent.

        Raises the error of the first that failed, after stopping those that this call has started.
        """
        engines = {name: EngineProcess(self._known[name], self.folder / name, tied=False) for name in names}
        on_java = [engine for engine in engines.values() if isinstance(engine.engine.source, Jars)]
        groups = [[engine] for engine in engines.values() if engine not in on_java] + [on_java]
        started = [engine for engine in engines.values() if not engine.pid]
        with ThreadPoolExecutor(len(groups)) as threads:
            starts = [threads.submit(self._start, group, report) for group in groups]
            try:
                for start in as_completed(starts):
                    start.result()
            except BaseException:
                self._stopping.set()
                while not all(start.done() for start in starts):  # a thread may be about to start a process
                    for_each(EngineProcess.kill, started)
                    threading.Event().wait(0.1)
                for_each(EngineProcess.stop, started)
                raise
        return engines

    def down(self, names: Iterable[str]) -> list[str]:
        """Stop engines; return the names of those that ran."""
        running = [engine for engine in self._open(names) if engine.pid]
        for_each(EngineProcess.stop, running)
        return [engine.name for engine in running]

    def kill(self) -> None:
        """Kill all engines."""
        for_each(EngineProcess.kill, self._open(self._known))

    def status(self) -> list[EngineStatus]:
        """Return the status of every engine that was ever started in this folder."""
        return [_describe(engine) for engine in self._open(self._known)]

    def write_settings(self, engine_of: Mapping[str, tuple[str, str]]) -> Path:
        """Write a `matinee.toml` with the URL of the engine and namespace of each setting, as far as they are ready.

        Only its owner may read it, because the URLs contain passwords.
        """
        ready = {engine.name: engine for engine in self._open(self._known) if engine.is_ready}
        sections: dict[str, list[str]] = {}
        for key, (name, namespace) in engine_of.items():
            if engine := ready.get(name):
                section, _, field = key.partition(".")
                value = msgspec.json.encode(engine.url(namespace)).decode()  # TOML's strings are JSON's
                sections.setdefault(section, []).append(f"{field} = {value}")
        file = self.folder / "matinee.toml"
        file.touch(mode=0o600)
        file.chmod(0o600)
        file.write_text("\n".join("\n".join([f"[{section}]", *lines, ""]) for section, lines in sections.items()))
        return file

    def _open(self, names: Iterable[str]) -> list[EngineProcess]:
        """Return those of some engines that were ever started in this folder."""
        folders = {name: self.folder / name for name in names}
        return [
            EngineProcess(self._known[name], folder, tied=False)
            for name, folder in folders.items()
            if (folder / "place.json").exists()
        ]

    def _start(self, group: list[EngineProcess], report: Report) -> None:
        for engine in group:
            if self._stopping.is_set():
                return
            before = engine.pid
            engine.start()
            report(f"  {'started' if before != engine.pid else 'runs already':18} {engine.name}")


def for_each(action: Callable[[EngineProcess], object], engines: list[EngineProcess]) -> None:
    """Do something to several engines in parallel."""
    with ThreadPoolExecutor(len(engines) or 1) as threads:
        list(threads.map(action, engines))


def _describe(engine: EngineProcess) -> EngineStatus:
    return EngineStatus(
        name=engine.name,
        version=engine.engine.version(),
        state="ready" if engine.is_ready else "not answering" if engine.pid else "stopped",
        url=url.mask(engine.engine.address(engine.location)),
        pid=engine.pid,
        memory_bytes=engine.memory_bytes,
    )
