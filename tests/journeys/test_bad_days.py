"""Failures of a deployment: killed processes restart, playback and encoding continue, nothing is left running."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, Page
from tests.deployment import Deployment, Viewer, create_deployment, eventually, find_free_port, find_job, make_film

from matinee.encoding.api import Job
from matinee.lab.viewer import sign_in

pytestmark = [pytest.mark.timeout(900)]

EMAIL = "ada@example.org"
WATCHED = "Long Evening"
PROCESSES = ("encoding", "services", "envoy", "edge-a", "edge-b")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment for all tests, with a film too long to be buffered completely."""
    folder = tmp_path_factory.mktemp("bad-days")
    with create_deployment(folder / "data", settings={"MATINEE__ENCODING__PROCESSES": "1"}) as deployment:
        deployment.start()
        deployment.ingest(make_film(folder / "long.mp4", seconds=420, size="320x180", rate="6"), WATCHED)
        yield deployment


async def test_killed_processes_restart_while_playback_and_encoding_continue(
    deployment: Deployment, http: aiohttp.ClientSession, chromium: Browser, tmp_path: Path
) -> None:
    viewer = Viewer(http, deployment.url)
    await viewer.sign_up(EMAIL)
    page = await (await chromium.new_context()).new_page()
    await watch(page, deployment.url)
    job = submit(deployment, make_film(tmp_path / "other.mp4", seconds=45, rate="12"), "Killed and Finished")
    await eventually(lambda: is_encoding(deployment, job))

    lost_s = {"nothing": await seek(page)}
    recovery_s = {}
    for name in PROCESSES:
        before = deployment.processes()[name]
        os.kill(before["pid"], signal.SIGKILL)
        (recovery_s[name], lost_s[name]) = await asyncio.gather(wait_for_restart(deployment, http, before), seek(page))
        assert deployment.processes()[name]["restarts"] == before["restarts"] + 1
    print("seconds until restart:", recovery_s, "seconds without picture after a seek:", lost_s)
    await page.evaluate("document.querySelector('video').pause()")  # so that the film does not end before the job

    assert (await eventually(lambda: find_finished_job(deployment, job))).state == "done"
    steps = logged_steps(deployment, job)
    done = [step["step"] for step in steps if not step["kept"]]
    assert len(done) == len(set(done)), "a finished step was repeated"
    assert any(step["kept"] for step in steps)
    assert await eventually(lambda: is_on_home(viewer, "Killed and Finished"))
    assert await eventually(lambda: has_continue_watching(viewer))
    await page.close()


async def has_continue_watching(viewer: Viewer) -> bool:
    """Tell whether home has the row: a closing page sends its position by beacon, a moment later."""
    return any(row["kind"] == "continue-watching" for row in (await viewer.call("GET", "/home"))["rows"])


async def test_killed_supervisor_leaves_no_process_and_loses_nothing(
    deployment: Deployment, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    viewer = Viewer(http, deployment.url)
    await viewer.sign_up("bo@example.org")
    title = next(title["title_id"] for title in deployment.titles() if WATCHED in title["names"].values())
    request = {"title_id": title, "capabilities": {}}
    play = await viewer.call("POST", "/playback", request)
    heartbeat = {"position_ms": 90_000, "state": "playing", "at": datetime.now(UTC).isoformat()}
    await viewer.call("POST", f"/playback/{play['session_id']}/heartbeat", heartbeat)
    job = submit(deployment, make_film(tmp_path / "third.mp4", seconds=40, rate="12"), "Begun Before")
    await eventually(lambda: is_encoding(deployment, job))

    groups = {process["pid"] for process in deployment.processes().values()}
    assert running_groups(groups) == groups
    os.kill(supervisor_pid(deployment), signal.SIGKILL)
    started_s = time.monotonic()
    await eventually(lambda: not running_groups(groups))
    ended_s = time.monotonic()
    deployment.start()
    print(f"no process after {ended_s - started_s:.1f} s, restarted in {time.monotonic() - ended_s:.1f} s")

    again = await viewer.call("POST", "/playback", request)
    assert again["resume_ms"] == pytest.approx(90_000, abs=5_000)
    assert (await eventually(lambda: find_finished_job(deployment, job))).state == "done"
    assert await eventually(lambda: is_on_home(viewer, "Begun Before"))


async def test_obstacles_to_a_second_up_are_reported_in_one_line(deployment: Deployment, tmp_path: Path) -> None:
    second = deployment.matinee("up", "--port", str(find_free_port()), "--edge-port", str(find_free_port(span=2)))
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.count("\n") == 1
    assert f"process {supervisor_pid(deployment)}" in second.stderr
    for name, port in (("--port", deployment.port), ("--edge-port", deployment.edge_port)):
        ports = {"--port": find_free_port(), "--edge-port": find_free_port(span=2), name: port}
        options = [str(part) for pair in ports.items() for part in pair]
        refused = deployment.matinee("up", "--data", str(tmp_path / "other"), *options)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"matinee: Port {ports[name]} is taken")
        assert refused.stderr.endswith(f"{name}.\n")


