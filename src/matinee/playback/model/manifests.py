"""A session's manifests by name."""

from __future__ import annotations

from collections.abc import Sequence

from matinee.catalogue.api import Asset
from matinee.playback.api import Delivery, Manifest, ManifestNotFound
from matinee.playback.model import dash, hls
from matinee.playback.model.links import KeyLinks


def render_manifest(
    name: str, asset: Asset, deliveries: Sequence[Delivery], original_language: str, keys: KeyLinks
) -> Manifest:
    """Render the manifest of a name. Raises ManifestNotFound.

    `asset` has only the tracks that the device can play; `deliveries` are the edges, best first.
    """
    if name == "manifest.mpd":
        body = dash.render(asset, deliveries, original_language, keys.licence)
        return Manifest(content_type=dash.CONTENT_TYPE, body=body)
    if name == hls.STEERING_NAME:
        return Manifest(content_type=hls.STEERING_TYPE, body=hls.render_steering(deliveries))
    if name == "master.m3u8":
        body = hls.render_master(asset, deliveries, original_language, keys.key_format)
    else:
        body = _render_playlist(name, asset, deliveries, keys)
    return Manifest(content_type=hls.CONTENT_TYPE, body=body)


def _render_playlist(name: str, asset: Asset, deliveries: Sequence[Delivery], keys: KeyLinks) -> bytes:
    track_id, edge_id, has_iframes_only = hls.parse_playlist_name(name)
    # The best edge replaces one that is no longer ranked, so that the player's playlist stays valid.
    base_url = next((d.base_url for d in deliveries if d.edge_id == edge_id), deliveries[0].base_url)
    for video in asset.video:
        if video.track_id == track_id and has_iframes_only and video.iframes:
            return hls.render_iframes(asset, video, base_url, keys)
    if has_iframes_only:
        raise ManifestNotFound(name=name)
    for track in [*asset.video, *asset.audio]:
        if track.track_id == track_id:
            return hls.render_media(asset, track, base_url, keys)
    for text in asset.text:
        if text.track_id == track_id:
            return hls.render_text(asset, text, base_url)
    raise ManifestNotFound(name=name)
