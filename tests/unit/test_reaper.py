"""Ended processes that process 1 of a container inherits."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from matinee.app.reaper import reap

PR_SET_CHILD_SUBREAPER = 36
ORPHAN = "import os, time; os.fork() or (os.setsid(), time.sleep(0.2), os._exit(0)); print(1)"

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="processes are inherited like this on Linux only")]


@pytest.fixture
def _like_process_1() -> Iterator[None]:
    """Let this process inherit the children of its ended children, as process 1 does."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.mark.usefixtures("_like_process_1")
def test_an_inherited_zombie_is_reaped_in_the_second_round() -> None:
    subprocess.run([sys.executable, "-c", ORPHAN], check=True, stdout=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 60
    while not (found := reap((), ())):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    (zombie,) = found
    assert Path(f"/proc/{zombie}").exists()
    assert reap({zombie}, found) == set(), "somebody else waits for it"
    assert Path(f"/proc/{zombie}").exists()
    assert reap((), found) == set()
    assert not Path(f"/proc/{zombie}").exists()
