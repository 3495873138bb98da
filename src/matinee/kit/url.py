"""URLs of engines in the settings, and how to show them without their secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_HIDDEN: Final = "•••"
_COMPONENTS: Final = re.compile(r"([^:/?#]+://)([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", re.DOTALL)
_HOST: Final = re.compile(r"(?:\[[^]@]*]|[^@:]*)(?::\d+)?")
# Memcached URLs have the zone of a host before the `@`.
_ZONED_HOST: Final = re.compile(rf"(?:[^@:]*@)?{_HOST.pattern}")
_OPTION: Final = re.compile(r"\?[\w.-]+=")
# Names of options that hold a secret (those of redis-py and librdkafka included), but not the path of a secret file.
_SECRET: Final = re.compile(
    r"(?:pass|password|passwd|passphrase|pwd|secret|token|credentials?|signature|pem|"
    r"(?:access|account|api|secret)[._-]?key|(?:oauthbearer|jaas)\.config)$",
    re.IGNORECASE,
)


def scheme(url: str) -> str:
    """Return the name of the engine: `sqlite` for `sqlite:///x.db`, `mysql` for `mysql+asyncmy://…`."""
    return urlsplit(url).scheme.partition("+")[0]


def file_path(url: str) -> Path:
    """Return the path of a `file:///…` or `sqlite:///…` URL. Raises ValueError for any other URL.

    As in SQLAlchemy, `sqlite:////x` is `/x` and `sqlite:///x` is relative.
    """
    parts = urlsplit(url)
    if scheme(url) not in {"file", "sqlite"} or parts.netloc:
        raise ValueError(f"not a path on this machine: {mask(url)}")
    return Path(parts.path.removeprefix("/") if scheme(url) == "sqlite" else unquote(parts.path))


def mask(url: str) -> str:
    """Return the URL with its secrets hidden: the password and secret options of the query.

    A password that contains an unescaped `/`, `?` or `#` is hidden too.
    """
    if (components := _COMPONENTS.fullmatch(url)) is None:
        return url
    start, authority, path, query, fragment = components.groups(default="")
    if _has_unescaped_password(authority, path + fragment, query):
        return f"{start}{authority.partition(':')[0]}:{_HIDDEN}@{url.rpartition('@')[2]}"
    if not (start == "memcached://" and _matches_all(_ZONED_HOST, authority)):
        authority = _mask_password(authority)
    return start + authority + path + "&".join(map(_mask_option, query.split("&"))) + fragment


def _has_unescaped_password(authority: str, path: str, query: str) -> bool:
    """Return whether a password seems to continue beyond the authority; yes when in doubt."""
    if ":" not in authority or "@" not in path + query:
        return False
    hosts = authority.rpartition("@")[2]
    return "@" in path or not hosts or not _matches_all(_HOST, hosts) or not _OPTION.match(query)


def _matches_all(form: re.Pattern[str], authority: str) -> bool:
    return all(form.fullmatch(each) for each in authority.split(","))


def _mask_password(authority: str) -> str:
    credentials, _, hosts = authority.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return f"{user}:{_HIDDEN}@{hosts}" if colon else authority


def _mask_option(option: str) -> str:
    """Mask one `name=value` of a query; the first option includes the `?`."""
    name, equals, value = option.partition("=")
    if equals and _SECRET.search(unquote(name)):
        return f"{name}={_HIDDEN}"
    inner = unquote(value)
    return f"{name}={mask(inner)}" if mask(inner) != inner else option
