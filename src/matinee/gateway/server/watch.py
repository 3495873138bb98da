"""Press play: sessions, heartbeats, manifests, licences."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response, get, post

from matinee.gateway.api import ClearKeyRequest, PlayRequest, RenewRequest
from matinee.gateway.api.problems import Malformed
from matinee.gateway.server.address import client_ip
from matinee.gateway.server.state import get_state, principal, viewer
from matinee.kit.ids import EdgeId, PlaySessionId
from matinee.kit.problem import Fault, Invalid
from matinee.licensing.api import ClearKeyLicence, LicenceRefused
from matinee.playback.api import Heartbeat, PlaySession, Renewal

_heartbeats = msgspec.json.Decoder(Heartbeat)


@post("/playback")
async def start_playback(request: Request[Any, Any, Any], data: PlayRequest) -> PlaySession:
    """Open a play session."""
    deployment = get_state(request)
    return await deployment.playback.start(
        principal=principal(),
        title_id=data.title_id,
        episode_id=data.episode_id,
        capabilities=data.capabilities,
        from_start=data.from_start,
        client_ip=client_ip(request, deployment.settings),
        territory=deployment.settings.territory,
    )


@post("/playback/{session_id:str}/renew", status_code=200)
async def renew_playback(
    request: Request[Any, Any, Any], session_id: PlaySessionId, data: RenewRequest | None = None
) -> Renewal:
    """Fresh signed URLs for a session that goes on."""
    deployment = get_state(request)
    return await deployment.playback.renew(
        principal=principal(),
        session_id=session_id,
        client_ip=client_ip(request, deployment.settings),
        failed=tuple(EdgeId(edge) for edge in data.failed) if data else (),
    )


@post("/playback/{session_id:str}/heartbeat", status_code=204)
async def heartbeat(request: Request[Any, Any, Any], session_id: PlaySessionId, data: Heartbeat) -> None:
    """A heartbeat."""
    deployment = get_state(request)
    await deployment.playback.record_heartbeat(
        principal=principal(), session_id=session_id, heartbeat=data, client_ip=client_ip(request, deployment.settings)
    )


@post("/playback/{session_id:str}/end", status_code=204)
async def end_playback(request: Request[Any, Any, Any], session_id: PlaySessionId, data: Heartbeat) -> None:
    """Close a session."""
    await get_state(request).playback.end(principal=principal(), session_id=session_id, heartbeat=data)


@post("/playback/{session_id:str}/beacon/{token:str}", status_code=204, opt={"body": Heartbeat})
async def beacon(request: Request[Any, Any, Any], session_id: PlaySessionId, token: str) -> None:
    """The last heartbeat of a page that is closing; `sendBeacon` may call its JSON text/plain."""
    deployment = get_state(request)
    await deployment.playback.record_beacon(
        session_id=session_id,
        token=token,
        heartbeat=_decoded(await request.body()),
        client_ip=client_ip(request, deployment.settings),
    )


@get(
    "/playback/{session_id:str}/manifest/{token:str}/{name:str}",
    opt={"content": "application/dash+xml"},
)
async def manifest(
    request: Request[Any, Any, Any], session_id: PlaySessionId, token: str, name: str
) -> Response[bytes]:
    """A manifest rendered for this session: `manifest.mpd`, `master.m3u8` or `<track id>.m3u8`."""
    found = await get_state(request).playback.get_manifest(session_id=session_id, token=token, name=name)
    return Response(found.body, media_type=found.content_type)


@post("/licences/clearkey", status_code=200, opt={"headers": {"X-Licence-Token": True}})
async def clearkey_licence(request: Request[Any, Any, Any], data: ClearKeyRequest) -> ClearKeyLicence:
    """A ClearKey licence for the keys asked for, as far as the licence token covers them."""
    asking, profile_id = viewer()
    token = request.headers.get("x-licence-token")
    if not token:
        raise LicenceRefused(detail="The licence token is missing.")
    return await get_state(request).licensing.issue_clearkey_licence(
        token=token, key_ids=data.kids, profile_id=profile_id, device_id=asking.device_id
    )


@get("/licences/hls/{token:str}/{key_id:str}", opt={"content": "application/octet-stream"})
async def hls_key(request: Request[Any, Any, Any], token: str, key_id: str) -> Response[bytes]:
    """One key's 16 bytes, for HLS key format `identity`."""
    key = await get_state(request).licensing.get_identity_key(token=token, key_id=key_id)
    return Response(key, media_type="application/octet-stream")


def _decoded(body: bytes) -> Heartbeat:
    try:
        return _heartbeats.decode(body)
    except msgspec.ValidationError as error:
        raise Invalid(faults=[Fault("", str(error))]) from error
    except msgspec.DecodeError as error:
        raise Malformed from error
