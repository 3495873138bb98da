"""Access tokens: JSON Web Tokens signed with ES256 (RFC 7519, RFC 7518 §3.4), through PyJWT."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import time
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from matinee.drivers.keyfile import KeyFileUnusable, create_once, replace_file, to_pem
from matinee.kit import log
from matinee.kit.clock import Clock, from_ms
from matinee.kit.problem import Unauthenticated

T = TypeVar("T")
_log = log.get()
ALGORITHM = "ES256"
TOKEN_LIMIT = 8192
KEYS_MAX_AGE = timedelta(minutes=5)
# An unknown key may be a new one, so the keys are fetched; this limits how often forged tokens can cause that.
KEYS_MIN_AGE = timedelta(seconds=5)
# When a new key begins to sign: every verifier has fetched it by then.
ACTIVE_AFTER_S = (KEYS_MAX_AGE + timedelta(minutes=1)).total_seconds()
_PEM = re.compile(rb"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----", re.DOTALL)


class Signer:
    """Signs with the keys in a file and publishes them all, so that tokens stay valid after a rotation.

    A changed file is read again. Its newest key, the last one, signs once `ACTIVE_AFTER_S` have passed since the file
    changed: by then every verifier has it. Until then the one before it signs.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at_s = time.monotonic()
        self._version = _read_version(path)
        self._keys = _read_keys(path)
        self._public = [_to_jwk(key) for key in self._keys]

    @classmethod
    def open(cls, path: Path) -> Signer:
        """Read the keys in a PEM file, newest last, and create it where it is missing. Raises KeyFileUnusable."""
        return cls(path)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Sign a token with these claims."""
        self._reload()
        at = -1 if len(self._keys) == 1 or self._wait_s() <= 0 else -2
        return jwt.encode(dict(claims), self._keys[at], ALGORITHM, headers={"kid": self._public[at]["kid"]})

    def public_keys(self) -> list[dict[str, str]]:
        """Return the public keys as JSON Web Keys (RFC 7517); a key's id is its thumbprint (RFC 7638)."""
        self._reload()
        return self._public

    def rotate(self, *, discard: bool = False) -> int:
        """Add a new key to the file and remove all but the one that signs; with `discard` remove that one too.

        Return 0, or the milliseconds to wait where the newest key does not sign yet. Raises KeyFileUnusable.
        """
        self._reload()
        wait_s = self._wait_s()
        if not discard and len(self._keys) > 1 and wait_s > 0:
            return math.ceil(wait_s * 1000)
        kept = [] if discard else self._keys[-1:]
        replace_file(self._path, b"".join(to_pem(key) for key in [*kept, generate_private_key(SECP256R1())]))
        self._reload()
        return 0

    def _wait_s(self) -> float:
        """Return the seconds until the newest key signs. A file from the future counts as changed when it was read."""
        known_s = max(time.time() - self._version[0] / 1e9, time.monotonic() - self._read_at_s)
        return ACTIVE_AFTER_S - known_s

    def _reload(self) -> None:
        version = _read_version(self._path)
        if version == self._version:
            return
        self._read_at_s = time.monotonic()
        try:
            self._keys = _read_keys(self._path)
        except KeyFileUnusable as problem:  # the keys read before stay in use
            _log.error("keys.unusable", path=str(self._path), error=str(problem))
        self._version, self._public = version, [_to_jwk(key) for key in self._keys]


