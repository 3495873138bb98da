"""Each engine: acknowledged data survives a kill, at the same address, and no process is left.

The tests use simple clients and not our drivers, because they test the engines.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.engines import private_engine

from matinee.lab.engines import ENGINES, EngineLocation
from matinee.lab.engines.cassandra import has_keyspace
from matinee.lab.engines.process import is_alive
from matinee.lab.engines.programs import find_program

REPOSITORY = Path(__file__).parents[2]
Action = Callable[[EngineLocation], object]


def send_line(location: EngineLocation, line: bytes) -> bytes:
    with socket.create_connection((location.host, location.port), timeout=5) as connection:
        connection.sendall(line)
        return connection.recv(100)


def call_etcd(location: EngineLocation, method: str, body: object) -> dict[str, object]:
    request = urllib.request.Request(f"http://{location.client}/v3/kv/{method}", data=msgspec.json.encode(body))
    with urllib.request.urlopen(request, timeout=5) as response:
        return msgspec.json.decode(response.read())


def call_opensearch(location: EngineLocation, method: str, path: str, body: object = None) -> dict[str, object]:
    url, headers = f"http://{location.client}/{path}", {"content-type": "application/json"}
    request = urllib.request.Request(url, method=method, data=msgspec.json.encode(body), headers=headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return msgspec.json.decode(response.read())


def run_sql(location: EngineLocation, statement: str) -> str:
    access = [f"--host={location.host}", f"--port={location.port}", "--user=matinee", "--protocol=tcp"]
    environment = {**os.environ, "MYSQL_PWD": location.secret}
    command = [find_program("mariadb") or "", "--no-defaults", *access, "-N", "-e", statement]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


# How to store and to find data. Memcached keeps nothing. The suites of the log and of the registry kill Kafka and
# Kubernetes.
STORING: dict[str, tuple[Action, Action]] = {
    "memcached": (lambda location: None, lambda location: True),
    "mariadb": (
        lambda location: run_sql(location, "CREATE DATABASE d; CREATE TABLE d.t (v INT); INSERT INTO d.t VALUES (7)"),
        lambda location: run_sql(location, "SELECT v FROM d.t") == "7",
    ),
    "redis": (
        lambda location: send_line(location, b"SET film 7\r\n"),
        lambda location: send_line(location, b"GET film\r\n") == b"$1\r\n7\r\n",
    ),
    "etcd": (
        lambda location: call_etcd(location, "put", {"key": "Zg==", "value": "Nw=="}),
        lambda location: call_etcd(location, "range", {"key": "Zg=="}).get("count") == "1",
    ),
    "s3": (
        lambda location: ENGINES["s3"].url(location, "films"),
        lambda location: (location.data / "films").is_dir(),
    ),
    "cassandra": (
        lambda location: ENGINES["cassandra"].url(location, "films"),
        lambda location: has_keyspace(location, "films"),
    ),
    "opensearch": (
        lambda location: (
            call_opensearch(location, "PUT", "films", {}),
            call_opensearch(location, "PUT", "films/_doc/1", {"v": 7}),
        ),
        lambda location: call_opensearch(location, "GET", "films/_doc/1")["_source"] == {"v": 7},
    ),
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", STORING)
def test_acknowledged_data_survives_a_kill(name: str, tmp_path: Path) -> None:
    store, is_stored = STORING[name]
    with private_engine(name, tmp_path) as running:
        address = running.engine.address(running.location)
        store(running.location)
        running.kill()
        assert not running.is_ready
        running.start()
        assert is_stored(running.location)
        assert running.engine.address(running.location) == address
        pid = running.pid
    assert not is_alive(pid)


def test_command_starts_lists_and_stops_engines(tmp_path: Path) -> None:
    def engines(*arguments: str) -> str:
        command = [sys.executable, "-m", "matinee", "lab", "engines", *arguments, "--data", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout

    try:
        engines("up", "redis", "memcached")
        statuses = {one["name"]: one for one in msgspec.json.decode(engines("status", "--json"))}
        assert engines("up", "redis").count("runs already") == 1
        assert "redis://" in (tmp_path / "engines" / "matinee.toml").read_text()
        assert {name: one["state"] for name, one in statuses.items()} == {"redis": "ready", "memcached": "ready"}
        assert engines("down", "redis").split() == ["stopped", "redis"]
        assert [one["state"] for one in msgspec.json.decode(engines("status", "--json"))] == ["stopped", "ready"]
    finally:
        engines("down")
    assert not any(is_alive(one["pid"]) for one in statuses.values())


def test_killed_test_run_leaves_no_engine(tmp_path: Path) -> None:
    code = f"""
import subprocess, sys, time
from pathlib import Path
from matinee.lab.engines import Fleet
folder = {str(tmp_path / "engines")!r}
subprocess.Popen([sys.executable, "-m", "matinee.lab.engines.sweep", folder], stdin=subprocess.PIPE)
print(Fleet(Path(folder)).up(["redis"], lambda line: None)["redis"].pid, flush=True)
time.sleep(600)
"""
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert run.stdout is not None
    redis = int(run.stdout.readline())
    assert is_alive(redis)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    deadline_s = time.monotonic() + 120
    while is_alive(redis) or (tmp_path / "engines").exists():
        assert time.monotonic() < deadline_s, "the engines were not removed"
        time.sleep(0.05)
