"""Access tokens: JSON Web Tokens signed with ES256 (RFC 7519, RFC 7518 §3.4), by PyJWT."""

from __future__ import annotations

import asyncio
import hashlib
import re
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from matinee.drivers.keyfile import KeyFileUnusable, create_once, replace_file
from matinee.kit.clock import Clock, from_ms
from matinee.kit.problem import Unauthenticated

T = TypeVar("T")
ALGORITHM = "ES256"
TOKEN_LIMIT = 8192
KEYS_GOOD_FOR = timedelta(minutes=5)
# A token that names a key we do not know may be of a key that is new; forged ones must not make us ask all the time.
ASK_AGAIN_AFTER = timedelta(seconds=5)
_PEM = re.compile(rb"-----BEGIN PRIVATE KEY-----.*?-----END PRIVATE KEY-----", re.DOTALL)


class Signer:
    """Signs with the newest of its keys and publishes all of them, so that tokens outlive a rotation."""

    def __init__(self, keys: list[EllipticCurvePrivateKey]) -> None:
        self._key = keys[-1]
        self._public = [_public_jwk(key) for key in keys]
        self._headers = {"kid": self._public[-1]["kid"]}

    @classmethod
    def open(cls, path: Path) -> Signer:
        """The keys in a PEM file, newest last; made with one key at the first use. Raises KeyFileUnusable."""
        return cls(_keys(path))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A signed token with these claims."""
        return jwt.encode(dict(claims), self._key, algorithm=ALGORITHM, headers=self._headers)

    def public_keys(self) -> list[dict[str, str]]:
        """The public keys as JSON Web Keys (RFC 7517); a key's id is its thumbprint (RFC 7638)."""
        return self._public


def rotate_keys(path: Path, *, keep: int = 2) -> None:
    """Add a new key to the file and drop all but the newest `keep`; signers opened from now on sign with it."""
    keys = [*_keys(path), generate_private_key(SECP256R1())][-keep:]
    replace_file(path, b"".join(_pem(key) for key in keys))


class Verifier(Generic[T]):
    """Checks access tokens and turns their claims into a `T`; a token seen before costs one look-up.

    `fetch_keys` fetches a JSON Web Key Set (a Struct or a mapping with `keys`), when first needed, every few minutes and
    when a token names a key that is not known.
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
        self._seen: OrderedDict[bytes, tuple[datetime, T]] = OrderedDict()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked_at: datetime | None = None
        self._asking = asyncio.Lock()

    async def verify(self, token: str) -> T:
        """What the token says. Raises Unauthenticated where it is forged, expired or for somebody else."""
        if len(token) > TOKEN_LIMIT:
            raise Unauthenticated(detail="This access token is too long.")
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        now = self._clock.now()
        if (seen := self._seen.get(digest)) is None:
            seen = await self._checked(token, now)
            self._remember(digest, seen)
        else:
            self._seen.move_to_end(digest)
        if seen[0] <= now:
            raise Unauthenticated(detail="This access token has expired.")
        return seen[1]

    def _remember(self, digest: bytes, seen: tuple[datetime, T]) -> None:
        self._seen[digest] = seen
        if len(self._seen) > self._limit:
            self._seen.popitem(last=False)

    async def _checked(self, token: str, now: datetime) -> tuple[datetime, T]:
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid", "")), now)
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                # Time is read from our clock, below.
                options={"require": ["exp", "iat", "sub"], "verify_exp": False, "verify_iat": False},
            )
            return from_ms(int(claims["exp"]) * 1000), self._parse_claims(claims)
        except (jwt.PyJWTError, ValueError, OverflowError, TypeError) as error:
            raise Unauthenticated(detail="This access token is not good.") from error

    async def _key(self, kid: str, now: datetime) -> jwt.PyJWK:
        async with self._asking:
            age = None if self._asked_at is None else now - self._asked_at
            if age is None or age > KEYS_GOOD_FOR or (kid not in self._keys and age > ASK_AGAIN_AFTER):
                await self._ask(now)
        if kid not in self._keys:
            raise Unauthenticated(detail="This access token is signed with a key that is not ours.")
        return self._keys[kid]

    async def _ask(self, now: datetime) -> None:
        try:
            answer = msgspec.to_builtins(await self._fetch())
        except Exception:
            if not self._keys:  # with keys in hand we go on; without any the caller must know why
                raise
        else:
            self._keys = {key["kid"]: jwt.PyJWK(key, ALGORITHM) for key in answer["keys"]}
        self._asked_at = now


def _keys(path: Path) -> list[EllipticCurvePrivateKey]:
    pem = create_once(path, lambda: _pem(generate_private_key(SECP256R1())))
    try:
        keys = [load_pem_private_key(part, None) for part in _PEM.findall(pem)]
    except ValueError as error:
        raise _not_keys(path) from error
    if not keys or not all(isinstance(k, EllipticCurvePrivateKey) and isinstance(k.curve, SECP256R1) for k in keys):
        raise _not_keys(path)
    return [key for key in keys if isinstance(key, EllipticCurvePrivateKey)]


def _not_keys(path: Path) -> KeyFileUnusable:
    return KeyFileUnusable(path=str(path), detail=f"The key file {path} holds no P-256 private key in PEM form.")


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _public_jwk(key: EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    # RFC 7638: the required members alone, in this order, without spaces.
    members = {"crv": "P-256", "kty": "EC", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}
    kid = _base64url(hashlib.sha256(msgspec.json.encode(members)).digest())
    return {"kid": kid, **members, "alg": ALGORITHM, "use": "sig"}


def _coordinate(number: int) -> str:
    return _base64url(number.to_bytes(32, "big"))


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
