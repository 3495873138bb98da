"""Engine URLs from the settings, and secrets kept out of what is shown."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit


def scheme(url: str) -> str:
    """The engine's name: `sqlite` of `sqlite:///x.db`, `mysql` of `mysql+asyncmy://…`."""
    return urlsplit(url).scheme.partition("+")[0]


def file_path(url: str) -> Path:
    """The path in a `file:///…` or `sqlite:///…` URL. Raises ValueError for any other."""
    parts = urlsplit(url)
    if scheme(url) not in {"file", "sqlite"} or parts.netloc:
        raise ValueError(f"not a path on this machine: {masked(url)}")
    return Path(unquote(parts.path))


def masked(url: str) -> str:
    """The URL with its password hidden."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"{parts.username}:•••@{host}{port}"))
