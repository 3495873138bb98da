"""nginx's configuration, and the script that checks links.

nginx serves complete cached objects itself. It passes everything else (misses, invalid links, unknown addresses, other
methods) to the built-in server unchanged, so that all headers and problem documents have one source. `Cache-Control`
in the response decides what nginx caches; the token of a link is not part of the cache key.
"""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path

import msgspec

from matinee.drivers import nginx
from matinee.edge.api import (
    AddressTooLong,
    BadRequest,
    EdgeBusy,
    EdgeSettings,
    HeaderTooLarge,
    OriginFailed,
    OutsideFile,
)
from matinee.edge.model.addresses import SEGMENT
from matinee.kit.problem import Problem

# From nginx's manual: one megabyte of the zone holds about 8,000 keys.
_OBJECTS_PER_ZONE_MB = 8000
_AVERAGE_OBJECT_BYTES = 500_000
_HERE = Path(__file__).parent
_PLACEHOLDER = re.compile(r"@(\w+)@")
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

# From nginx's manual: one megabyte of the zone holds 8,000 clients.
_CLIENT_ZONE = "limit_conn_zone $binary_remote_addr zone=clients:4m;"
_REFUSALS = (EdgeBusy(), OriginFailed(), BadRequest(), AddressTooLong(), HeaderTooLarge(), OutsideFile(size_bytes=0))


class NginxPorts(msgspec.Struct, frozen=True, kw_only=True):
    """The ports of nginx (for clients, for its status page), of the built-in server, and of the log of hits."""

    public: int
    status: int
    filler: int
    log: int


def write(folder: Path, settings: EdgeSettings, ports: NginxPorts) -> None:
    """Write the configuration, readable by its owner only because it contains the keys that sign links."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = [key.hex() for key in settings.token_keys]
    _write_private(folder / "keys.js", f"export default {msgspec.json.encode(keys).decode()};\n")
    _write_private(folder / "links.js", (_HERE / "links.js").read_text())
    _write_private(folder / "nginx.conf", render(folder, settings, ports))


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def render(folder: Path, settings: EdgeSettings, ports: NginxPorts) -> str:
    """Render `nginx.conf`."""
    zone_mb = max(1, settings.cache_limit_bytes // _AVERAGE_OBJECT_BYTES // _OBJECTS_PER_ZONE_MB)
    upstream_s = max(1, round(settings.upstream_timeout_s))
    values: dict[str, object] = {
        "module": nginx.find_module(nginx.JS_MODULE),
        "user": _render_user(),
        "workers": settings.workers,
        "connections": settings.max_connections + 64,
        "files": 4 * settings.max_connections + 256,
        "header_s": max(1, round(settings.header_timeout_s)),
        "idle_s": max(1, round(settings.idle_timeout_s)),
        "send_s": max(1, round(settings.send_timeout_s)),
        "temporary": " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in _TEMPORARY),
        "client_zone": _CLIENT_ZONE if settings.max_connections_per_client else "",
        "client_limit": _render_client_limit(settings.max_connections_per_client),
        "folder": folder,
        "status_port": ports.status,
        "log_port": ports.log,
        "cache": folder / "cache",
        "zone_mb": zone_mb,
        "limit": settings.cache_limit_bytes,
        "upstream_s": upstream_s,
        "read_s": 3 * upstream_s,
        "filler_port": ports.filler,
        "host": f"[{settings.host}]" if ":" in settings.host else settings.host,
        "port": ports.public,
        "tls": f"{' ipv6only=off' if settings.host == '::' else ''}{' ssl' if settings.tls_cert else ''}",
        "certificate": _render_certificate(settings),
        "segment": SEGMENT,
        "refusals": "\n".join(_render_problem(problem) for problem in _REFUSALS),
    }
    template = (_HERE / "nginx.conf").read_text()
    return _PLACEHOLDER.sub(lambda found: str(values[found[1]]), template)


def _render_client_limit(limit: int) -> str:
    """Return the directives that limit the connections of one address, of those on which a request is answered."""
    return f"limit_conn clients {limit}; limit_conn_status 503; error_page 503 = /nginx-edge-busy;" if limit else ""


def _render_problem(problem: Problem) -> str:
    """Return the location that answers requests which nginx itself refuses."""
    # The size of the file is only in nginx's Content-Range header.
    facts = {name: fact for name, fact in problem.to_document().items() if name != "size_bytes"}
    document = msgspec.json.encode(facts).decode().replace("'", "\\'")
    return (
        f"    location = /nginx-{problem.kind()} {{ internal; default_type application/problem+json; "
        f"add_header Cache-Control no-store always; return {problem.status} '{document}'; }}"
    )


def _render_user() -> str:
    # Started by root, nginx would run its workers as another user, who cannot read the cache.
    return f"user {pwd.getpwuid(0).pw_name}; " if os.geteuid() == 0 else ""


def _render_certificate(settings: EdgeSettings) -> str:
    if not settings.tls_cert:
        return ""
    key = settings.tls_key or settings.tls_cert
    return f"ssl_certificate {settings.tls_cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;"
