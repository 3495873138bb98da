"""The supervisor: real processes, killed for real."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.deployment import eventually

from matinee.app.supervisor import Program, Seen, Supervisor

READY = """
import asyncio, subprocess, sys
from matinee.app.supervisor import Lifeline, until_told_to_stop
async def main():
    child = subprocess.Popen(["sleep", "600"])
    print(child.pid, flush=True)
    lifeline = Lifeline()
    lifeline.tell_ready("")
    await until_told_to_stop(lifeline)
asyncio.run(main())
"""


WAITS = """
import asyncio, sys
from pathlib import Path
from matinee.app.supervisor import Lifeline, until_told_to_stop
async def main():
    lifeline = Lifeline()
    for words in ("mariadb does not answer", "mariadb does not answer", "redis does not answer"):
        lifeline.tell_waiting(words)
    while not Path(sys.argv[1]).exists():
        await asyncio.sleep(0.02)
    lifeline.tell_ready("")
    await until_told_to_stop(lifeline)
asyncio.run(main())
"""


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    made = Supervisor(logs=tmp_path / "logs", record=tmp_path / "run" / "processes.json")
    yield made
    await made.stop()


def program(name: str, code: str, *, once: bool = False, lifeline: bool = True) -> Program:
    return Program(name=name, command=[sys.executable, "-c", code], once=once, lifeline=lifeline)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] if sys.platform == "linux" else "R"
        os.kill(pid, 0)
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


async def test_a_killed_process_comes_back_and_its_children_are_swept(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start(program("a", READY))
    first = supervisor.seen()[0]
    grandchild = int((tmp_path / "logs" / "a.log").read_text().split()[0])
    os.kill(first.pid, signal.SIGKILL)
    await eventually(lambda: supervisor.seen()[0].pid != first.pid and supervisor.seen()[0].state == "running")
    assert supervisor.seen()[0].restarts == 1
    await eventually(lambda: not alive(grandchild))


async def test_a_record_that_cannot_be_written_does_not_end_the_watch(supervisor: Supervisor, tmp_path: Path) -> None:
    (tmp_path / "run" / "processes.new").mkdir()
    await supervisor.start(program("a", READY))
    first = supervisor.seen()[0]
    os.kill(first.pid, signal.SIGKILL)
    await eventually(lambda: supervisor.seen()[0].pid != first.pid and supervisor.seen()[0].state == "running")


async def test_stop_leaves_nothing_behind(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start(program("a", READY))
    pid = supervisor.seen()[0].pid
    grandchild = int((tmp_path / "logs" / "a.log").read_text().split()[0])
    await supervisor.stop()
    await eventually(lambda: not alive(pid) and not alive(grandchild))
    assert not (tmp_path / "run" / "processes.json").exists()


async def test_a_process_that_ends_by_itself_is_not_brought_back(supervisor: Supervisor) -> None:
    await supervisor.start(program("once", "print('done')", once=True, lifeline=False))
    await eventually(lambda: supervisor.seen()[0].state == "finished")
    assert supervisor.seen()[0].restarts == 0


async def test_a_process_that_will_not_start_is_named_with_its_last_words(supervisor: Supervisor) -> None:
    with pytest.raises(RuntimeError, match=r"bad did not get ready: .*no such luck"):
        await supervisor.start(program("bad", "raise SystemExit('no such luck')"), ready_s=3600)


async def test_who_waits_is_waited_for_and_says_for_what(tmp_path: Path) -> None:
    told: list[str] = []
    record, there = tmp_path / "run" / "processes.json", tmp_path / "there"
    made = Supervisor(logs=tmp_path / "logs", record=record, waits=lambda seen: told.append(seen.waiting))
    waits = Program(name="a", command=[sys.executable, "-c", WAITS, str(there)])
    starting = asyncio.create_task(made.start(waits, ready_s=5))
    await eventually(lambda: len(told) == 2)
    await asyncio.sleep(6)  # longer than it would have had to get ready
    assert not starting.done()
    (seen,) = msgspec.json.decode(record.read_bytes(), type=list[Seen])
    assert (seen.state, seen.waiting) == ("waiting", "redis does not answer")
    there.touch()
    await starting
    assert (made.seen()[0].state, made.seen()[0].waiting) == ("running", "")
    assert told == ["mariadb does not answer", "redis does not answer"]
    await made.stop()


@pytest.mark.parametrize("lifeline", [True, False], ids=["with a lifeline", "with a guard"])
async def test_processes_end_when_their_supervisor_is_killed(tmp_path: Path, lifeline: bool) -> None:
    command = [sys.executable, "-c", READY] if lifeline else ["sleep", "600"]
    code = f"""
import asyncio, sys
from pathlib import Path
from matinee.app.supervisor import Program, Supervisor
async def main():
    s = Supervisor(logs=Path({str(tmp_path)!r}), record=Path({str(tmp_path)!r}) / "run.json")
    await s.start(Program(name="a", command={command!r}, lifeline={lifeline}))
    print(s.seen()[0].pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    await eventually(lambda: not alive(child))
