"""The front door of an edge: its addresses over HTTP, its settings, and what goes wrong.

    GET HEAD OPTIONS  /t/<token>/assets/<asset_id>/<path>   content, opened by a path token for `assets/<asset_id>`
    GET HEAD OPTIONS  /art/<path>                           artwork, open to all
    GET HEAD          /healthz                              whether this edge takes clients

On the admin port: `/healthz` and `/metrics` (Prometheus text), summed over the workers of this edge.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from matinee.kit.ids import EdgeId
from matinee.kit.problem import Problem


class EdgeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One edge. Its workers share a port, a cache directory and these settings.

    `upstream` is an object store (`file:///…`, `s3://…`) or another edge (`http://…`). Every one of `token_keys`
    is accepted, so that keys can be rotated; the first one signs requests to another edge. `base_url` is what
    clients are told; empty means that host and port say it. `admin_port` None means no admin port.
    """

    edge_id: EdgeId
    cache_dir: Path
    upstream: str
    token_keys: tuple[bytes, ...]
    host: str = "127.0.0.1"
    port: int = 0
    admin_host: str = "127.0.0.1"
    admin_port: int | None = None
    cache_limit_bytes: int = 10 << 30
    tls_cert: Path | None = None
    tls_key: Path | None = None
    name: str = "edge"
    region: str = "local"
    base_url: str = ""
    workers: int = 1
    max_connections: int = 4096
    header_timeout_s: float = 10.0
    idle_timeout_s: float = 75.0
    send_timeout_s: float = 30.0
    upstream_timeout_s: float = 10.0


class BadRequest(Problem, status=400):
    """This is not a request that can be understood."""


class LinkRefused(Problem, status=403):
    """This link was not made for this file, or its time is over."""


class NoSuchFile(Problem, status=404):
    """There is nothing here."""


class ReadOnly(Problem, status=405):
    """Files are read here; nothing else."""


class RequestTooSlow(Problem, status=408):
    """The request took too long to arrive."""


class AddressTooLong(Problem, status=414):
    """The address is too long."""


class OutsideFile(Problem, status=416):
    """The file does not reach as far as the range asked for."""

    size_bytes: int


class HeaderTooLarge(Problem, status=431):
    """The request's header is too large."""


class OriginFailed(Problem, status=502):
    """The origin did not hand out this file."""


class EdgeBusy(Problem, status=503):
    """This edge has no room for another client just now."""


class OriginTooSlow(Problem, status=504):
    """The origin did not answer in time."""
