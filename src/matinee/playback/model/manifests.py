"""A session's manifests by name. All but the addresses in them is rendered once for all sessions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TypeAlias

from matinee.catalogue.api import Asset
from matinee.playback.api import Delivery, Manifest, ManifestNotFound
from matinee.playback.model import dash, hls
from matinee.playback.model.links import KeyLinks

_LIMIT_BYTES = 32 << 20
_Key: TypeAlias = tuple[str, ...]


class ManifestRenderer:
    """Renders manifests; the most recently used templates are kept, up to some number of bytes."""

    def __init__(self, limit_bytes: int = _LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._templates: OrderedDict[_Key, tuple[Asset, bytes]] = OrderedDict()

    def render(
        self, name: str, asset: Asset, deliveries: Sequence[Delivery], original_language: str, keys: KeyLinks
    ) -> Manifest:
        """Render the manifest of a name. Raises ManifestNotFound.

        `asset` has only the tracks that the device can play; `deliveries` are the edges, best first.
        """
        if name == "manifest.mpd":
            key: _Key = (name, original_language)
            template = self._get(asset, key, lambda: dash.render_template(asset, original_language))
            body = dash.fill_template(template, deliveries, keys.licence)
            return Manifest(content_type=dash.CONTENT_TYPE, body=body)
        if name == hls.STEERING_NAME:
            return Manifest(content_type=hls.STEERING_TYPE, body=hls.render_steering(deliveries))
        if name == "master.m3u8":
            edge_ids = [delivery.edge_id for delivery in deliveries]
            key = (name, original_language, keys.key_format, *edge_ids)
            body = self._get(asset, key, lambda: hls.render_master(asset, edge_ids, original_language, keys.key_format))
        else:
            body = self._render_playlist(name, asset, deliveries, keys)
        return Manifest(content_type=hls.CONTENT_TYPE, body=body)

    def _render_playlist(self, name: str, asset: Asset, deliveries: Sequence[Delivery], keys: KeyLinks) -> bytes:
        track_id, edge_id, has_iframes_only = hls.parse_playlist_name(name)
        render = _find_playlist(asset, track_id, keys, has_iframes_only=has_iframes_only)
        if render is None:
            raise ManifestNotFound(name=name)
        template = self._get(asset, (track_id, keys.key_format, str(has_iframes_only)), render)
        # The best edge replaces one that is no longer ranked, so that the player's playlist stays valid.
        base_url = next((d.base_url for d in deliveries if d.edge_id == edge_id), deliveries[0].base_url)
        return hls.fill_template(template, base_url, keys.folder)

    def _get(self, asset: Asset, key: _Key, render: Callable[[], bytes]) -> bytes:
        """Return a template of an asset, rendered if there is none of the asset as it is now."""
        key = (asset.asset_id, *key)
        known = self._templates.get(key)
        if known is not None and known[0] == asset:
            self._templates.move_to_end(key)
            return known[1]
        template = render()
        self._bytes += len(template) - (len(known[1]) if known else 0)
        self._templates[key] = (asset, template)
        self._templates.move_to_end(key)
        while self._bytes > self._limit_bytes:
            _, (_, oldest) = self._templates.popitem(last=False)
            self._bytes -= len(oldest)
        return template


def _find_playlist(
    asset: Asset, track_id: str, keys: KeyLinks, *, has_iframes_only: bool
) -> Callable[[], bytes] | None:
    """Return what renders the playlist of a track, None if the asset has no such track."""
    if has_iframes_only:
        renditions = (video for video in asset.video if video.track_id == track_id and video.iframes)
        return next((lambda v=video: hls.render_iframes(asset, v, keys.key_format) for video in renditions), None)
    for track in [*asset.video, *asset.audio]:
        if track.track_id == track_id:
            return lambda: hls.render_media(asset, track, keys.key_format)
    for text in asset.text:
        if text.track_id == track_id:
            return lambda: hls.render_text(asset, text)
    return None
