"""What each part of search is worth: a part is switched off while queries are evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, TypeAlias
from unittest.mock import patch

from matinee.lab.search.evaluation import ALL, Evaluation, Score
from matinee.search.model.folding import fold

# Smaller differences are those of single queries.
_LEAST_DIFFERENCE = 0.004
# A function by its module and name, and what is called instead.
_Replaced: TypeAlias = tuple[str, Callable[..., Any]]
_MODEL, _FINDING, _ENGINE = (
    "matinee.search.model",
    "matinee.search.service.finding",
    "matinee.search.adapters.{}_documents",
)


def _return(value: object) -> Callable[..., Any]:
    return lambda *_arguments, **_options: value


# Functions are replaced where they are used, since modules import names.
_PARTS: Final[Mapping[str, tuple[_Replaced, ...]]] = {
    "corrections": ((f"{_MODEL}.matching.allow_edits", _return(0)),),
    "beginnings without a letter": ((f"{_ENGINE}.list_query_heads", _return(())),),
    "trigrams": ((f"{_ENGINE}.list_grams", _return(["-"])),),
    "sound": ((f"{_ENGINE}.make_sound", _return("")), (f"{_MODEL}.ranking.make_sound", _return(""))),
    "other spellings": ((f"{_FINDING}.read_query", lambda query: (fold(query),)),),
    "what is known of titles": ((f"{_ENGINE}.list_about_words", _return(([], ""))),),
    "popularity": ((f"{_MODEL}.ranking.scale_popularity", _return(0.0)),),
    "keyboard layouts": ((f"{_FINDING}.swap_layout", _return(())),),
    "episodes by number": ((f"{_FINDING}.parse_episode", _return(None)),),
    "words left out": ((f"{_FINDING}.drop_fillers", _return("")), (f"{_FINDING}._list_shortened", _return(()))),
}
PARTS: Final = tuple(_PARTS)


@contextmanager
def without(part: str, engine: str) -> Iterator[None]:
    """Switch off a part of the searches on an engine, by one of `PARTS`."""
    with ExitStack() as replaced:
        for name, instead in _PARTS[part]:
            replaced.enter_context(patch(name.format(engine), instead))
        yield


def render_parts(complete: Evaluation, parts: Mapping[str, Evaluation]) -> str:
    """Render in plain text how much success@10 of each class changes without each part."""
    before = {score.query_class: score.success_at_10 for score in complete.scores}
    lines = ["success@10 without"]
    for part, evaluation in parts.items():
        changes = [change for score in evaluation.scores if (change := _describe_change(score, before))]
        ndcg = f"NDCG@10 of all {_get_ndcg(complete):.3f} → {_get_ndcg(evaluation):.3f}"
        lines.append(f"  {part}: {', '.join([*changes, ndcg])}")
    return "\n".join(lines)


def _get_ndcg(evaluation: Evaluation) -> float:
    return next(score.ndcg_at_10 for score in evaluation.scores if score.query_class == ALL)


def _describe_change(score: Score, before: Mapping[str, float]) -> str:
    was = before[score.query_class]
    if abs(score.success_at_10 - was) < _LEAST_DIFFERENCE:
        return ""
    return f"{score.query_class} {was:.3f} → {score.success_at_10:.3f}"
