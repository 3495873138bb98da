"""A session's manifests by name."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from matinee.catalogue.api import Asset
from matinee.playback.api import Delivery, Manifest, ManifestNotFound
from matinee.playback.model import dash, hls


class ManifestSource(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest is made of: what is left of the asset for the device, and the edges, best first."""

    asset: Asset
    deliveries: Sequence[Delivery]
    original_language: str


def render(name: str, source: ManifestSource, key_folder: str) -> Manifest:
    """The manifest of a name; `key_folder` is the path in front of an HLS key. Raises ManifestNotFound."""
    asset, deliveries = source.asset, source.deliveries
    if name == "manifest.mpd":
        body = dash.render(asset, deliveries, source.original_language)
        return Manifest(content_type=dash.CONTENT_TYPE, body=body)
    if name == "master.m3u8":
        return Manifest(content_type=hls.CONTENT_TYPE, body=hls.master(asset, deliveries, source.original_language))
    if name == hls.STEERING_NAME:
        return Manifest(content_type=hls.STEERING_TYPE, body=hls.steering(deliveries))
    return Manifest(content_type=hls.CONTENT_TYPE, body=_playlist(name, source, key_folder))


def _playlist(name: str, source: ManifestSource, key_folder: str) -> bytes:
    track_id, edge_id = hls.named(name)
    # An edge that is no longer ranked is stood in for by the best: the player's playlist stays good.
    base_url = next((d.base_url for d in source.deliveries if d.edge_id == edge_id), source.deliveries[0].base_url)
    for track in [*source.asset.video, *source.asset.audio]:
        if track.track_id == track_id:
            return hls.media(source.asset, track, base_url, key_folder)
    for text in source.asset.text:
        if text.track_id == track_id:
            return hls.text(source.asset, text, base_url)
    raise ManifestNotFound(name=name)
