"""The last whole home page of each profile, for when it cannot be composed whole."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

import msgspec

from matinee.gateway.api import HomeScreen
from matinee.gateway.ports import PageCache
from matinee.identity.api import Profile
from matinee.kit import log
from matinee.kit.clock import CLOCK_SKEW
from matinee.kit.hashing import digest_schema
from matinee.kit.ids import ProfileId
from matinee.kit.lru import LruCache

# An older one may have titles that were withdrawn.
MAX_AGE = timedelta(hours=1)
# A page is stored again after this time, so that most requests neither encode nor store one.
STORE_INTERVAL = timedelta(minutes=1)
MAX_PROFILES = 10_000
_TTL_MS = MAX_AGE // timedelta(milliseconds=1)
_log = log.get()


class LastHome(msgspec.Struct, frozen=True, kw_only=True):
    """A whole page, and the digest of the profile for which it was composed: the cache learns no names."""

    profile_digest: bytes
    made_at: datetime
    screen: HomeScreen


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_decode = msgspec.msgpack.Decoder(LastHome).decode
_encode = msgspec.msgpack.Encoder().encode
# A release does not read what another one stored.
_PREFIX = f"last-home.{digest_schema(LastHome)}:"


class LastHomes:
    """Keeps pages of 50 to 130 kB in a cache, which all gateways share if it is Redis or Memcached."""

    def __init__(self, cache: PageCache) -> None:
        self._cache = cache
        self._stored: LruCache[ProfileId, tuple[Profile, datetime]] = LruCache(MAX_PROFILES)

    async def keep(self, profile: Profile, screen: HomeScreen, now: datetime) -> None:
        """Store a whole page, if this process has stored none for this profile within `STORE_INTERVAL`."""
        known, stored_at = self._stored.get(profile.profile_id) or (None, now)
        if known == profile and timedelta(0) <= now - stored_at < STORE_INTERVAL:
            return
        self._stored.put(profile.profile_id, (profile, now))
        page = _encode(LastHome(profile_digest=_digest(profile), made_at=now, screen=screen))
        if not await self._cache.put(_PREFIX + profile.profile_id, page, ttl_ms=_TTL_MS):
            self._stored.drop(profile.profile_id)

    async def find(self, profile: Profile, now: datetime) -> HomeScreen | None:
        """Return the last whole page, unless it is old or the profile has changed: its language or its maturity."""
        page = await self._cache.get(_PREFIX + profile.profile_id)
        if page is None:
            return None
        try:
            last = _decode(page)
        except _UNREADABLE as error:
            _log.warning("last_home.unreadable", profile_id=profile.profile_id, error=str(error))
            return None
        if last.profile_digest != _digest(profile) or not -CLOCK_SKEW <= now - last.made_at <= MAX_AGE:
            return None
        return msgspec.structs.replace(last.screen, earlier=True)


def _digest(profile: Profile) -> bytes:
    return hashlib.blake2b(_encode(profile), digest_size=16).digest()
