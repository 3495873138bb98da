"""A job's folder: results stand beside their inputs, and nothing half-made stays."""

import asyncio
from pathlib import Path

import pytest

from matinee.encoding.jobs.workspace import Workspace, whole
from matinee.kit.ids import JobId


class Made:
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


async def test_a_result_is_made_once_for_its_inputs(workspace: Workspace, tmp_path: Path) -> None:
    made = Made([1, 2])
    for _ in range(2):
        assert await workspace.once("step", ("in", 1), list[int], made) == [1, 2]
    again = Workspace(tmp_path, JobId("job_a"))
    assert await again.once("step", ("in", 1), list[int], made) == [1, 2]
    assert made.times == 1
    await again.once("step", ("in", 2), list[int], made)
    assert made.times == 2


@pytest.mark.parametrize("damage", [b"", b"{", b'["x",[1]]', b'["stamp",{"a":1}]', b"\xff\x00"])
async def test_a_damaged_note_is_made_again(workspace: Workspace, damage: bytes) -> None:
    made = Made([1])
    await workspace.once("step", 1, list[int], made)
    (workspace.folder / "step.json").write_bytes(damage)
    assert await workspace.once("step", 1, list[int], made) == [1]
    assert made.times == 2


async def test_what_fails_leaves_no_note(workspace: Workspace) -> None:
    async def fail() -> int:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await workspace.once("step", 1, int, fail)
    assert list(workspace.folder.iterdir()) == []


async def test_forgotten_results_are_made_again(workspace: Workspace) -> None:
    made = Made([1])
    await workspace.once("chunk-00001", 1, list[int], made)
    workspace.forget("chunk-*")
    await workspace.once("chunk-00001", 1, list[int], made)
    assert made.times == 2


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError])
async def test_nothing_half_made_stays(tmp_path: Path, error: type[BaseException]) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"

    async def make() -> None:
        async with whole(file, folder):
            file.write_bytes(b"half")
            (folder / "in").mkdir(parents=True)
            raise error

    with pytest.raises(error):
        await make()
    assert not file.exists()
    assert not folder.exists()


async def test_what_is_whole_stays(tmp_path: Path) -> None:
    file = tmp_path / "file"
    async with whole(file):
        file.write_bytes(b"all")
    assert file.read_bytes() == b"all"
