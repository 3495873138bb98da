"""Expected failures, each a class: the same in process and across the mesh, and an RFC 9457 document over HTTP.

Problem
├── Invalid              422  invalid input, with one entry per field
├── Unauthenticated      401  not signed in, or the token has expired
├── Forbidden            403  signed in but not permitted
├── TooLarge             413  the body exceeds the limit
├── Overloaded           503  refused before any work was done; retry later
├── Unreachable          503  the call may or may not have happened
├── DeadlineExceeded     504  the deadline passed; the call may or may not have happened
└── each domain's own, in its `api.py`
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self, dataclass_transform, get_type_hints

import msgspec

_RESERVED = {"type", "title", "status", "instance"}


@dataclass_transform(kw_only_default=True, eq_default=False)
@dataclass(kw_only=True, eq=False, repr=False)
class Problem(Exception):
    """An expected failure.

    The docstring of a subclass is its title, its annotations are the facts that the caller needs (each becomes a
    member of the problem document), and `status` in the class statement is its HTTP status:

        class TitleNotFound(Problem, status=404):
            '''There is no such title.'''

            title_id: TitleId
    """

    status: ClassVar[int] = 500
    title: ClassVar[str] = ""
    _kind: ClassVar[str] = "problem"
    kinds: ClassVar[dict[str, type[Problem]]] = {}

    detail: str = ""

    def __init_subclass__(cls, *, status: int | None = None) -> None:
        super().__init_subclass__()
        if taken := _RESERVED & set(inspect.get_annotations(cls)):
            raise TypeError(f"{cls.__name__}: {', '.join(sorted(taken))} is a member of every problem document")
        if status is not None:
            cls.status = status
        cls._kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()
        cls.title = (cls.__doc__ or "").strip().split("\n", 1)[0].rstrip(".")
        dataclass(kw_only=True, eq=False, repr=False)(cls)
        known = Problem.kinds.setdefault(cls.kind(), cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"two problems are named {cls.kind()}: {known.__module__} and {cls.__module__}")

    @classmethod
    def kind(cls) -> str:
        """Return the class name in kebab case: `title-not-found`."""
        return cls._kind

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON-compatible values."""
        return {f.name: msgspec.to_builtins(getattr(self, f.name)) for f in fields(self)}

    def to_document(self, instance: str = "") -> dict[str, Any]:
        """Return the RFC 9457 problem document; `instance` is the trace id."""
        return {
            "type": f"/problems/{self.kind()}",
            "title": self.title,
            "status": self.status,
            **({"instance": instance} if instance else {}),
            **{name: value for name, value in self.facts().items() if value != "" or name != "detail"},
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Problem:
        """Rebuild a problem from its document. Raises ValueError for an unknown type or an invalid fact."""
        kind = cls.kinds.get(str(document.get("type", "")).rpartition("/")[2])
        if kind is None:
            text = document.get("detail") or document.get("title")
            raise ValueError(f"unknown problem {document.get('type')!r}: {text}")
        return kind._from_facts(document)

    @classmethod
    def _from_facts(cls, document: dict[str, Any]) -> Self:
        hints = get_type_hints(cls)
        names = [f.name for f in fields(cls)]
        try:
            return cls(**{n: msgspec.convert(document[n], hints[n]) for n in names if n in document})
        except TypeError as error:
            raise ValueError(f"problem {cls.kind()!r} lacks a fact: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by keyword arguments, which the default of exceptions does not support."""
        return _rebuild, (type(self), {f.name: getattr(self, f.name) for f in fields(self)})

    def __str__(self) -> str:
        return self.detail or self.title

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.facts().items())})"


def _rebuild(kind: type[Problem], facts: dict[str, Any]) -> Problem:
    return kind(**facts)


class Fault(msgspec.Struct, frozen=True):
    """One invalid field of the input: its path (`profiles.0.name`) and a message."""

    field: str
    message: str


class Invalid(Problem, status=422):
    """The input is invalid."""

    faults: list[Fault]


class Unauthenticated(Problem, status=401):
    """Sign in to continue."""


class Forbidden(Problem, status=403):
    """You do not have permission for this."""


class TooLarge(Problem, status=413):
    """The request is too large."""

    limit_bytes: int


class Overloaded(Problem, status=503):
    """There are too many requests at the moment; try again shortly."""

    retry_after_ms: int


class Unreachable(Problem, status=503):
    """A service did not answer; the call may or may not have happened."""

    service: str


class DeadlineExceeded(Problem, status=504):
    """The request took too long; it may or may not have been carried out."""

    service: str
