"""Structured logging: one wide line per request or step, as JSON to a file or pipe and in colour to a terminal."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, TextIO, cast

import structlog

from matinee.kit import context

# Values under a name that contains one of these are never written.
SECRET_WORDS = ("password", "token", "secret", "authorization", "cookie", "email")
# These occur inside harmless words (`mapping`), so they are matched only between underscores.
SECRET_PARTS = {"pin"}
# So many warnings of one kind are written in each interval: an outage must not fill the disk.
_WARNINGS, _INTERVAL_S = 50, 10.0


def configure(*, level: str = "INFO", service: str = "") -> None:
    """Configure logging for this process; every line names `service`."""
    structlog.configure(
        processors=[
            WarningLimit(),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _add_trace_id,
            _mask_secrets,
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    if service:
        structlog.configure(processors=[_add_service(service), *structlog.get_config()["processors"]])


class WarningLimit:
    """Drops the warnings of one event after the first ones of an interval; the next one written counts them."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._intervals: dict[str, tuple[float, int]] = {}

    def __call__(self, _logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if method != "warning":
            return event
        now = self._now()
        start, count = self._intervals.get(event["event"], (now, 0))
        if now - start >= _INTERVAL_S:
            dropped = count - _WARNINGS
            start, count = now, 0
            if dropped > 0:
                event["dropped_before"] = dropped
        self._intervals[event["event"]] = (start, count + 1)
        if count >= _WARNINGS:
            raise structlog.DropEvent
        return event


class _StandardError:
    """Standard error whose writes never fail: when its disk is full, the line is dropped."""

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            return sys.stderr.write(text)
        return 0

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def get(**bound: Any) -> Any:
    """Return a logger; call it as `log.info("title.published", title_id=…)`.

    Without `configure`, lines go to standard error too, so that standard output holds only the output of a command.
    """
    if not structlog.is_configured():
        # The default renderer formats tracebacks by rich, which takes most of a second for each.
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        structlog.configure(
            processors=[*structlog.get_config()["processors"][:-1], renderer],
            logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
        )
    return structlog.get_logger(**bound)


def _add_service(service: str) -> Any:
    def add(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {"service": service, **event}

    return add


def _add_trace_id(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    trace_id = context.current().trace_id
    return {**event, "trace_id": trace_id} if trace_id else event


def _mask_secrets(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: "•••" if _is_secret(name) else _mask_value(value) for name, value in event.items()}


def _mask_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _mask_secrets(None, "", {str(name): inner for name, inner in value.items()})
    return [_mask_value(inner) for inner in value] if isinstance(value, list | tuple) else value


def _is_secret(name: str) -> bool:
    lower = name.lower()
    return any(word in lower for word in SECRET_WORDS) or not SECRET_PARTS.isdisjoint(lower.split("_"))
