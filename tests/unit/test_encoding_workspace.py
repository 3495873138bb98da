"""A job's working folder: results are kept for their inputs, and incomplete outputs are deleted."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from matinee.encoding.jobs.run import Run
from matinee.encoding.jobs.workspace import Workspace, durable_outputs
from matinee.kit.ids import JobId

T = TypeVar("T")


class CountingMaker:
    """Makes a value and counts how often."""

    def __init__(self, value: list[int]) -> None:
        self.value = value
        self.times = 0

    async def __call__(self) -> list[int]:
        self.times += 1
        return self.value


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, JobId("job_a"))


async def once(workspace: Workspace, name: str, inputs: object, kind: type[T], make: Callable[[], Awaitable[T]]) -> T:
    """Return or make a result in a run of its own, of which only the workspace is used."""
    unused: Any = None
    run = Run(order=unused, file_name="", workspace=workspace, tools=unused, progress=unused)
    return await run.once("step", name, inputs, kind, make)


async def test_result_is_made_once_for_its_inputs(workspace: Workspace, tmp_path: Path) -> None:
    make = CountingMaker([1, 2])
    for _ in range(2):
        assert await once(workspace, "step", ("in", 1), list[int], make) == [1, 2]
    again = Workspace(tmp_path, JobId("job_a"))
    assert await once(again, "step", ("in", 1), list[int], make) == [1, 2]
    assert make.times == 1
    await once(again, "step", ("in", 2), list[int], make)
    assert make.times == 2


@pytest.mark.parametrize("damage", [b"", b"{", b'["x",[1]]', b'["stamp",{"a":1}]', b"\xff\x00"])
async def test_damaged_result_is_made_again(workspace: Workspace, damage: bytes) -> None:
    make = CountingMaker([1])
    await once(workspace, "step", 1, list[int], make)
    (workspace.folder / "step.json").write_bytes(damage)
    assert await once(workspace, "step", 1, list[int], make) == [1]
    assert make.times == 2


async def test_failure_leaves_no_result(workspace: Workspace) -> None:
    async def fail() -> int:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await once(workspace, "step", 1, int, fail)
    assert list(workspace.folder.iterdir()) == []


async def test_forgotten_result_is_made_again(workspace: Workspace) -> None:
    make = CountingMaker([1])
    await once(workspace, "chunk-00001", 1, list[int], make)
    workspace.forget("chunk-*")
    await once(workspace, "chunk-00001", 1, list[int], make)
    assert make.times == 2


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError])
async def test_incomplete_outputs_are_deleted(tmp_path: Path, error: type[BaseException]) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"

    async def make() -> None:
        async with durable_outputs(file, folder):
            file.write_bytes(b"half")
            (folder / "in").mkdir(parents=True)
            raise error

    with pytest.raises(error):
        await make()
    assert not file.exists()
    assert not folder.exists()


async def test_complete_output_stays(tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with durable_outputs(file):
        file.write_bytes(b"all")
    assert file.read_bytes() == b"all"
