"""Signed links: to manifests and beacons on the gateway, to segments on the edges."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from matinee.kit.hashing import mint_path_token
from matinee.kit.ids import AssetId, PlaySessionId
from matinee.playback.api import Delivery
from matinee.steering.api import RankedEdge

API = "/api/v1"
LICENCE_PATH = f"{API}/licences/clearkey"


def manifest_scope(session_id: PlaySessionId) -> str:
    """What a token for a session's manifests opens."""
    return f"manifest/{session_id}"


def beacon_scope(session_id: PlaySessionId) -> str:
    """What a token for a session's beacon opens."""
    return f"beacon/{session_id}"


def manifest_folder(key: bytes, session_id: PlaySessionId, expires_at: datetime) -> str:
    """The path in front of a session's manifest names."""
    token = mint_path_token(key, manifest_scope(session_id), int(expires_at.timestamp()))
    return f"{API}/playback/{session_id}/manifest/{token}/"


def beacon_path(key: bytes, session_id: PlaySessionId, expires_at: datetime) -> str:
    """Where a closing page sends its last heartbeat."""
    token = mint_path_token(key, beacon_scope(session_id), int(expires_at.timestamp()))
    return f"{API}/playback/{session_id}/beacon/{token}"


def hls_key_folder(licence_token: str) -> str:
    """The path in front of a key id, where an HLS player asks for the key itself."""
    return f"{API}/licences/hls/{licence_token}/"


def deliveries(key: bytes, edges: Sequence[RankedEdge], asset_id: AssetId, expires_at: datetime) -> list[Delivery]:
    """The asset on each edge, in the same order, under one token."""
    scope = f"assets/{asset_id}"
    below = f"/t/{mint_path_token(key, scope, int(expires_at.timestamp()))}/{scope}/"
    return [Delivery(edge_id=edge.edge_id, base_url=edge.base_url.rstrip("/") + below) for edge in edges]
