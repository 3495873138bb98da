"""The supervisor, tested with real processes."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.deployment import eventually

from matinee.app.supervisor import NotStarted, ProcessStatus, Program, Supervisor

READY = """
import asyncio, subprocess, sys
from matinee.app.lifeline import Lifeline, wait_for_stop
async def main():
    child = subprocess.Popen(["sleep", "600"])
    print(child.pid, flush=True)
    lifeline = Lifeline()
    lifeline.report_ready("")
    await wait_for_stop(lifeline)
asyncio.run(main())
"""

# It hangs while it stops, as one does whose engines have ended.
HANGS = """
import asyncio
from matinee.app.lifeline import Lifeline, wait_for_stop
async def main():
    lifeline = Lifeline()
    lifeline.report_ready("")
    await wait_for_stop(lifeline, 0.2)
    await asyncio.Event().wait()
asyncio.run(main())
"""


WAITS = """
import asyncio, sys
from pathlib import Path
from matinee.app.lifeline import Lifeline, wait_for_stop
async def main():
    lifeline = Lifeline()
    for reason in ("mariadb does not answer", "mariadb does not answer", "redis does not answer"):
        lifeline.report_waiting(reason)
    while not Path(sys.argv[1]).exists():
        await asyncio.sleep(0.02)
    lifeline.report_ready("")
    await wait_for_stop(lifeline)
asyncio.run(main())
"""


# It writes forever, and says which line it has written last.
TALKS = """
import itertools, os, time
for number in itertools.count():
    print(f"line {number} " + "x" * 90, flush=True)
    time.sleep(0.001)
"""


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(logs=tmp_path / "logs", record=tmp_path / "run" / "processes.json")
    yield supervisor
    await supervisor.stop()


def program(name: str, code: str, *, once: bool = False, lifeline: bool = True) -> Program:
    return Program(name=name, command=[sys.executable, "-c", code], once=once, lifeline=lifeline)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] if sys.platform == "linux" else "R"
        os.kill(pid, 0)
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


async def test_killed_process_is_restarted_and_its_children_are_killed(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start(program("a", READY))
    first = supervisor.statuses()[0]
    grandchild = int((tmp_path / "logs" / "a.log").read_text().split()[0])
    os.kill(first.pid, signal.SIGKILL)
    await eventually(lambda: supervisor.statuses()[0].pid != first.pid and supervisor.statuses()[0].state == "running")
    assert supervisor.statuses()[0].restarts == 1
    await eventually(lambda: not is_alive(grandchild))


async def test_process_is_restarted_while_the_record_cannot_be_written(supervisor: Supervisor, tmp_path: Path) -> None:
    (tmp_path / "run" / "processes.new").mkdir()
    await supervisor.start(program("a", READY))
    first = supervisor.statuses()[0]
    os.kill(first.pid, signal.SIGKILL)
    await eventually(lambda: supervisor.statuses()[0].pid != first.pid and supervisor.statuses()[0].state == "running")


async def test_stop_leaves_nothing_behind(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start(program("a", READY))
    pid = supervisor.statuses()[0].pid
    grandchild = int((tmp_path / "logs" / "a.log").read_text().split()[0])
    await supervisor.stop()
    await eventually(lambda: not is_alive(pid) and not is_alive(grandchild))
    assert not (tmp_path / "run" / "processes.json").exists()


async def test_program_that_runs_once_is_not_restarted(supervisor: Supervisor) -> None:
    await supervisor.start(program("once", "print('done')", once=True, lifeline=False))
    await eventually(lambda: supervisor.statuses()[0].state == "finished")
    assert supervisor.statuses()[0].restarts == 0


async def test_log_of_a_running_process_stays_within_its_limit(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matinee.app.supervisor.LOG_LIMIT_BYTES", 20_000)
    monkeypatch.setattr("matinee.app.supervisor.HEALTH_INTERVAL_S", 0.05)
    await supervisor.start(program("talks", TALKS, lifeline=False))
    log, earlier = tmp_path / "logs" / "talks.log", tmp_path / "logs" / "talks.log.1"
    await eventually(lambda: earlier.exists() and b"line 0 " not in earlier.read_bytes())
    assert earlier.stat().st_size > 20_000
    # What is written after the log was emptied is at its start.
    await eventually(lambda: log.read_bytes().startswith(b"line "))


async def test_start_failure_names_the_process_and_its_last_log_line(supervisor: Supervisor) -> None:
    with pytest.raises(NotStarted, match=r"bad did not get ready: .*no such luck"):
        await supervisor.start(program("bad", "raise SystemExit('no such luck')"), ready_s=3600)


async def test_start_ends_soon_where_a_process_refuses_its_settings(supervisor: Supervisor) -> None:
    with pytest.raises(NotStarted, match=r"bad did not get ready: .*no such store"):
        await supervisor.start(program("bad", "import sys; print('no such store'); sys.exit(2)"), ready_s=3600)
    assert supervisor.statuses()[0].restarts == 2


async def test_start_goes_on_where_settings_are_refused_once_after_a_crash(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    count = f"""
import pathlib, sys
runs = pathlib.Path({str(tmp_path / "runs")!r})
number = len(runs.read_text()) + 1 if runs.exists() else 1
runs.write_text("x" * number)
if number < 3:
    sys.exit(number)
"""
    await supervisor.start(program("odd", count + READY))
    assert supervisor.statuses()[0].restarts == 2


async def test_start_waits_while_the_process_reports_a_reason(tmp_path: Path) -> None:
    reasons: list[str] = []
    record, go = tmp_path / "run" / "processes.json", tmp_path / "go"
    supervisor = Supervisor(
        logs=tmp_path / "logs", record=record, on_waiting=lambda status: reasons.append(status.waiting)
    )
    program = Program(name="a", command=[sys.executable, "-c", WAITS, str(go)])
    starting = asyncio.create_task(supervisor.start(program, ready_s=5))
    await eventually(lambda: len(reasons) == 2)
    with pytest.raises(NotStarted):  # a later start without a reason fails after `ready_s`
        await supervisor.start(Program(name="b", command=["sleep", "600"]), ready_s=5)
    assert not starting.done()
    status, _ = msgspec.json.decode(record.read_bytes(), type=list[ProcessStatus])
    assert (status.state, status.waiting) == ("waiting", "redis does not answer")
    go.touch()
    await starting
    assert (supervisor.statuses()[0].state, supervisor.statuses()[0].waiting) == ("running", "")
    assert reasons == ["mariadb does not answer", "redis does not answer"]
    await supervisor.stop()


@pytest.mark.parametrize("code", [READY, HANGS, ""], ids=["with a lifeline", "that hangs", "with a guard"])
async def test_processes_end_when_their_supervisor_is_killed(tmp_path: Path, code: str) -> None:
    command = [sys.executable, "-c", code] if code else ["sleep", "600"]
    supervising = f"""
import asyncio, sys
from pathlib import Path
from matinee.app.supervisor import Program, Supervisor
async def main():
    s = Supervisor(logs=Path({str(tmp_path)!r}), record=Path({str(tmp_path)!r}) / "run.json")
    await s.start(Program(name="a", command={command!r}, lifeline={bool(code)}))
    print(s.statuses()[0].pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", supervising, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    await eventually(lambda: not is_alive(child))
