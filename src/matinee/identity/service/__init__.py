"""The identity service."""

from matinee.identity.service.identity import IdentityService

__all__ = ["IdentityService"]
