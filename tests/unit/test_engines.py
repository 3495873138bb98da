"""Starting and ending engines, with one that is quick: a server of a few lines that keeps what it is told in a file."""

import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matinee.lab.engines import EngineFailed, EngineLocation, EngineMissing, EngineProcess
from matinee.lab.engines.engine import free_ports
from matinee.lab.engines.fleet import Fleet
from matinee.lab.engines.process import is_alive
from matinee.lab.engines.programs import require_program

SERVER = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
with open(sys.argv[2], "a+b") as kept:
    while True:
        line, _ = listener.accept()
        word = line.recv(100)
        if word != b"?":
            kept.write(word); kept.flush()
        kept.seek(0)
        line.sendall(kept.read() or b"nothing")
        line.close()
"""


class Notebook:
    """An engine that keeps words."""

    def __init__(self, name: str = "notebook", server: str = SERVER) -> None:
        self.name = name
        self.ports = ("client",)
        self._server = server

    def check(self) -> None:
        pass

    def prepare(self, location: EngineLocation) -> None:
        location.data.mkdir(exist_ok=True)

    def command(self, location: EngineLocation) -> list[str]:
        return [sys.executable, "-c", self._server, str(location.port), str(location.data / "words")]

    def environment(self, location: EngineLocation) -> dict[str, str]:
        return {}

    def is_ready(self, location: EngineLocation) -> bool:
        return asked(location, b"?") != b""

    def version(self) -> str:
        return "1"

    def address(self, location: EngineLocation) -> str:
        return f"notebook://me:{location.secret}@{location.client}"

    def url(self, location: EngineLocation, namespace: str) -> str:
        return f"{self.address(location)}/{namespace}"


def asked(location: EngineLocation, word: bytes) -> bytes:
    try:
        with socket.create_connection((location.host, location.port), timeout=1) as line:
            line.sendall(word)
            return line.recv(1000)
    except OSError:
        return b""


def quiet(words: str) -> None:
    """Nobody is told."""


def test_what_was_kept_is_there_after_a_kill_at_the_same_address(tmp_path: Path) -> None:
    with EngineProcess(Notebook(), tmp_path) as running:
        url = running.url("x")
        assert asked(running.location, b"one") == b"one"
        running.kill()
        assert running.pid == 0
        assert asked(running.location, b"?") == b""
        running.start()
        assert asked(running.location, b"?") == b"one"
        assert running.url("x") == url


def test_a_paused_engine_hangs_and_goes_on(tmp_path: Path) -> None:
    with EngineProcess(Notebook(), tmp_path) as running:
        running.pause()
        assert asked(running.location, b"?") == b""
        running.resume()
        assert asked(running.location, b"?") == b"nothing"
        running.pause()
    assert running.pid == 0


def test_two_starters_at_once_start_one(tmp_path: Path) -> None:
    starters = [EngineProcess(Notebook(), tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        pids = set(threads.map(lambda one: one.start().pid, starters))
    assert len(pids) == 1
    assert len({starter.location.secret for starter in starters}) == 1
    for starter in starters:
        starter.stop()
    assert not is_alive(pids.pop())


def test_two_who_choose_a_place_at_once_choose_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        places = list(threads.map(lambda _: EngineProcess(Notebook(), tmp_path).location, range(16)))
    assert all(location == places[0] for location in places)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["place.json"]
    assert stat.S_IMODE((tmp_path / "place.json").stat().st_mode) == 0o600


def test_a_folder_that_was_moved_is_opened_where_it_is(tmp_path: Path) -> None:
    with EngineProcess(Notebook(), tmp_path / "old") as running:
        asked(running.location, b"one")
    (tmp_path / "old").rename(tmp_path / "new")
    with EngineProcess(Notebook(), tmp_path / "new") as running:
        assert asked(running.location, b"?") == b"one"


def test_one_that_does_not_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    running = EngineProcess(Notebook(server="import sys; sys.exit('the disk is upside down')"), tmp_path)
    with pytest.raises(EngineFailed, match="the disk is upside down"):
        running.start()
    assert running.pid == 0


def test_one_that_never_answers_is_ended(tmp_path: Path) -> None:
    running = EngineProcess(Notebook(server="import time; time.sleep(600)"), tmp_path)
    with pytest.raises(EngineFailed, match="did not start"):
        running.start(limit_s=0.5)
    assert running.pid == 0


def test_a_tied_engine_ends_with_whoever_started_it(tmp_path: Path) -> None:
    words = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.unit.test_engines import Notebook, EngineProcess
from pathlib import Path
print(EngineProcess(Notebook(), Path({str(tmp_path)!r})).start().pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False)
    assert died.returncode == -signal.SIGKILL
    gone(int(died.stdout))


def test_a_fleet_stays_until_it_is_ended(tmp_path: Path) -> None:
    known = {name: Notebook(name) for name in ("a", "b")}
    pids = [running.pid for running in Fleet(tmp_path, known).up(known, quiet).values()]
    again = [running.pid for running in Fleet(tmp_path, known).up(known, quiet).values()]
    shown = Fleet(tmp_path, known).status()
    assert again == pids
    assert [(one.name, one.state, one.pid) for one in shown] == [("a", "ready", pids[0]), ("b", "ready", pids[1])]
    assert all(one.memory_bytes > 1_000_000 and ":•••@" in one.url for one in shown)
    assert Fleet(tmp_path, known).down(["a"]) == ["a"]
    assert [one.state for one in Fleet(tmp_path, known).status()] == ["stopped", "ready"]
    assert Fleet(tmp_path, known).down(known) == ["b"]
    assert not any(is_alive(pid) for pid in pids)


def test_when_one_fails_nothing_stays_that_was_started_with_it(tmp_path: Path) -> None:
    known = {"a": Notebook("a"), "b": Notebook("b"), "c": Notebook("c", "import sys; sys.exit('no')")}
    before = Fleet(tmp_path, known).up(["a"], quiet)["a"].pid
    with pytest.raises(EngineFailed, match="no"):
        Fleet(tmp_path, known).up(["a", "b", "c"], quiet)
    assert [one.state for one in Fleet(tmp_path, known).status()] == ["ready", "stopped", "stopped"]
    assert is_alive(before)
    Fleet(tmp_path, known).kill()


def test_the_settings_of_a_fleet_are_its_owners_alone(tmp_path: Path) -> None:
    known = {"a": Notebook("a")}
    fleet = Fleet(tmp_path, known)
    running = fleet.up(known, quiet)["a"]
    file = fleet.write_settings({"viewing.store": ("a", "viewing"), "events.log": ("b", "events")})
    fleet.kill()
    assert file.read_text() == f'[viewing]\nstore = "{running.url("viewing")}"\n'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_ports_are_free_and_differ() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = free_ports(("a", "b", "c"))
        assert len({*ports.values(), taken.getsockname()[1]}) == 4


def test_what_is_missing_is_named_with_how_to_get_it() -> None:
    with pytest.raises(EngineMissing, match=r"tape needs the program tape-server: (apt|brew) install tape"):
        require_program("tape-server", engine="tape", package="tape-server")


def test_the_command_says_in_one_line_what_cannot_be_fetched(tmp_path: Path) -> None:
    bare = {"PATH": str(tmp_path), "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    asked_for = [sys.executable, "-m", "matinee", "lab", "engines", "up", "kafka", "--data", str(tmp_path / "data")]
    told = subprocess.run(asked_for, env=bare, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1
    assert told.stderr.startswith("matinee: kafka")
    assert "install" in told.stderr


def gone(pid: int) -> None:
    end = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < end, "it did not end"
        time.sleep(0.02)
