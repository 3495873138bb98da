"""The wheel: built, installed into a fresh environment outside the repository, and run there."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from matinee.lab.deployment import find_free_port

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
START_LIMIT_S = 240


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([*command], cwd=cwd, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def environment() -> dict[str, str]:
    """Return this environment without anything that leads to the repository."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MATINEE__") and name not in {"PYTHONPATH", "VIRTUAL_ENV"}
    }


@pytest.fixture(scope="module")
def matinee(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, install it without extras, and return the command."""
    folder = tmp_path_factory.mktemp("wheel")
    run(BIN / "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (wheel,) = folder.glob("matinee-*.whl")
    python = folder / "venv" / "bin" / "python"
    run(BIN / "uv", "venv", "-q", "--python", sys.executable, folder / "venv", cwd=folder)
    lock = ROOT / "requirements.lock"
    run(BIN / "uv", "pip", "install", "-q", "--system-certs", "--python", python, "-c", lock, wheel, cwd=folder)
    return python.parent / "matinee"


def test_missing_extra_is_named(matinee: Path, tmp_path: Path) -> None:
    """The first test, so that its one process compiles the modules that those of the next one need."""
    done = subprocess.run(
        [matinee, "up", "--profile", "distributed"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'matinee[distributed]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.timeout(600)
def test_wheel_runs_without_the_repository(matinee: Path, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{(port := find_free_port())}"
    options = [
        "--no-demo",
        "--data",
        tmp_path / "data",
        "--port",
        str(port),
        "--edge-port",
        str(find_free_port(span=2)),
    ]
    output = tmp_path / "output"
    with output.open("w") as file:
        up = subprocess.Popen(
            [matinee, "up", *options], cwd=tmp_path, env=environment(), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        end = time.monotonic() + START_LIMIT_S
        while "Ctrl-C stops it" not in output.read_text():
            assert up.poll() is None, output.read_text()
            assert time.monotonic() < end, output.read_text()
            time.sleep(0.2)
        scripts = re.findall(r'<script[^>]* src="([^"]+)"', fetch(f"{url}/"))
        assert max(len(fetch(url + script)) for script in scripts) > 10_000
        status = json.loads(run(matinee, "status", "--json", "--data", tmp_path / "data", cwd=tmp_path))
        assert status["running"]
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0
    assert [process["name"] for process in status["processes"] if is_alive(process["pid"])] == []


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as response:
        return str(response.read().decode())


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
