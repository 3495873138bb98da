"""Starting and stopping engines, with a fast one: a server of a few lines that stores what it receives in a file."""

import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from matinee.lab.engines import Engine, EngineFailed, EngineLocation, EngineMissing, EngineProcess
from matinee.lab.engines.fleet import Fleet
from matinee.lab.engines.location import free_ports
from matinee.lab.engines.process import is_alive
from matinee.lab.engines.programs import run
from matinee.lab.engines.sources import Source

SERVER = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
with open(sys.argv[2], "a+b") as file:
    while True:
        connection, _ = listener.accept()
        word = connection.recv(100)
        if word != b"?":
            file.write(word); file.flush()
        file.seek(0)
        connection.sendall(file.read() or b"nothing")
        connection.close()
"""


def describe(name: str = "notebook", server: str = SERVER) -> Engine:
    """Return an engine that stores words."""
    return Engine(
        source=Source(name=name),
        start=(sys.executable, "-c", server, "{client}", "{data}/words"),
        probe=lambda location: send(location, b"?") != b"",
        base_url="notebook://me:{secret}@{host}:{client}",
    )


NOTEBOOK = describe()


def send(location: EngineLocation, word: bytes) -> bytes:
    try:
        with socket.create_connection((location.host, location.port), timeout=1) as connection:
            connection.sendall(word)
            return connection.recv(1000)
    except OSError:
        return b""


def ignore(line: str) -> None:
    pass


def test_data_and_address_survive_a_kill(tmp_path: Path) -> None:
    with EngineProcess(NOTEBOOK, tmp_path) as running:
        url = running.url("x")
        assert send(running.location, b"one") == b"one"
        running.kill()
        assert running.pid == 0
        assert send(running.location, b"?") == b""
        running.start()
        assert send(running.location, b"?") == b"one"
        assert running.url("x") == url


def test_paused_engine_hangs_until_it_is_resumed(tmp_path: Path) -> None:
    with EngineProcess(NOTEBOOK, tmp_path) as running:
        running.pause()
        assert send(running.location, b"?") == b""
        running.resume()
        assert send(running.location, b"?") == b"nothing"
        running.pause()
    assert running.pid == 0


def test_concurrent_starts_start_one_engine(tmp_path: Path) -> None:
    starters = [EngineProcess(NOTEBOOK, tmp_path) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        pids = set(threads.map(lambda starter: starter.start().pid, starters))
    assert len(pids) == 1
    assert len({starter.location.secret for starter in starters}) == 1
    for starter in starters:
        starter.stop()
    assert not is_alive(pids.pop())


def test_concurrent_processes_choose_one_location(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        places = list(threads.map(lambda _: EngineProcess(NOTEBOOK, tmp_path).location, range(16)))
    assert all(location == places[0] for location in places)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["place.json"]
    assert stat.S_IMODE((tmp_path / "place.json").stat().st_mode) == 0o600


def test_moved_folder_is_opened(tmp_path: Path) -> None:
    with EngineProcess(NOTEBOOK, tmp_path / "old") as running:
        send(running.location, b"one")
    (tmp_path / "old").rename(tmp_path / "new")
    with EngineProcess(NOTEBOOK, tmp_path / "new") as running:
        assert send(running.location, b"?") == b"one"


def test_failed_start_has_a_reason_and_leaves_no_process(tmp_path: Path) -> None:
    running = EngineProcess(describe(server="import sys; sys.exit('the disk is broken')"), tmp_path)
    with pytest.raises(EngineFailed, match="the disk is broken"):
        running.start()
    assert running.pid == 0


def test_engine_that_never_answers_is_killed(tmp_path: Path) -> None:
    running = EngineProcess(describe(server="import time; time.sleep(600)"), tmp_path)
    with pytest.raises(EngineFailed, match="did not start"):
        running.start(limit_s=0.5)
    assert running.pid == 0


def test_tied_engine_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.unit.test_engines import NOTEBOOK, EngineProcess
from pathlib import Path
print(EngineProcess(NOTEBOOK, Path({str(tmp_path)!r})).start().pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == -signal.SIGKILL
    wait_for_end(int(result.stdout))


def test_fleet_runs_until_it_is_stopped(tmp_path: Path) -> None:
    known = {name: describe(name) for name in ("a", "b")}
    pids = [running.pid for running in Fleet(tmp_path, known).up(known, ignore).values()]
    again = [running.pid for running in Fleet(tmp_path, known).up(known, ignore).values()]
    statuses = Fleet(tmp_path, known).status()
    assert again == pids
    assert [(status.name, status.state, status.pid) for status in statuses] == [
        ("a", "ready", pids[0]),
        ("b", "ready", pids[1]),
    ]
    assert all(status.memory_bytes > 1_000_000 and ":•••@" in status.url for status in statuses)
    assert Fleet(tmp_path, known).down(["a"]) == ["a"]
    assert [status.state for status in Fleet(tmp_path, known).status()] == ["stopped", "ready"]
    assert Fleet(tmp_path, known).down(known) == ["b"]
    assert not any(is_alive(pid) for pid in pids)


def test_failed_start_stops_the_engines_started_with_it(tmp_path: Path) -> None:
    known = {"a": describe("a"), "b": describe("b"), "c": describe("c", "import sys; sys.exit('no')")}
    before = Fleet(tmp_path, known).up(["a"], ignore)["a"].pid
    with pytest.raises(EngineFailed, match="no"):
        Fleet(tmp_path, known).up(["a", "b", "c"], ignore)
    assert [status.state for status in Fleet(tmp_path, known).status()] == ["ready", "stopped", "stopped"]
    assert is_alive(before)
    Fleet(tmp_path, known).kill()


def test_settings_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    known = {"a": describe("a")}
    fleet = Fleet(tmp_path, known)
    running = fleet.up(known, ignore)["a"]
    file = fleet.write_settings({"viewing.store": ("a", "viewing"), "events.log": ("b", "events")})
    fleet.kill()
    assert file.read_text() == f'[viewing]\nstore = "{running.url("viewing")}"\n'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_ports_are_free_and_distinct() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = free_ports(("a", "b", "c"))
        assert len({*ports.values(), taken.getsockname()[1]}) == 4


def test_missing_program_is_named_with_a_command_to_install_it() -> None:
    with pytest.raises(EngineMissing, match=r"tape needs the program tape-server: (apt|brew) install tape"):
        Source(name="tape", packages={"tape-server": ("tape-server", "tape")}).check()


def test_failed_program_is_reported_with_the_errors_in_its_output() -> None:
    with pytest.raises(EngineFailed, match=r"tape: exit status 3 / ERROR: no tape$"):
        run("tape", ["sh", "-c", "echo downloading pkg/errors; echo ERROR: no tape >&2; echo see the log; exit 3"])


def test_command_reports_in_one_line_what_cannot_be_fetched(tmp_path: Path) -> None:
    environment = {"PATH": str(tmp_path), "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    command = [sys.executable, "-m", "matinee", "lab", "engines", "up", "kafka", "--data", str(tmp_path / "data")]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("matinee: kafka")
    assert "install" in result.stderr


def wait_for_end(pid: int) -> None:
    deadline_s = time.monotonic() + 60
    while is_alive(pid):
        assert time.monotonic() < deadline_s, "the process did not end"
        time.sleep(0.02)
