"""Each engine as we start it: what it acknowledged is there after a kill, at the same address; nothing is left running.

Through each engine's own plainest client, since it is the engines that are looked at here and not our drivers.
"""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from tests.engines import private_engine

from matinee.lab.engines import ENGINES, EngineLocation
from matinee.lab.engines.cassandra import has_keyspace
from matinee.lab.engines.process import is_alive
from matinee.lab.engines.programs import find_program

REPOSITORY = Path(__file__).parents[2]
Deed = Callable[[EngineLocation], object]


def line(location: EngineLocation, words: bytes) -> bytes:
    with socket.create_connection((location.host, location.port), timeout=5) as connection:
        connection.sendall(words)
        return connection.recv(100)


def etcd(location: EngineLocation, deed: str, body: object) -> dict[str, object]:
    request = urllib.request.Request(f"http://{location.client}/v3/kv/{deed}", data=msgspec.json.encode(body))
    with urllib.request.urlopen(request, timeout=5) as answer:
        return msgspec.json.decode(answer.read())


def namespace(location: EngineLocation, name: str) -> str:
    """A namespace's state, as kubectl would be told with the files that lie there."""
    bearer = {"authorization": f"Bearer {(location.folder / 'token').read_text()}"}
    request = urllib.request.Request(f"https://{location.client}/api/v1/namespaces/{name}", headers=bearer)
    trusted = ssl.create_default_context(cafile=str(location.folder / "ca.crt"))
    with urllib.request.urlopen(request, timeout=5, context=trusted) as answer:
        return msgspec.json.decode(answer.read())["status"]["phase"]


def kafka(location: EngineLocation) -> AdminClient:
    return AdminClient({"bootstrap.servers": location.client})


def sql(location: EngineLocation, statement: str) -> str:
    access = [
        f"--host={location.host}",
        f"--port={location.port}",
        "--user=matinee",
        "--protocol=tcp",
        "-N",
        "-e",
        statement,
    ]
    environment = {**os.environ, "MYSQL_PWD": location.secret}
    asked = [find_program("mariadb") or "", "--no-defaults", *access]
    return subprocess.run(asked, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def topic(location: EngineLocation) -> None:
    client = kafka(location)  # held, since its answers end with it
    for made in client.create_topics([NewTopic("films", 1, 1)]).values():
        made.result(30)


# How something is kept in each, and how it is seen again. Memcached keeps nothing, by its nature.
KEEPING: dict[str, tuple[Deed, Deed]] = {
    "mariadb": (
        lambda location: sql(location, "CREATE DATABASE d; CREATE TABLE d.t (v INT); INSERT INTO d.t VALUES (7)"),
        lambda location: sql(location, "SELECT v FROM d.t") == "7",
    ),
    "redis": (
        lambda location: line(location, b"SET film 7\r\n"),
        lambda location: line(location, b"GET film\r\n") == b"$1\r\n7\r\n",
    ),
    "etcd": (
        lambda location: etcd(location, "put", {"key": "Zg==", "value": "Nw=="}),
        lambda location: etcd(location, "range", {"key": "Zg=="}).get("count") == "1",
    ),
    "s3": (
        lambda location: ENGINES["s3"].url(location, "films"),
        lambda location: (location.data / "films").is_dir(),
    ),
    "kafka": (topic, lambda location: "films" in kafka(location).list_topics(timeout=10).topics),
    "cassandra": (
        lambda location: ENGINES["cassandra"].url(location, "films"),
        lambda location: has_keyspace(location, "films"),
    ),
    "kubernetes": (
        lambda location: ENGINES["kubernetes"].url(location, "films"),
        lambda location: namespace(location, "films") == "Active",
    ),
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ENGINES)
def test_what_was_acknowledged_is_there_after_a_kill(name: str, tmp_path: Path) -> None:
    keep, is_kept = KEEPING.get(name, (lambda location: None, lambda location: True))
    with private_engine(name, tmp_path) as running:
        address = running.engine.address(running.location)
        keep(running.location)
        running.kill()
        assert not running.is_ready
        running.start()
        assert is_kept(running.location)
        assert running.engine.address(running.location) == address
        pid = running.pid
    assert not is_alive(pid)


def test_the_command_starts_shows_and_ends(tmp_path: Path) -> None:
    def engines(*words: str) -> str:
        command = [sys.executable, "-m", "matinee", "lab", "engines", *words, "--data", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout

    try:
        engines("up", "redis", "memcached")
        shown = {one["name"]: one for one in msgspec.json.decode(engines("status", "--json"))}
        assert engines("up", "redis").count("runs already") == 1
        assert "redis://" in (tmp_path / "engines" / "matinee.toml").read_text()
        assert {name: one["state"] for name, one in shown.items()} == {"redis": "ready", "memcached": "ready"}
        assert engines("down", "redis").split() == ["stopped", "redis"]
        assert [one["state"] for one in msgspec.json.decode(engines("status", "--json"))] == ["stopped", "ready"]
    finally:
        engines("down")
    assert not any(is_alive(one["pid"]) for one in shown.values())


def test_nothing_is_left_when_a_test_run_is_killed(tmp_path: Path) -> None:
    words = f"""
import subprocess, sys, time
from pathlib import Path
from matinee.lab.engines import Fleet
folder = {str(tmp_path / "engines")!r}
subprocess.Popen([sys.executable, "-m", "matinee.lab.engines.sweep", folder], stdin=subprocess.PIPE)
print(Fleet(Path(folder)).up(["redis"], lambda words: None)["redis"].pid, flush=True)
time.sleep(600)
"""
    run = subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert run.stdout is not None
    redis = int(run.stdout.readline())
    assert is_alive(redis)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    end = time.monotonic() + 30
    while is_alive(redis) or (tmp_path / "engines").exists():
        assert time.monotonic() < end, "it was not swept"
        time.sleep(0.05)
