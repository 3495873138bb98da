"""One wide line a request or a step: JSON to a file or a pipe, colours to a terminal."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

from matinee.kit import context

# Nothing under these names is ever written, whatever event carries it.
SECRET_WORDS = ("password", "token", "secret", "authorization", "cookie", "email")
# These stand inside too many harmless words to be looked for anywhere but between underscores.
SECRET_PARTS = {"pin"}


def configure(*, level: str = "INFO", service: str = "") -> None:
    """Set up logging for this process; `service` stands on every line."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _with_trace,
            _without_secrets,
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Patient())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    if service:
        structlog.configure(processors=[_bound(service), *structlog.get_config()["processors"]])


class _Patient:
    """Standard error, whose disk may be full: a line is lost then, and not the work that it tells of."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return sys.stderr.write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def get(**bound: Any) -> Any:
    """A logger; call it as `log.info("title.published", title_id=…)`.

    In a process that never calls `configure`, lines go to standard error all the same: what a command answers is alone
    on standard output.
    """
    if not structlog.is_configured():
        structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Patient())))
    return structlog.get_logger(**bound)


def _bound(service: str) -> Any:
    def add(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {"service": service, **event}

    return add


def _with_trace(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    trace_id = context.current().trace_id
    return {**event, "trace_id": trace_id} if trace_id else event


def _without_secrets(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: "•••" if _is_secret(name) else _cleaned(value) for name, value in event.items()}


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return _without_secrets(None, "", {str(name): inner for name, inner in value.items()})
    return [_cleaned(inner) for inner in value] if isinstance(value, list | tuple) else value


def _is_secret(name: str) -> bool:
    lower = name.lower()
    return any(word in lower for word in SECRET_WORDS) or not SECRET_PARTS.isdisjoint(lower.split("_"))
