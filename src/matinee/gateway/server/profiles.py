"""Handlers of profiles and devices."""

from __future__ import annotations

import msgspec
from litestar import Controller, delete, get, patch, post
from litestar.params import FromPath, JSONBody

from matinee.gateway.api import DeviceView, NewProfile, Pin, ProfileChange, ProfileView, Session
from matinee.gateway.server.auth import to_session
from matinee.gateway.server.client_address import client_ip
from matinee.gateway.server.guards import BEARER, require_adult, require_sign_in
from matinee.gateway.server.state import HttpRequest, get_principal, get_state
from matinee.identity.api import Profile
from matinee.kit.ids import DeviceId, ProfileId
from matinee.kit.structs import build_from


class ProfileController(Controller):
    """The profiles and devices of an account."""

    tags = ("profiles",)
    guards = (require_sign_in,)
    security = BEARER

    @get("/ping")
    async def ping(self) -> None:
        """Return nothing; measures the cost of a request that does no work."""

    @get("/profiles")
    async def list_profiles(self, request: HttpRequest) -> list[ProfileView]:
        """List the profiles of the account."""
        found = await get_state(request).identity.profiles(account_id=get_principal().account_id)
        return [to_profile_view(profile) for profile in found]

    @post("/profiles")
    async def create_profile(self, request: HttpRequest, data: JSONBody[NewProfile]) -> ProfileView:
        """Create a profile; needs a proof."""
        profile = await get_state(request).identity.create_profile(
            principal=get_principal(), **msgspec.structs.asdict(data), client_ip=client_ip(request)
        )
        return to_profile_view(profile)

    @patch("/profiles/{profile_id:str}")
    async def update_profile(
        self, request: HttpRequest, profile_id: FromPath[ProfileId], data: JSONBody[ProfileChange]
    ) -> ProfileView:
        """Change a profile. All but the looks of one's own profile needs a proof."""
        profile = await get_state(request).identity.update_profile(
            principal=get_principal(),
            profile_id=profile_id,
            **msgspec.structs.asdict(data),
            client_ip=client_ip(request),
        )
        return to_profile_view(profile)

    @delete("/profiles/{profile_id:str}")
    async def remove_profile(self, request: HttpRequest, profile_id: FromPath[ProfileId]) -> None:
        """Remove a profile and its history; needs a proof."""
        await get_state(request).identity.remove_profile(
            principal=get_principal(), profile_id=profile_id, client_ip=client_ip(request)
        )

    @post("/profiles/{profile_id:str}/choose", status_code=200)
    async def choose_profile(
        self, request: HttpRequest, profile_id: FromPath[ProfileId], data: JSONBody[Pin | None] = None
    ) -> Session:
        """Return an access token for a profile."""
        principal = get_principal()
        grant = await get_state(request).identity.choose_profile(
            account_id=principal.account_id,
            sign_in_id=principal.sign_in_id,
            profile_id=profile_id,
            pin=data.pin if data else None,
        )
        return to_session(grant, with_refresh_token=False)

    @get("/devices", guards=[require_adult])
    async def list_devices(self, request: HttpRequest) -> list[DeviceView]:
        """List the devices of the account, most recently used first."""
        principal = get_principal()
        found = await get_state(request).identity.devices(account_id=principal.account_id)
        return [build_from(device, DeviceView, current=device.device_id == principal.device_id) for device in found]

    @delete("/devices/{device_id:str}", guards=[require_adult])
    async def remove_device(self, request: HttpRequest, device_id: FromPath[DeviceId]) -> None:
        """Sign a device out and remove it; needs a proof."""
        await get_state(request).identity.remove_device(
            principal=get_principal(), device_id=device_id, client_ip=client_ip(request)
        )


def to_profile_view(profile: Profile) -> ProfileView:
    """Return what a page shows of a profile."""
    return build_from(profile, ProfileView)
