"""Handlers of playback: sessions, heartbeats, manifests, licences."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, Response, get, post
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody

from matinee.gateway.api import ClearKeyRequest, PlayRequest, RenewRequest
from matinee.gateway.server.client_address import client_ip, find_origin
from matinee.gateway.server.guards import BEARER, require_current_sign_in, require_profile
from matinee.gateway.server.state import HttpRequest, get_principal, get_state, get_viewer
from matinee.kit.ids import EdgeId, PlaySessionId
from matinee.licensing.api import ClearKeyLicence
from matinee.playback.api import Heartbeat, KeyFormat, PlaySession, Renewal


class PlaybackController(Controller):
    """The play sessions of a profile."""

    tags = ("playback",)
    guards = (require_profile,)
    security = BEARER

    @post("/playback")
    async def start_playback(self, request: HttpRequest, data: JSONBody[PlayRequest]) -> PlaySession:
        """Start a play session."""
        state = get_state(request)
        return await state.playback.start(
            principal=get_principal(),
            title_id=data.title_id,
            episode_id=data.episode_id,
            capabilities=data.capabilities,
            from_start=data.from_start,
            heartbeats=data.heartbeats,
            client_ip=client_ip(request),
            territory=state.settings.territory,
        )

    @post("/playback/{session_id:str}/renew", status_code=200)
    async def renew_playback(
        self, request: HttpRequest, session_id: FromPath[PlaySessionId], data: JSONBody[RenewRequest | None] = None
    ) -> Renewal:
        """Return fresh signed URLs for a session."""
        state = get_state(request)
        return await state.playback.renew(
            principal=get_principal(),
            session_id=session_id,
            client_ip=client_ip(request),
            failed=tuple(EdgeId(edge) for edge in data.failed) if data else (),
        )

    @post("/playback/{session_id:str}/heartbeat", status_code=204)
    async def send_heartbeat(
        self, request: HttpRequest, session_id: FromPath[PlaySessionId], data: JSONBody[Heartbeat]
    ) -> None:
        """Record a heartbeat."""
        state = get_state(request)
        await state.playback.record_heartbeat(
            principal=get_principal(),
            session_id=session_id,
            heartbeat=data,
            client_ip=client_ip(request),
        )

    @post("/playback/{session_id:str}/end", status_code=204)
    async def end_playback(
        self, request: HttpRequest, session_id: FromPath[PlaySessionId], data: JSONBody[Heartbeat]
    ) -> None:
        """End a session."""
        await get_state(request).playback.end(principal=get_principal(), session_id=session_id, heartbeat=data)

    @post("/licences/clearkey", status_code=200, guards=[require_current_sign_in])
    async def get_clearkey_licence(
        self,
        request: HttpRequest,
        token: Annotated[str, HeaderParameter(name="X-Licence-Token")],
        data: JSONBody[ClearKeyRequest],
    ) -> ClearKeyLicence:
        """Return a ClearKey licence for the requested keys, if the licence token covers them."""
        viewer, profile_id = get_viewer()
        return await get_state(request).licensing.issue_clearkey_licence(
            token=token, key_ids=data.kids, profile_id=profile_id, device_id=viewer.device_id
        )


class PlaybackLinkController(Controller):
    """Addresses with a signed token in their path, for players that send no access token."""

    tags = ("playback",)

    @post("/playback/{session_id:str}/beacon/{token:str}", status_code=204)
    async def send_beacon(
        self, request: HttpRequest, session_id: FromPath[PlaySessionId], token: FromPath[str], data: JSONBody[Heartbeat]
    ) -> None:
        """Record the last heartbeat of a page that is closing. Its media type may be text/plain, by `sendBeacon`."""
        state = get_state(request)
        await state.playback.record_beacon(
            session_id=session_id, token=token, heartbeat=data, client_ip=client_ip(request)
        )

    @get(
        "/playback/{session_id:str}/manifest/{token:str}/{name:str}",
        media_type="application/dash+xml",
    )
    async def get_manifest(
        self,
        request: HttpRequest,
        session_id: FromPath[PlaySessionId],
        token: FromPath[str],
        name: FromPath[str],
        keys: FromQuery[KeyFormat] = "identity",
    ) -> Response[bytes]:
        """Return a manifest of a session: `manifest.mpd`, `master.m3u8` or `<track id>.m3u8`.

        `keys` is how an HLS player gets keys: each by its address, or from a ClearKey licence server.
        """
        state = get_state(request)
        manifest = await state.playback.get_manifest(
            session_id=session_id, token=token, name=name, origin=find_origin(request), key_format=keys
        )
        return Response(manifest.body, media_type=manifest.content_type)

    @post("/licences/clearkey/{token:str}", status_code=200)
    async def get_licence_by_link(
        self, request: HttpRequest, token: FromPath[str], data: JSONBody[ClearKeyRequest]
    ) -> ClearKeyLicence:
        """Return a ClearKey licence for the requested keys, if the licence token in the path covers them."""
        return await get_state(request).licensing.issue_licence_by_link(token=token, key_ids=data.kids)

    @get("/licences/hls/{token:str}/{key_id:str}", media_type="application/octet-stream")
    async def get_hls_key(self, request: HttpRequest, token: FromPath[str], key_id: FromPath[str]) -> Response[bytes]:
        """Return the 16 bytes of a key, for the HLS key format `identity`."""
        key = await get_state(request).licensing.get_identity_key(token=token, key_id=key_id)
        return Response(key, media_type="application/octet-stream")
