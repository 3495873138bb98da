"""Who is watching, and on which devices."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, delete, get, patch, post

from matinee.gateway.api import DeviceView, NewProfile, Pin, ProfileChange, ProfileView, Session
from matinee.gateway.server.auth import session
from matinee.gateway.server.state import get_state, principal
from matinee.identity.api import Profile
from matinee.kit.ids import DeviceId, ProfileId


@get("/ping")
async def ping() -> None:
    """Nothing, behind the same door as everything else: what a request costs before it does any work."""


@get("/profiles")
async def list_profiles(request: Request[Any, Any, Any]) -> list[ProfileView]:
    """The profiles of the account."""
    found = await get_state(request).identity.profiles(account_id=principal().account_id)
    return [_view(profile) for profile in found]


@post("/profiles")
async def create_profile(request: Request[Any, Any, Any], data: NewProfile) -> ProfileView:
    """Add a profile."""
    fields = msgspec.structs.asdict(data)
    return _view(await get_state(request).identity.create_profile(account_id=principal().account_id, **fields))


@patch("/profiles/{profile_id:str}")
async def update_profile(request: Request[Any, Any, Any], profile_id: ProfileId, data: ProfileChange) -> ProfileView:
    """Change a profile."""
    return _view(
        await get_state(request).identity.update_profile(
            account_id=principal().account_id, profile_id=profile_id, **msgspec.structs.asdict(data)
        )
    )


@delete("/profiles/{profile_id:str}")
async def remove_profile(request: Request[Any, Any, Any], profile_id: ProfileId) -> None:
    """Remove a profile and all it watched."""
    await get_state(request).identity.remove_profile(account_id=principal().account_id, profile_id=profile_id)


@post("/profiles/{profile_id:str}/choose", status_code=200)
async def choose_profile(request: Request[Any, Any, Any], profile_id: ProfileId, data: Pin | None = None) -> Session:
    """An access token for a profile."""
    asking = principal()
    grant = await get_state(request).identity.choose_profile(
        account_id=asking.account_id,
        sign_in_id=asking.sign_in_id,
        profile_id=profile_id,
        pin=data.pin if data else None,
    )
    return session(grant, with_refresh=False)


@get("/devices")
async def list_devices(request: Request[Any, Any, Any]) -> list[DeviceView]:
    """The devices of the account, last seen first."""
    asking = principal()
    found = await get_state(request).identity.devices(account_id=asking.account_id)
    return [
        DeviceView(**msgspec.structs.asdict(device), current=device.device_id == asking.device_id) for device in found
    ]


@delete("/devices/{device_id:str}")
async def remove_device(request: Request[Any, Any, Any], device_id: DeviceId) -> None:
    """Sign a device out and forget it."""
    await get_state(request).identity.remove_device(account_id=principal().account_id, device_id=device_id)


def _view(profile: Profile) -> ProfileView:
    return ProfileView(
        profile_id=profile.profile_id,
        name=profile.name,
        avatar=profile.avatar,
        language=profile.language,
        maturity=profile.maturity,
        kids=profile.kids,
        has_pin=profile.has_pin,
    )
