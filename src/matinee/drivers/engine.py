"""What every engine can be in instead of well, in the same words whichever engine it is."""

from __future__ import annotations

from matinee.kit.problem import Problem


class EngineAway(Problem, status=503):
    """An engine does not answer."""

    engine: str
    retry_after_ms: int = 1000


class EngineReadOnly(Problem, status=503):
    """An engine takes no writes."""

    engine: str
    retry_after_ms: int = 1000


class StoreFull(Problem, status=507):
    """The disk that holds this store is full."""


class WrongVersion(Problem, status=500):
    """An engine is of a version that Matinee does not work with."""

    engine: str


class SchemaAhead(Problem, status=500):
    """A store was written by a newer Matinee than this one."""

    store: str
