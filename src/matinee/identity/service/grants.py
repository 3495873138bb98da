"""Access tokens, and the answers that contain them."""

from __future__ import annotations

from matinee.identity import model
from matinee.identity.api import Grant
from matinee.identity.model import RefreshToken, SignIn
from matinee.identity.ports import Member, Signer
from matinee.kit.clock import Clock
from matinee.kit.structs import build_from


class GrantIssuer:
    """Signs access tokens, which expire after `access_ttl_s`; a refresh token expires after `refresh_ttl_s`."""

    def __init__(self, *, signer: Signer, clock: Clock, access_ttl_s: int, refresh_ttl_s: int) -> None:
        self._signer = signer
        self._clock = clock
        self._access_ttl_s = access_ttl_s
        self._refresh_ttl_s = refresh_ttl_s

    def issue(self, member: Member, sign_in: SignIn, token: RefreshToken | None = None) -> Grant:
        """Return an access token of a sign-in, and the refresh token if there is a new one."""
        profile = member.profile.profile if member.profile else None
        rights = model.get_rights(member.account, profile, sign_in.profile_id)
        issued_at_s = int(self._clock.now().timestamp())
        claims = {
            "iss": "matinee",
            "aud": "matinee",
            "sub": sign_in.account_id,
            "iat": issued_at_s,
            "exp": issued_at_s + self._access_ttl_s,
            "profile": profile.profile_id if profile else None,
            "adult": rights.is_adult,
            "device": sign_in.device_id,
            "sign_in": sign_in.sign_in_id,
            "roles": rights.roles,
        }
        return build_from(
            sign_in,
            Grant,
            access_token=self._signer.sign(claims),
            expires_in_s=self._access_ttl_s,
            profile_id=profile.profile_id if profile else None,
            is_adult=rights.is_adult,
            roles=rights.roles,
            refresh_token=token.encode() if token else "",
            refresh_expires_in_s=self._refresh_ttl_s if token else 0,
        )
