"""The problems of identity."""

from __future__ import annotations

from matinee.kit.ids import AccountId, DeviceId, ProfileId
from matinee.kit.problem import Problem


class WrongCredentials(Problem, status=401):
    """The e-mail address or the password is wrong."""


class AccountNotFound(Problem, status=404):
    """There is no such account."""

    email: str | None = None
    account_id: AccountId | None = None


class EmailTaken(Problem, status=409):
    """An account with this e-mail address already exists."""


class TooManyAttempts(Problem, status=429):
    """Too many attempts; wait before the next one."""

    retry_after_ms: int


class TokenRejected(Problem, status=401):
    """This sign-in is no longer valid; sign in again."""


class ProfileNotFound(Problem, status=404):
    """There is no such profile in this account."""

    profile_id: ProfileId


class DeviceNotFound(Problem, status=404):
    """There is no such device in this account."""

    device_id: DeviceId


class WrongPin(Problem, status=403):
    """The PIN is wrong."""


class WrongPassword(Problem, status=403):
    """The password is wrong."""


class ProofRequired(Problem, status=403):
    """This change needs the password, or the PIN of an adult's profile, given a few minutes ago at most."""


class TooManyProfiles(Problem, status=409):
    """The account has the maximum number of profiles."""

    limit: int


class LastProfile(Problem, status=409):
    """The last profile of an account cannot be removed."""


class SignUpClosed(Problem, status=403):
    """Strangers cannot open an account here; an operator creates it."""


class LastOperator(Problem, status=409):
    """This is the last operator: give another account the role first."""


class RotatedTooSoon(Problem, status=409):
    """The keys were rotated a short time ago: the newest one does not sign yet."""

    retry_after_ms: int
