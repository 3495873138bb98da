"""The shared vocabulary."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from matinee.kit import context, ids, log, url
from matinee.kit.clock import CLOCK_SKEW, BoundedTimes, ManualClock, SystemClock, from_ms, to_ms
from matinee.kit.context import Context
from matinee.kit.disk import measure_spare_bytes
from matinee.kit.ids import JobId, TitleId
from matinee.kit.structs import build_from

moments = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # Hypothesis adds the zone
Capsys = pytest.CaptureFixture[str]
entropy = st.binary(min_size=10, max_size=10)


class TestClock:
    @given(st.integers(0, 200_000_000_000_000))
    def test_milliseconds_round_trip(self, epoch_ms: int) -> None:
        assert to_ms(from_ms(epoch_ms)) == epoch_ms

    def test_now_is_in_utc_and_whole_milliseconds(self) -> None:
        now = SystemClock().now()
        assert now.utcoffset() == timedelta(0)
        assert now.microsecond % 1000 == 0

    def test_a_manual_clock_moves_by_advance(self) -> None:
        clock = ManualClock()
        start = clock.now()
        assert clock.advance(hours=1) == clock.now() == start + timedelta(hours=1)


class TestIds:
    @given(st.uuids())
    def test_any_uuid_round_trips(self, value: uuid.UUID) -> None:
        assert ids.decode(ids.encode(value)) == ids.decode(f"tit_{ids.encode(value)}") == value

    @given(st.uuids(), st.uuids())
    def test_encoded_ids_sort_like_the_uuid(self, one: uuid.UUID, other: uuid.UUID) -> None:
        assert (ids.encode(one) < ids.encode(other)) == (one < other)

    @given(moments, entropy)
    def test_a_uuid7_contains_its_millisecond(self, now: datetime, random: bytes) -> None:
        value = ids.uuid7(now, random)
        assert (value.version, value.variant) == (7, uuid.RFC_4122)
        assert value.int >> 80 == to_ms(now)

    def test_the_time_of_an_id_is_read(self) -> None:
        now = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
        assert ids.read_time(ids.generate(TitleId, now)) == now
        assert ids.read_time(ids.derive(TitleId, "x")) is None
        assert ids.read_time("tit_nothing") is None

    @given(moments, st.integers(1, 10**9), entropy, entropy)
    def test_ids_sort_by_time(self, now: datetime, later_ms: int, one: bytes, other: bytes) -> None:
        assert ids.uuid7(now, one) < ids.uuid7(now + timedelta(milliseconds=later_ms), other)

    @pytest.mark.parametrize("kind", ids.PREFIXES)
    def test_every_kind_has_its_own_prefix(self, kind: type[str]) -> None:
        generated = ids.generate(kind, SystemClock().now())
        assert generated.startswith(f"{ids.PREFIXES[kind]}_")
        assert list(ids.PREFIXES.values()).count(ids.PREFIXES[kind]) == 1

    def test_generated_ids_are_unique(self) -> None:
        now = SystemClock().now()
        assert len({ids.generate(TitleId, now) for _ in range(1000)}) == 1000

    @given(st.lists(st.text(max_size=5), max_size=3), st.lists(st.text(max_size=5), max_size=3))
    def test_derived_ids_are_equal_only_for_equal_parts(self, one: list[str], other: list[str]) -> None:
        same = "\x1f".join(one) == "\x1f".join(other)
        assert (ids.derive(JobId, *one) == ids.derive(JobId, *other)) == same
        assert ids.decode(ids.derive(JobId, *one)).version == 8

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "tit_",
            "tit_x",
            "i" * 26,
            "Z" * 26,
            "z" * 26,
            "tit_" + "0" * 27,
            "é" * 26,
            "I" * 26,
            "u" + "0" * 25,
            " " + "0" * 25,
            "+" + "0" * 25,
        ],
    )
    def test_invalid_ids_are_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="not an id"):
            ids.decode(text)


class TestContext:
    def test_the_first_context_is_empty(self) -> None:
        assert (context.current().trace_id, context.current().remaining_ms()) == ("", None)

    def test_a_context_is_current_only_inside_its_block(self) -> None:
        with context.activate(Context(trace_id="t")) as active:
            assert context.current() is active
        assert context.current().trace_id == ""

    def test_an_earlier_deadline_stays_in_force(self) -> None:
        with context.with_timeout(10_000) as outer:
            with context.with_timeout(60_000) as inner:
                assert inner.deadline_s == outer.deadline_s
            with context.with_timeout(1_000) as inner:
                assert (inner.remaining_ms() or 0) <= 1_000
            assert context.current() is outer

    def test_remaining_time_is_not_negative(self) -> None:
        assert Context(trace_id="", deadline_s=time.monotonic() - 5).remaining_ms() == 0

    def test_a_timeout_keeps_the_other_fields(self) -> None:
        with context.activate(Context(trace_id="t")), context.with_timeout(5):
            assert context.current().trace_id == "t"


class TestUrl:
    @pytest.mark.parametrize(
        ("given_url", "scheme"),
        [("sqlite:///x.db", "sqlite"), ("mysql+asyncmy://h/d", "mysql"), ("s3://b", "s3"), ("", ""), ("x", "")],
    )
    def test_scheme(self, given_url: str, scheme: str) -> None:
        assert url.scheme(given_url) == scheme

    @pytest.mark.parametrize(
        ("given_url", "path"),
        [
            ("file:///var/a%20b", "/var/a b"),
            ("sqlite:////var/lib/x.db", "/var/lib/x.db"),
            ("sqlite:///x.db", "x.db"),
        ],
    )
    def test_file_path(self, given_url: str, path: str) -> None:
        assert url.file_path(given_url) == Path(path)

    @pytest.mark.parametrize("given_url", ["s3://b/k", "file://host/x", "", "mysql://u:secret@h/d"])
    def test_an_error_about_a_path_hides_the_password(self, given_url: str) -> None:
        with pytest.raises(ValueError, match="not a path") as caught:
            url.file_path(given_url)
        assert "secret" not in str(caught.value)


class TestLog:
    @pytest.fixture(autouse=True)
    def reset_logging(self) -> Iterator[None]:
        yield
        structlog.reset_defaults()

    def test_an_event_is_one_line_with_service_and_trace(self, capsys: Capsys) -> None:
        log.configure(service="gateway")
        with context.activate(Context(trace_id="trc_1")):
            log.get(part="x").info("title.published", title_id="tit_1", note="two\nlines")
        written = capsys.readouterr().err
        line = json.loads(written)
        wanted = {"event": "title.published", "service": "gateway", "trace_id": "trc_1", "part": "x", "level": "info"}
        assert wanted.items() <= line.items()
        assert written.count("\n") == 1

    def test_secrets_are_never_written(self, capsys: Capsys) -> None:
        log.configure()
        log.get().warning(
            "x.y", password="s3cr", access_token="s3cr", new_pin="s3cr", Authorization="s3cr", nested={"email": "s3cr"}
        )
        log.get().warning("x.y", listed=[{"cookie": "s3cr"}])
        written = capsys.readouterr().err
        assert written.count("•••") + written.count("\\u2022" * 3) == 6
        assert "s3cr" not in written

    def test_warnings_of_one_kind_are_limited_and_counted(self) -> None:
        now = [0.0]
        limit = log.WarningLimit(lambda: now[0])

        def write(method: str, event: str) -> dict[str, object] | None:
            try:
                return dict(limit(None, method, {"event": event}))
            except structlog.DropEvent:
                return None

        assert sum(write("warning", "a") is not None for _ in range(120)) == 50
        assert write("warning", "b") == {"event": "b"}
        assert all(write("error", "a") and write("info", "a") for _ in range(99))
        now[0] = 10.0
        assert write("warning", "a") == {"event": "a", "dropped_before": 70}
        assert write("warning", "a") == {"event": "a"}

    def test_harmless_names_are_not_masked(self, capsys: Capsys) -> None:
        log.configure()
        log.get().info("x.y", mapping="kept", spinning=3, nested={"n": 1})
        line = json.loads(capsys.readouterr().err)
        assert (line["mapping"], line["spinning"], line["nested"]) == ("kept", 3, {"n": 1})

    def test_an_exception_is_logged_without_its_variables(self, capsys: Capsys) -> None:
        log.configure()
        secret = "s3cr" + "et"
        try:
            raise RuntimeError(f"{len(secret)}")
        except RuntimeError:
            log.get().exception("x.failed")
        written = capsys.readouterr().err
        assert "RuntimeError: 6" in json.loads(written)["exception"]
        assert "s3cret" not in written

    def test_events_below_the_level_are_dropped(self, capsys: Capsys) -> None:
        log.configure(level="WARNING")
        log.get().info("x.y")
        assert capsys.readouterr().err == ""


class _Point(msgspec.Struct, frozen=True, kw_only=True):
    x: int
    y: int = 0
    colour: str = "red"

    @property
    def total(self) -> int:
        return self.x + self.y


class _Sum(msgspec.Struct, frozen=True, kw_only=True):
    x: int
    total: int
    label: str


def test_struct_is_built_from_the_attributes_of_another() -> None:
    point = _Point(x=1, y=2)
    assert build_from(point, _Sum, label="a") == _Sum(x=1, total=3, label="a")
    assert build_from(point, _Sum, label="a", x=5) == _Sum(x=5, total=3, label="a")
    with pytest.raises(TypeError, match="label"):
        build_from(point, _Sum)
    with pytest.raises(TypeError, match="colour"):
        build_from(point, _Sum, label="a", colour="blue")


def test_time_ahead_of_now_counts_as_the_moment_when_it_was_first_read() -> None:
    times, now = BoundedTimes(), datetime(2026, 1, 1, tzinfo=UTC)
    near, ahead, minute = now + CLOCK_SKEW, now + timedelta(hours=5), timedelta(minutes=1)
    assert times.limit("a", near, now) == near
    assert [times.limit("a", ahead, now + minute * n) for n in range(3)] == [now] * 3
    assert times.limit("a", ahead + minute, now + minute) == now + minute
    assert times.limit("b", ahead, now + minute) == now + minute
    assert times.limit("b", ahead, now) == now  # the clock was set back again
    times.keep_only({"b"})
    assert times.limit("a", ahead + minute, now + minute * 2) == now + minute * 2
    assert times.limit("a", ahead, ahead) == ahead


def test_spare_bytes_are_what_is_free_above_the_reserve(tmp_path: Path) -> None:
    free_bytes = shutil.disk_usage(tmp_path).free
    with (tmp_path / "file").open("wb") as file:
        for place in (tmp_path, file.fileno()):
            assert abs(measure_spare_bytes(place, 0) - free_bytes) < 1 << 30
            assert measure_spare_bytes(place, 1 << 60) < 0
