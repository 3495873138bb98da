"""Every area of the bench at its smallest size: it runs, and its rows are complete."""

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from tests.deployment import ABSENT
from tests.engines import shared_engine

from matinee.lab.bench.figures import Figure
from matinee.lab.bench.run import AREAS, FILE, measure

REPOSITORY = Path(__file__).parents[2]
ROW = ["area", "name", "value", "unit", "baseline", "baseline_name", "ratio", "goal", "met", "noise"]

pytestmark = [pytest.mark.timeout(300)]


def check(figures: list[Figure], area: str) -> None:
    for figure in figures:
        assert list(msgspec.to_builtins(figure)) == ROW
        assert figure.area == area
        assert figure.unit
        assert figure.value == figure.value, "not a number"
        if figure.baseline is not None:
            assert figure.baseline_name
            assert figure.ratio == pytest.approx(figure.value / figure.baseline)


@pytest.mark.parametrize("area", [area for area in AREAS if area not in {"edge", "play"}])
def test_area_runs_at_its_smallest_size(area: str) -> None:
    figures = measure(area, smallest=True, open_engine=lambda name: shared_engine(name).url("bench"))
    assert figures
    check(figures, area)


def test_play_runs_at_its_smallest_size() -> None:
    assert "chromium" not in ABSENT, "engine not run: chromium"
    check(measure("play", smallest=True), "play")


@pytest.mark.parametrize("as_script", [True, False], ids=["script", "module"])
def test_command_measures_an_area_that_spawns_processes(as_script: bool, tmp_path: Path) -> None:
    """The installed script and the module both work, though each spawns processes of its own."""
    script = Path(sys.executable).parent / "matinee"
    command = [sys.executable, str(shutil.copy(script, tmp_path))] if as_script else [sys.executable, "-m", "matinee"]
    subprocess.run([*command, "lab", "bench", "edge", "--smallest"], cwd=tmp_path, check=True)
    check(msgspec.json.decode((tmp_path / FILE).read_bytes(), type=list[Figure]), "edge")
