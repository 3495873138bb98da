"""Engine URLs from the settings, and secrets kept out of what is shown."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit


def scheme(url: str) -> str:
    """The engine's name: `sqlite` of `sqlite:///x.db`, `mysql` of `mysql+asyncmy://…`."""
    return urlsplit(url).scheme.partition("+")[0]


def file_path(url: str) -> Path:
    """The path in a `file:///…` or `sqlite:///…` URL. Raises ValueError for any other.

    `sqlite:////x` is `/x` and `sqlite:///x` is relative, as SQLAlchemy has it.
    """
    parts = urlsplit(url)
    if scheme(url) not in {"file", "sqlite"} or parts.netloc:
        raise ValueError(f"not a path on this machine: {masked(url)}")
    return Path(parts.path.removeprefix("/") if scheme(url) == "sqlite" else unquote(parts.path))


def masked(url: str) -> str:
    """The URL with its password hidden."""
    parts = urlsplit(url)
    credentials, at, place = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return urlunsplit(parts._replace(netloc=f"{user}:•••@{place}")) if at and colon else url
