"""Bad days of the whole deployment: what is killed comes back, picture and work go on, nothing is left behind."""

import asyncio
import json
import os
import shutil
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
from tests.deployment import PASSWORD, Deployment, Viewer, eventually, find_free_port, make_film

pytestmark = [pytest.mark.timeout(400)]

EMAIL = "ada@example.org"
WATCHED = "Long Evening"
IN_TURN = ("encoding", "services", "envoy", "edge-a", "edge-b")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One deployment for all of them, with a film too long to be buffered whole."""
    folder = tmp_path_factory.mktemp("bad-days")
    made = Deployment(folder / "data", settings={"MATINEE__ENCODING__PROCESSES": "1"})
    made.start()
    made.ingest(make_film(folder / "long.mp4", seconds=420, size="320x180", rate="6"), WATCHED)
    yield made
    made.stop()
    shutil.rmtree(folder, ignore_errors=True)


async def test_whatever_is_killed_comes_back_and_picture_and_encode_go_on(
    deployment: Deployment, http: aiohttp.ClientSession, chromium: Browser, tmp_path: Path
) -> None:
    viewer = Viewer(http, deployment.url)
    await viewer.sign_up(EMAIL)
    page = await (await chromium.new_context()).new_page()
    await watch(page, deployment.url)
    job = begun(deployment, make_film(tmp_path / "other.mp4", seconds=45), "Killed and Finished")
    await eventually(lambda: step(deployment, job, "encode") == "running", 60)

    lost = {"nothing": await jump(page)}
    back = {}
    for name in IN_TURN:
        before = deployment.processes()[name]
        os.kill(before["pid"], signal.SIGKILL)
        (back[name], lost[name]) = await asyncio.gather(returned(deployment, http, before), jump(page))
        assert deployment.processes()[name]["restarts"] == before["restarts"] + 1
    print("seconds until it was back:", back, "seconds of picture lost on a jump:", lost)

    assert (await eventually(lambda: ended(deployment, job), 120))["state"] == "done"
    made = [said["step"] for said in steps_told(deployment, job) if not said["kept"]]
    assert len(made) == len(set(made)), "a finished step was done again"
    assert [said for said in steps_told(deployment, job) if said["kept"]]
    assert await eventually(lambda: on_home(viewer, "Killed and Finished"))
    assert await eventually(lambda: continues(viewer), 60), "the position is lost"
    await page.close()


async def continues(viewer: Viewer) -> bool:
    """Whether home has something to continue: a page that closes says so by beacon, a moment later."""
    return any(row["kind"] == "continue-watching" for row in (await viewer.call("GET", "/home"))["rows"])


async def test_a_killed_supervisor_leaves_nothing_and_the_next_up_has_everything(
    deployment: Deployment, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    viewer = Viewer(http, deployment.url)
    await viewer.sign_up("bo@example.org")
    title = next(title["title_id"] for title in deployment.titles() if WATCHED in title["names"].values())
    request = {"title_id": title, "capabilities": {}}
    play = await viewer.call("POST", "/playback", request)
    heartbeat = {"position_ms": 90_000, "state": "playing", "at": datetime.now(UTC).isoformat()}
    await viewer.call("POST", f"/playback/{play['session_id']}/heartbeat", heartbeat)
    job = begun(deployment, make_film(tmp_path / "third.mp4", seconds=40), "Begun Before")
    await eventually(lambda: step(deployment, job, "encode") == "running", 60)

    groups = {seen["pid"] for seen in deployment.processes().values()}
    assert living(groups) == groups
    os.kill(supervisor(deployment), signal.SIGKILL)
    began = time.monotonic()
    await eventually(lambda: not living(groups), 30)
    gone = time.monotonic()
    deployment.start()
    print(f"nothing left after {gone - began:.1f} s, up again in {time.monotonic() - gone:.1f} s")

    again = await viewer.call("POST", "/playback", request)
    assert again["resume_ms"] == pytest.approx(90_000, abs=5_000)
    assert (await eventually(lambda: ended(deployment, job), 120))["state"] == "done"
    assert await eventually(lambda: on_home(viewer, "Begun Before"))


async def test_what_stands_in_the_way_of_a_second_up_is_one_line(deployment: Deployment, tmp_path: Path) -> None:
    second = deployment.matinee("up", "--port", str(find_free_port()), "--edge-port", str(find_free_port(span=2)))
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.count("\n") == 1
    assert f"process {supervisor(deployment)}" in second.stderr
    for taken, option in (("--port", deployment.port), ("--edge-port", deployment.edge_port)):
        ports = {"--port": find_free_port(), "--edge-port": find_free_port(span=2), taken: option}
        words = [str(word) for pair in ports.items() for word in pair]
        refused = deployment.matinee("up", "--data", str(tmp_path / "other"), *words)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"matinee: Port {ports[taken]} is taken")
        assert refused.stderr.endswith(f"{taken}.\n")


async def test_ctrl_c_leaves_nothing_behind(deployment: Deployment, tmp_path: Path) -> None:
    job = begun(deployment, make_film(tmp_path / "fourth.mp4", seconds=40), "Interrupted")
    await eventually(lambda: step(deployment, job, "encode") == "running", 60)
    groups = {seen["pid"] for seen in deployment.processes().values()}
    began = time.monotonic()
    assert deployment.stop() == 0
    print(f"stopped in {time.monotonic() - began:.1f} s")
    assert not living(groups)
    assert not (deployment.data / "run" / "processes.json").exists()
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind(("127.0.0.1", deployment.port))


def supervisor(deployment: Deployment) -> int:
    """The process that `up` is."""
    return int((deployment.data / "lock").read_text())


def living(groups: set[int]) -> set[int]:
    """Those process groups that still have a living member."""
    lines = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True).stdout
    members = (line.split() for line in lines.splitlines())
    return {int(group) for group, state in members if not state.startswith("Z")} & groups


async def watch(page: Page, url: str) -> None:
    """Sign in and play the long film."""
    await page.goto(url)
    await page.get_by_test_id("sign-in-email").fill(EMAIL)
    await page.get_by_test_id("sign-in-password").fill(PASSWORD)
    await page.get_by_test_id("sign-in-submit").click()
    await page.get_by_test_id("profile-card").first.click()
    await page.get_by_test_id("billboard-play").click()
    await page.wait_for_selector("video", timeout=20_000)
    await page.wait_for_function("() => document.querySelector('video').currentTime > 1", timeout=30_000)


async def jump(page: Page) -> float:
    """Jump past all that is buffered; tells how long the picture stood until 3 s of it had run."""
    began = time.monotonic()
    await page.evaluate(
        """() => { const v = document.querySelector('video'), b = v.buffered;
        v.currentTime = window.aim = b.end(b.length - 1) + 6; }"""
    )
    await page.wait_for_function(
        "() => document.querySelector('video').currentTime >= window.aim + 3", timeout=40_000, polling=50
    )
    assert not await page.get_by_test_id("player-error").count()
    return round(time.monotonic() - began - 3, 1)


async def returned(deployment: Deployment, http: aiohttp.ClientSession, before: dict[str, Any]) -> float:
    """Wait until a killed process runs again, and the front answers; tells how long it took."""
    began = time.monotonic()

    async def runs() -> bool:
        seen = deployment.processes()[before["name"]]
        return seen["pid"] != before["pid"] and seen["state"] == "running" and await answers(deployment, http)

    await eventually(runs, 40)
    return round(time.monotonic() - began, 1)


async def answers(deployment: Deployment, http: aiohttp.ClientSession) -> bool:
    try:
        async with http.get(f"{deployment.url}/.well-known/jwks.json") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def begun(deployment: Deployment, file: Path, name: str) -> str:
    """A film handed in without waiting for it."""
    done = deployment.matinee("ingest", str(file), "--title", name, "--json")
    assert done.returncode == 0, done.stderr
    job_id: str = json.loads(done.stdout)["job_id"]
    return job_id


def jobs(deployment: Deployment) -> dict[str, dict[str, Any]]:
    return {job["job_id"]: job for job in json.loads(deployment.matinee("jobs", "list", "--json").stdout)}


def step(deployment: Deployment, job_id: str, name: str) -> str:
    return next(str(one["state"]) for one in jobs(deployment)[job_id]["steps"] if one["name"] == name)


def ended(deployment: Deployment, job_id: str) -> dict[str, Any] | None:
    job = jobs(deployment)[job_id]
    return None if job["state"] in ("queued", "running") else job


def steps_told(deployment: Deployment, job_id: str) -> list[dict[str, Any]]:
    """What the workers' log tells of a job's finished steps."""
    lines = [json.loads(line) for line in (deployment.data / "logs" / "encoding.log").read_text().splitlines()]
    return [line for line in lines if line.get("event") == "encode.step" and line["job_id"] == job_id]


async def on_home(viewer: Viewer, name: str) -> bool:
    rows = (await viewer.call("GET", "/home"))["rows"]
    return name in {card["name"] for row in rows for card in row["cards"]}
