"""Engine URLs from the settings, and secrets kept out of what is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_HIDDEN: Final = "•••"
_PARTS: Final = re.compile(r"([^:/?#]+://)([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
_HOST: Final = re.compile(r"(?:\[[^]@]*]|[^@:]*)(?::\d+)?")
# A host of Memcached has its zone before the `@`.
_ZONED: Final = re.compile(rf"(?:[^@:]*@)?{_HOST.pattern}")
_WORD: Final = re.compile(r"\?[\w.-]+=")
# The names of words that hold a secret, and not the path of a file that does: redis-py's and librdkafka's among them.
_SECRET: Final = re.compile(
    r"(?:pass|password|passwd|passphrase|pwd|secret|token|credentials?|signature|pem|"
    r"(?:access|account|api|secret)[._-]?key|(?:oauthbearer|jaas)\.config)$",
    re.IGNORECASE,
)


def scheme(url: str) -> str:
    """The engine's name: `sqlite` of `sqlite:///x.db`, `mysql` of `mysql+asyncmy://…`."""
    return urlsplit(url).scheme.partition("+")[0]


def file_path(url: str) -> Path:
    """The path in a `file:///…` or `sqlite:///…` URL. Raises ValueError for any other.

    `sqlite:////x` is `/x` and `sqlite:///x` is relative, as SQLAlchemy has it.
    """
    parts = urlsplit(url)
    if scheme(url) not in {"file", "sqlite"} or parts.netloc:
        raise ValueError(f"not a path on this machine: {mask(url)}")
    return Path(parts.path.removeprefix("/") if scheme(url) == "sqlite" else unquote(parts.path))


def mask(url: str) -> str:
    """The URL with its secrets hidden: passwords, and what words after the `?` say that is none of anyone's business.

    A password that holds a `/`, `?` or `#` as it is (it should be percent-encoded) is hidden too.
    """
    if (said := _PARTS.fullmatch(url)) is None:
        return url
    start, authority, path, query, fragment = said.groups(default="")
    if _is_cut(authority, path + fragment, query):
        return f"{start}{authority.partition(':')[0]}:{_HIDDEN}@{url.rpartition('@')[2]}"
    if not (start == "memcached://" and _are(_ZONED, authority)):
        authority = _without_password(authority)
    return start + authority + path + "&".join(map(_said, query.split("&"))) + fragment


def _is_cut(authority: str, path: str, query: str) -> bool:
    """Whether a password goes on behind what looks like the hosts; in doubt it does."""
    if ":" not in authority or "@" not in path + query:
        return False
    hosts = authority.rpartition("@")[2]
    return "@" in path or not hosts or not _are(_HOST, hosts) or not _WORD.match(query)


def _are(form: re.Pattern[str], authority: str) -> bool:
    return all(form.fullmatch(each) for each in authority.split(","))


def _without_password(authority: str) -> str:
    credentials, _, hosts = authority.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return f"{user}:{_HIDDEN}@{hosts}" if colon else authority


def _said(word: str) -> str:
    """One `name=value` of a query, which keeps its leading `?`."""
    name, equals, value = word.partition("=")
    if equals and _SECRET.search(unquote(name)):
        return f"{name}={_HIDDEN}"
    inner = unquote(value)
    return f"{name}={mask(inner)}" if mask(inner) != inner else word
