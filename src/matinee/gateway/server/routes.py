"""The routes of the public API, grouped by who may use them."""

from __future__ import annotations

from litestar import Router

from matinee.gateway.model.proxy import API
from matinee.gateway.server import auth, operator, playback, profiles, screens, uploads
from matinee.gateway.server.guards import require_operator, require_profile, require_sign_in

_BEARER = [{"bearer": list[str]()}]

_OPEN = [
    auth.sign_up,
    auth.sign_in,
    auth.refresh,
    auth.sign_out,
    playback.send_beacon,
    playback.get_manifest,
    playback.get_hls_key,
]
_SIGNED_IN = [
    auth.sign_out_everywhere,
    profiles.ping,
    profiles.list_profiles,
    profiles.create_profile,
    profiles.update_profile,
    profiles.remove_profile,
    profiles.choose_profile,
    profiles.list_devices,
    profiles.remove_device,
]
_PROFILE = [
    screens.get_home,
    screens.get_genre,
    screens.get_title,
    screens.get_history,
    screens.dismiss_title,
    playback.start_playback,
    playback.renew_playback,
    playback.send_heartbeat,
    playback.end_playback,
    playback.get_clearkey_licence,
]
_OPERATOR = [
    uploads.get_upload_options,
    uploads.create_upload,
    uploads.get_upload_offset,
    uploads.append_upload,
    uploads.remove_upload,
    operator.ingest,
    operator.list_jobs,
    operator.cancel_job,
    operator.retry_job,
    operator.list_titles,
    operator.put_title,
    operator.publish_title,
    operator.withdraw_title,
    operator.list_services,
    operator.list_edges,
    operator.drain_edge,
]


def api_routers() -> list[Router]:
    """Return the routers of the public API."""
    return [
        Router(API, route_handlers=_OPEN),
        Router(API, route_handlers=_SIGNED_IN, guards=[require_sign_in], security=_BEARER),
        Router(API, route_handlers=_PROFILE, guards=[require_profile], security=_BEARER),
        Router(API, route_handlers=_OPERATOR, guards=[require_operator], security=_BEARER),
    ]
