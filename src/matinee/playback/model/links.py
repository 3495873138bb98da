"""Signed links: to manifests and beacons at the gateway, to segments at the edges."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from matinee.kit.hashing import mint_path_token
from matinee.kit.ids import AssetId, PlaySessionId
from matinee.playback.api import Delivery, KeyFormat
from matinee.steering.api import RankedEdge

API = "/api/v1"
LICENCE_PATH = f"{API}/licences/clearkey"


class KeyLinks(msgspec.Struct, frozen=True, kw_only=True):
    """Where a player without an access token gets keys, and how an HLS player wants them.

    `licence` is the address of a ClearKey licence server; key ids are appended to `folder`, for single keys.
    """

    licence: str
    folder: str
    key_format: KeyFormat = "identity"


def get_manifest_scope(session_id: PlaySessionId) -> str:
    """Return the token scope of a session's manifests."""
    return f"manifest/{session_id}"


def get_beacon_scope(session_id: PlaySessionId) -> str:
    """Return the token scope of a session's beacon."""
    return f"beacon/{session_id}"


def build_manifest_folder(key: bytes, session_id: PlaySessionId, expires_at: datetime) -> str:
    """Build the path that a session's manifest names are appended to."""
    token = mint_path_token(key, get_manifest_scope(session_id), int(expires_at.timestamp()))
    return f"{API}/playback/{session_id}/manifest/{token}/"


def build_beacon_path(key: bytes, session_id: PlaySessionId, expires_at: datetime) -> str:
    """Build the path to which a closing page sends its last heartbeat."""
    token = mint_path_token(key, get_beacon_scope(session_id), int(expires_at.timestamp()))
    return f"{API}/playback/{session_id}/beacon/{token}"


def build_key_links(licence_token: str, origin: str = "", key_format: KeyFormat = "identity") -> KeyLinks:
    """Build the links to keys at an origin; without one they are paths."""
    return KeyLinks(
        licence=f"{origin}{LICENCE_PATH}/{licence_token}",
        folder=f"{API}/licences/hls/{licence_token}/",
        key_format=key_format,
    )


def build_deliveries(
    key: bytes, edges: Sequence[RankedEdge], asset_id: AssetId, expires_at: datetime
) -> list[Delivery]:
    """Build the links to an asset at each edge, in the same order and with one token."""
    scope = f"assets/{asset_id}"
    path = f"/t/{mint_path_token(key, scope, int(expires_at.timestamp()))}/{scope}/"
    return [Delivery(edge_id=edge.edge_id, base_url=edge.base_url.rstrip("/") + path) for edge in edges]