async def test_interrupt_leaves_no_process(deployment: Deployment, tmp_path: Path) -> None:
    job = submit(deployment, make_film(tmp_path / "fourth.mp4", seconds=40, rate="12"), "Interrupted")
    await eventually(lambda: is_encoding(deployment, job))
    groups = {process["pid"] for process in deployment.processes().values()}
    started_s = time.monotonic()
    assert deployment.stop() == 0
    print(f"stopped in {time.monotonic() - started_s:.1f} s")
    assert not running_groups(groups)
    assert not (deployment.data / "run" / "processes.json").exists()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", deployment.port))


def supervisor_pid(deployment: Deployment) -> int:
    """Return the process of `matinee up`."""
    return int((deployment.data / "lock").read_text())


def running_groups(groups: set[int]) -> set[int]:
    """Return the process groups that have a running member."""
    lines = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    members = (line.split() for line in lines.splitlines())
    return {int(group) for group, state in members if not state.startswith("Z")} & groups


async def watch(page: Page, url: str) -> None:
    """Sign in and play the long film."""
    await sign_in(page, url, EMAIL)
    await page.get_by_test_id("billboard-play").click()
    await page.wait_for_selector("video", timeout=90_000)
    await page.wait_for_function("() => document.querySelector('video').currentTime > 1", timeout=90_000)


async def seek(page: Page) -> float:
    """Seek beyond the buffer; return how long the picture stopped until 3 s of it were played."""
    started_s = time.monotonic()
    await page.evaluate(
        """() => { const v = document.querySelector('video'), b = v.buffered;
        v.currentTime = window.aim = b.end(b.length - 1) + 6; }"""
    )
    await page.wait_for_function(
        "() => document.querySelector('video').currentTime >= window.aim + 3", timeout=120_000, polling=50
    )
    assert not await page.get_by_test_id("player-error").count()
    return round(time.monotonic() - started_s - 3, 1)


async def wait_for_restart(deployment: Deployment, http: aiohttp.ClientSession, before: dict[str, Any]) -> float:
    """Wait until a killed process runs again and the front answers; return the seconds."""
    started_s = time.monotonic()

    async def is_restarted() -> bool:
        process = deployment.processes()[before["name"]]
        return (
            process["pid"] != before["pid"] and process["state"] == "running" and await front_answers(deployment, http)
        )

    await eventually(is_restarted)
    return round(time.monotonic() - started_s, 1)


async def front_answers(deployment: Deployment, http: aiohttp.ClientSession) -> bool:
    try:
        async with http.get(f"{deployment.url}/.well-known/jwks.json") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def submit(deployment: Deployment, file: Path, name: str) -> str:
    """Ingest a film without waiting for the job."""
    result = deployment.matinee("ingest", str(file), "--again", "--title", name, "--json")
    assert result.returncode == 0, result.stderr
    job_id: str = json.loads(result.stdout)["job_id"]
    return job_id


async def is_encoding(deployment: Deployment, job_id: str) -> bool:
    job = await find_job(deployment, job_id)
    return job is not None and any(step.name == "encode" and step.state == "running" for step in job.steps)


async def find_finished_job(deployment: Deployment, job_id: str) -> Job | None:
    job = await find_job(deployment, job_id)
    return None if job is None or job.state in ("queued", "running") else job


def logged_steps(deployment: Deployment, job_id: str) -> list[dict[str, Any]]:
    """Return the finished steps of a job from the log of the workers."""
    lines = [json.loads(line) for line in (deployment.data / "logs" / "encoding.log").read_text().splitlines()]
    return [line for line in lines if line.get("event") == "encode.step" and line["job_id"] == job_id]


async def is_on_home(viewer: Viewer, name: str) -> bool:
    rows = (await viewer.call("GET", "/home"))["rows"]
    return name in {card["name"] for row in rows for card in row["cards"]}
