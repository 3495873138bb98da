"""The interface of an edge: its HTTP addresses, its settings and its problems.

    GET HEAD OPTIONS  /t/<token>/assets/<asset_id>/<path>   content, with a path token for `assets/<asset_id>`
    GET HEAD OPTIONS  /art/<path>                           artwork, without a token
    GET HEAD          /healthz                              whether this edge accepts clients

On the admin port: `/healthz`, `/readyz` (503 while a background job of the worker keeps failing), and `/metrics`
(Prometheus text format), summed over the workers of the edge.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from matinee.kit.ids import EdgeId
from matinee.kit.problem import Problem


class EdgeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one edge, whose workers share a port and a cache directory.

    `upstream` is an object store (`file:///…`, `s3://…`) or another edge (`http://…`). Every key in `token_keys` is
    accepted, so that keys can be rotated; the first signs requests to another edge. `base_url` is the URL given to
    clients, `address` the one at which the front reaches this edge; empty means that it is made from host and port.
    `admin_port` None means no admin port. `max_connections_per_client` 0 means no limit for one address.
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
    address: str = ""
    workers: int = 1
    max_connections: int = 4096
    max_connections_per_client: int = 0
    header_timeout_s: float = 10.0
    idle_timeout_s: float = 75.0
    send_timeout_s: float = 30.0
    upstream_timeout_s: float = 10.0


class BadRequest(Problem, status=400):
    """The request is malformed."""


class LinkRefused(Problem, status=403):
    """This link is not valid for this file, or it has expired."""


class NoSuchFile(Problem, status=404):
    """There is no such file."""


class ReadOnly(Problem, status=405):
    """Only reading is allowed here."""


class RequestTooSlow(Problem, status=408):
    """The request took too long to arrive."""


class AddressTooLong(Problem, status=414):
    """The address is too long."""


class OutsideFile(Problem, status=416):
    """The requested range lies outside the file."""

    size_bytes: int


class HeaderTooLarge(Problem, status=431):
    """The request header is too large."""


class OriginFailed(Problem, status=502):
    """The origin did not deliver this file."""


class EdgeBusy(Problem, status=503):
    """This edge has reached its connection limit."""


class OriginTooSlow(Problem, status=504):
    """The origin did not answer in time."""