class Verifier(Generic[T]):
    """Verifies access tokens and parses their claims to a `T`. Verified tokens are cached.

    `fetch_keys` returns a JSON Web Key Set (a Struct or a mapping with `keys`). It is called at first, every few
    minutes, and for a token with an unknown key.
    """

    def __init__(
        self,
        *,
        fetch_keys: Callable[[], Awaitable[Any]],
        parse_claims: Callable[[Mapping[str, Any]], T],
        clock: Clock,
        issuer: str = "matinee",
        audience: str = "matinee",
        cache_size: int = 4096,
    ) -> None:
        self._fetch = fetch_keys
        self._parse_claims = parse_claims
        self._clock = clock
        self._issuer = issuer
        self._audience = audience
        self._limit = cache_size
        self._cache: OrderedDict[bytes, tuple[datetime, T]] = OrderedDict()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: datetime | None = None
        self._fetch_lock = asyncio.Lock()

    async def verify(self, token: str) -> T:
        """Return the claims of a token. Raises Unauthenticated where it is forged, expired or for another audience."""
        if len(token) > TOKEN_LIMIT:
            raise Unauthenticated(detail="This access token is too long.")
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        now = self._clock.now()
        if (verified := self._cache.get(digest)) is None:
            verified = await self._verify(token, now)
            self._remember(digest, verified)
        else:
            self._cache.move_to_end(digest)
        if verified[0] <= now:
            raise Unauthenticated(detail="This access token has expired.")
        return verified[1]

    def _remember(self, digest: bytes, verified: tuple[datetime, T]) -> None:
        self._cache[digest] = verified
        if len(self._cache) > self._limit:
            self._cache.popitem(last=False)

    async def _verify(self, token: str, now: datetime) -> tuple[datetime, T]:
        try:
            key = await self._get_key(str(jwt.get_unverified_header(token).get("kid", "")), now)
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                # `verify` compares the time with our clock.
                options={"require": ["exp", "iat", "sub"], "verify_exp": False, "verify_iat": False},
            )
            return from_ms(int(claims["exp"]) * 1000), self._parse_claims(claims)
        except (jwt.PyJWTError, ValueError, OverflowError, TypeError) as error:
            raise Unauthenticated(detail="This access token is not valid.") from error

    async def _get_key(self, kid: str, now: datetime) -> jwt.PyJWK:
        async with self._fetch_lock:
            age = None if self._fetched_at is None else now - self._fetched_at
            is_recent = age is not None and timedelta(0) <= age <= KEYS_MAX_AGE  # negative: the clock was set back
            if age is None or not is_recent or (kid not in self._keys and age > KEYS_MIN_AGE):
                await self._refresh_keys(now)
        if kid not in self._keys:
            raise Unauthenticated(detail="This access token is signed with an unknown key.")
        return self._keys[kid]

    async def _refresh_keys(self, now: datetime) -> None:
        try:
            answer = msgspec.to_builtins(await self._fetch())
        except Exception:
            if not self._keys:  # the keys fetched before stay in use
                raise
        else:
            keys = {key["kid"]: jwt.PyJWK(key, ALGORITHM) for key in answer["keys"]}
            if self._keys.keys() - keys.keys():  # tokens signed with a discarded key are void
                self._cache.clear()
            self._keys = keys
        self._fetched_at = now


def _read_version(path: Path) -> tuple[int, int]:
    """Return what changes with the file: its time in nanoseconds and its inode."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)


def _read_keys(path: Path) -> list[EllipticCurvePrivateKey]:
    pem = create_once(path, lambda: to_pem(generate_private_key(SECP256R1())))
    try:
        keys = [load_pem_private_key(part, None) for part in _PEM.findall(pem)]
    except ValueError as error:
        raise _unusable(path) from error
    if not keys or not all(isinstance(k, EllipticCurvePrivateKey) and isinstance(k.curve, SECP256R1) for k in keys):
        raise _unusable(path)
    return [key for key in keys if isinstance(key, EllipticCurvePrivateKey)]


def _unusable(path: Path) -> KeyFileUnusable:
    return KeyFileUnusable(path=str(path), detail=f"The key file {path} holds no P-256 private key in PEM form.")


def _to_jwk(key: EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    # RFC 7638: the required members only, in this order, without spaces.
    members = {"crv": "P-256", "kty": "EC", "x": _encode_coordinate(numbers.x), "y": _encode_coordinate(numbers.y)}
    kid = _encode_base64url(hashlib.sha256(msgspec.json.encode(members)).digest())
    return {"kid": kid, **members, "alg": ALGORITHM, "use": "sig"}


def _encode_coordinate(number: int) -> str:
    return _encode_base64url(number.to_bytes(32, "big"))


def _encode_base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
