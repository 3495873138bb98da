"""Problems: the same class in process, through a document, and through a pickle."""

from __future__ import annotations

import copy
import importlib
import pickle
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matinee.kit.problem import Fault, Invalid, Overloaded, Problem, TooLarge, Unreachable

for domain in ("catalogue", "encoding", "identity", "licensing", "playback", "steering"):
    importlib.import_module(f"matinee.{domain}.api")


class CurtainStuck(Problem, status=409):
    """The curtain is stuck. More of it here."""

    row: int
    at: datetime
    names: tuple[str, ...] = ()
    fault: Fault | None = None


stuck = st.builds(
    CurtainStuck,
    row=st.integers(-(2**53), 2**53),
    at=st.datetimes(timezones=st.just(UTC)),
    names=st.lists(st.text(), max_size=3).map(tuple),
    fault=st.none() | st.builds(Fault, st.text(), st.text()),
    detail=st.text(),
)


def fields(problem: CurtainStuck) -> tuple[Any, ...]:
    return problem.row, problem.at, problem.names, problem.fault, problem.detail


@given(stuck)
def test_a_problem_round_trips_through_its_document(problem: CurtainStuck) -> None:
    document = msgspec.json.decode(msgspec.json.encode(problem.to_document("trc_1")))
    back = Problem.from_document(document)
    assert isinstance(back, CurtainStuck)
    assert fields(back) == fields(problem)


@given(stuck)
def test_a_problem_round_trips_through_a_pickle(problem: CurtainStuck) -> None:
    for back in (pickle.loads(pickle.dumps(problem)), copy.copy(problem)):
        assert isinstance(back, CurtainStuck)
        assert fields(back) == fields(problem)


def test_the_document_follows_rfc_9457() -> None:
    document = Overloaded(retry_after_ms=5, detail="Soon.").to_document("trc_1")
    assert document == {
        "type": "/problems/overloaded",
        "title": "There are too many requests at the moment; try again shortly",
        "status": 503,
        "instance": "trc_1",
        "detail": "Soon.",
        "retry_after_ms": 5,
    }
    assert "instance" not in Overloaded(retry_after_ms=5).to_document()


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"type": 7},
        {"type": "/problems/from-the-future"},
        {"type": "/problems/too-large"},
        {"type": "/problems/too-large", "limit_bytes": "many"},
        {"type": "/problems/invalid", "faults": [{"field": 1}]},
    ],
)
def test_an_unknown_or_invalid_document_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Problem.from_document(document)


def test_facts_of_a_later_version_are_ignored() -> None:
    back = Problem.from_document({"type": "https://x/problems/too-large", "limit_bytes": 5, "new": [1]})
    assert isinstance(back, TooLarge)
    assert back.limit_bytes == 5


def test_text_is_the_detail_or_the_title() -> None:
    assert str(Unreachable(service="x")).startswith("A service did not answer")
    assert str(Unreachable(service="x", detail="Gone.")) == "Gone."
    assert repr(Invalid(faults=[Fault("a", "b")])) == "Invalid(detail='', faults=[{'field': 'a', 'message': 'b'}])"


def test_a_missing_fact_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="retry_after_ms"):
        Overloaded()  # type: ignore[call-arg]


def test_two_problems_of_one_name_are_refused() -> None:
    with pytest.raises(TypeError, match="two problems"):
        type("Overloaded", (Problem,), {"__module__": "elsewhere", "__doc__": "Another."}, status=503)


def test_reserved_names_are_refused_as_facts() -> None:
    with pytest.raises(TypeError, match="title"):
        type("Titled", (Problem,), {"__annotations__": {"title": str}, "__doc__": "x."}, status=400)


@pytest.mark.parametrize("kind", Problem.kinds.values(), ids=lambda kind: kind.__name__)
def test_every_problem_has_a_title_and_an_error_status(kind: type[Problem]) -> None:
    assert kind.title
    assert 400 <= kind.status < 600
    assert kind.kind() == kind.kind().lower()
