"""Encryption of secrets at rest by AES-256-GCM (NIST SP 800-38D) with a key-encryption key from a file."""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from matinee.drivers.keyfile import KeyFileUnusable, create_once
from matinee.kit.problem import Problem

_KEY_BYTES = 32
_NAME_BYTES = 8
_NONCE_BYTES = 12


class SealBroken(Problem, status=500):
    """A sealed secret cannot be opened."""


class FileSealer:
    """Seals with the last key-encryption key of a file (base64, one per line) and unseals with any of them.

    A sealed secret is the key-encryption key's name, the nonce, and the ciphertext with its tag.
    """

    def __init__(self, keys: list[bytes], entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._entropy = entropy
        self._ciphers = {_fingerprint(key): AESGCM(key) for key in keys}
        self._newest = _fingerprint(keys[-1])

    @classmethod
    def open(cls, path: Path) -> FileSealer:
        """Read the key-encryption keys in a file, and create it where it is missing. Raises KeyFileUnusable."""
        lines = create_once(path, lambda: b64encode(os.urandom(_KEY_BYTES)) + b"\n").split()
        try:
            keys = [b64decode(line, validate=True) for line in lines]
        except ValueError as error:
            raise _unusable(path) from error
        if not keys or any(len(key) != _KEY_BYTES for key in keys):
            raise _unusable(path)
        return cls(keys)

    async def seal(self, secret: bytes, associated_data: bytes) -> bytes:
        """Seal a secret. `associated_data` is needed again to unseal it."""
        nonce = self._entropy(_NONCE_BYTES)
        return self._newest + nonce + self._ciphers[self._newest].encrypt(nonce, secret, associated_data)

    async def unseal(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Unseal a secret. Raises SealBroken."""
        name, rest = sealed[:_NAME_BYTES], sealed[_NAME_BYTES:]
        if (cipher := self._ciphers.get(name)) is None:
            raise SealBroken(detail="It was sealed with another key-encryption key: restore that key's file.")
        try:
            return cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], associated_data)
        except (InvalidTag, ValueError) as error:
            raise SealBroken(detail="It was altered after it was sealed.") from error


def _fingerprint(key: bytes) -> bytes:
    return hashlib.sha256(b"matinee/key-encryption-key/" + key).digest()[:_NAME_BYTES]


def _unusable(path: Path) -> KeyFileUnusable:
    return KeyFileUnusable(path=str(path), detail=f"The key file {path} holds no 256-bit key in base64.")
