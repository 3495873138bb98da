"""The command line: tables, JSON, and one line for what it cannot find."""

import asyncio
import io
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from matinee.catalogue.api import Mood
from matinee.catalogue.model.validation import check_draft
from matinee.cli import main
from matinee.cli.output import show
from matinee.cli.titles import IngestOptions
from matinee.drivers.sql import Database
from matinee.kit.ids import InstanceId
from matinee.mesh.schedules.adapters.sql import SqlScheduleStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with two schedules, of which the first has run."""

    async def declare() -> None:
        async with Database(f"sqlite:///{tmp_path}/schedules.db") as database:
            store = await SqlScheduleStore.open(database)
            for schedule in ("catalogue.sweep", "identity.expire"):
                await store.declare(schedule=schedule, expression="@every 1m", next_at=NOW)
            claimed = await store.claim(
                schedule="catalogue.sweep", instance_id=InstanceId("ins_1"), lease_s=60, now=NOW
            )
            assert claimed is not None
            await store.finish(run=claimed, error="disk [full]\nagain", next_at=NOW, now=NOW)

    asyncio.run(declare())
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], list[str]]:
    """Run a command; return its exit status and the lines of its two outputs."""
    status = main(arguments)
    output = capsys.readouterr()
    return status, output.out.splitlines(), output.err.splitlines()


@pytest.mark.parametrize("command", [["history"], ["history", "--json"], ["run"], ["pause"], ["resume"]])
def test_an_unknown_schedule_is_one_line_with_the_known_ones(
    data: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    known = "There is no schedule 'nope'; there are catalogue.sweep, identity.expire."
    assert run(capsys, "schedules", *command, "nope", "--data", str(data)) == (1, [], [f"matinee: {known}"])


def test_history_of_a_schedule(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--data", str(data)]
    status, (headings, row), errors = run(capsys, "schedules", "history", "catalogue.sweep", *options)
    assert (status, errors) == (0, [])
    assert headings.split() == ["run", "started", "took", "instance", "error"]
    assert row == "1    2026-01-01 00:00:00 UTC  0 ms  ins_1     disk [full] again"
    assert run(capsys, "schedules", "history", "identity.expire", *options)[1] == ["identity.expire has not run yet."]
    (found,) = json.loads("\n".join(run(capsys, "schedules", "history", "catalogue.sweep", "--json", *options)[1]))
    assert (found["number"], found["error"]) == (1, "disk [full]\nagain")
    assert run(capsys, "schedules", "history", "identity.expire", "--json", *options)[1] == ["[]"]


@pytest.mark.parametrize(
    ("command", "status", "line"),
    [
        (["titles", "list"], 1, "Matinee is not running on"),
        (["schedules", "list"], 1, "Matinee is not running on"),
        (["stores", "status", "nope"], 1, "There is no SQL store 'nope' in these settings; there are schedules"),
        (["stores", "back", "catalogue", "--to", "nope"], 2, "catalogue has no revision 'nope'; there are 0001"),
        (["trace", "nope"], 1, "'nope' is not a trace id"),
    ],
)
def test_what_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], status: int, line: str
) -> None:
    found, output, (error,) = run(capsys, *command, "--data", str(tmp_path))
    assert (found, output) == (status, [])
    assert error.startswith(f"matinee: {line}")


def test_a_path_that_cannot_be_used_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    status, output, errors = run(capsys, "stores", "migrate", "--data", f"{file}/data")
    assert (status, output, errors) == (1, [], [f"matinee: {file}/data: Not a directory."])


def test_backup_that_would_fill_the_disk_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = ("--data", str(tmp_path))
    assert run(capsys, "stores", "migrate", "viewing", *data)[0] == 0
    os.truncate(tmp_path / "viewing.db", 1 << 43)
    status, output, errors = run(capsys, "stores", "backup", "viewing", *data)
    assert (status, output) == (1, [])
    (line,) = errors
    assert line.startswith("matinee: There is not enough space for a backup of viewing.db in ")
    assert "(8,796,093 MB needed, " in line
    assert list((tmp_path / "backups").iterdir()) == []


@pytest.mark.parametrize("command", [["config", "show"], ["stores", "status"]])
def test_a_settings_file_that_is_named_must_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    status, _, errors = run(capsys, *command, "--config", f"{tmp_path}/nope.toml")
    assert (status, errors[-1]) == (
        2,
        f"Error: Invalid value for '--config': File '{tmp_path}/nope.toml' does not exist.",
    )


@pytest.mark.parametrize("value", ["", " "])
@pytest.mark.parametrize(
    "command", [["up"], ["status"], ["stores", "status"], ["accounts", "list"], ["lab", "engines", "status"]]
)
def test_an_empty_data_directory_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str], value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, output, errors = run(capsys, *command, "--data", value)
    assert (status, output) == (2, [])
    assert errors == ["matinee: The setting 'deployment.data' must not be empty (command line)."]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ["config", "show", "--config", ""],
        ["accounts", "export", "ada@example.org", "--out", ""],
        ["lab", "engines", "status", "--dir", " "],
        ["ingest", ""],
        ["ingest", "film.mp4", "--audio", "de="],
    ],
)
def test_an_empty_path_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, errors = run(capsys, *command)
    assert status == 2
    assert errors[-1].startswith("Error: Invalid value for ")
    assert "must not be empty" in errors[-1] or "existing file" in errors[-1]


def test_settings_of_a_data_directory_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, rows, _ = run(capsys, "config", "show", "--data", str(tmp_path), "--json")
    shown = {setting["key"]: setting for setting in json.loads("\n".join(rows))}
    assert (status, shown["deployment.data"]["value"]) == (0, str(tmp_path))
    assert shown["identity.store"]["value"] == f"sqlite:///{tmp_path}/identity.db"


def test_an_episode_needs_its_title(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, errors = run(capsys, "ingest", "film.mp4", "--episode-id", "epi_1", "--data", str(tmp_path))
    assert (status, errors[-1]) == (2, "Error: --episode-id needs the --title-id of its title.")


def test_options_of_ingest_describe_the_film() -> None:
    options = {"name": "Heat", "synopsis": "", "language": "en", "year": 1995, "maturity": 16, "genres": ("Crime",)}
    facts = {"countries": ("us",), "studios": ("Regency",), "franchise": "Heat", "moods": ("Feel good",)}
    files: dict[str, Any] = {"audio": [], "subtitles": [], "title_id": None, "episode_id": None, "again": False}
    draft = IngestOptions(**{**options, **facts, **files}, keywords=("heist",)).to_draft()
    assert (draft.countries, draft.studios, draft.franchise) == (["US"], ["Regency"], {"en": "Heat"})
    assert draft.moods == [Mood(mood_id="feel-good", names={"en": "Feel good"})]
    assert draft.keywords == [{"en": "heist"}]
    check_draft(draft)


def test_an_account_needs_a_password_without_a_terminal_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    status, _, errors = run(capsys, "accounts", "create", "ada@example.org", "--data", str(tmp_path))
    assert (status, "--generate" in errors[-1]) == (2, True)
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
    status, _, errors = run(capsys, "accounts", "create", "ada@example.org", "--data", str(tmp_path))
    assert (status, "is not running" in errors[-1]) == (1, True)


def test_input_that_is_not_utf8_is_one_line_without_the_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        "\udcff secret".encode()

    monkeypatch.setattr("matinee.cli.accounts.call", fail)
    status, _, errors = run(capsys, "accounts", "sign-out", "\udcff@example.org", "--data", str(tmp_path))
    assert (status, errors) == (1, ["matinee: An argument or the standard input is not valid UTF-8."])


def test_control_characters_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    show(["\x1b]0;owned\x07", "de\u202emo\x9b31m", "famil\u200dy\u00a0!"], ["name"], lambda name: [name])
    assert capsys.readouterr().out.splitlines()[1:] == [
        "\ufffd]0;owned\ufffd",
        "de\ufffdmo\ufffd31m",
        "famil\u200dy\u00a0!",
    ]


def test_control_characters_in_json_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["\x1b]0;owned\x07\x7f", "de\u202emo\x9b31m\u2028", "famil\u200dy 千\n"]
    show(texts, ["name"], lambda name: [name], as_json=True)
    printed = capsys.readouterr().out
    assert json.loads(printed) == texts
    assert all(letter.isprintable() or letter in "\n\u200d" for letter in printed)
    assert len(printed.splitlines()) == len(texts) + 2
    assert "千" in printed


def test_tables_align_wide_characters_and_stay_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("千と千尋", 1, "x" * 300), ("a", 20, "")]
    show(rows, ("name", "count", ""), lambda row: row)
    assert capsys.readouterr().out.splitlines() == [
        "name      count",
        f"千と千尋  1      {'x' * 300}",
        "a         20",
    ]
    show([], ("name",), lambda row: row, empty="Nothing.")
    assert capsys.readouterr().out == "Nothing.\n"
    show([], ("name",), lambda row: row, as_json=True, empty="Nothing.")
    assert capsys.readouterr().out == "[]\n"
