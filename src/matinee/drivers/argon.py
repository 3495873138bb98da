"""Hashes of passwords and PINs by Argon2id (RFC 9106), in worker threads: hashing releases the interpreter lock."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from matinee.kit.problem import Overloaded

T = TypeVar("T")


class Argon2:
    """Hashes and verifies secrets, `threads` at a time; it refuses work when `queue_limit` calls wait.

    The defaults are OWASP's minimum (19 MiB, two passes, one lane), about 20 ms a hash. `decoy` is the hash of a random
    secret: verifying against it takes as long as against a real hash.
    """

    def __init__(
        self,
        *,
        time_cost: int = 2,
        memory_kib: int = 19_456,
        parallelism: int = 1,
        threads: int = 2,
        queue_limit: int = 64,
    ) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._limit = threads + queue_limit
        self._pending = 0
        self.decoy = self._hasher.hash(secrets.token_bytes(32))

    async def hash(self, secret: str) -> str:
        """Hash a secret; the result contains its salt and the parameters. Raises Overloaded."""
        return await self._run(lambda: self._hasher.hash(_encode(secret)))

    async def verify(self, hashed: str, secret: str) -> bool:
        """Return whether a secret matches its hash. Raises Overloaded."""
        return await self._run(lambda: self._matches(hashed, secret))

    def needs_rehash(self, hashed: str) -> bool:
        """Return whether a hash was made with other parameters."""
        return self._hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        """Stop the worker threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _matches(self, hashed: str, secret: str) -> bool:
        try:
            return self._hasher.verify(hashed, _encode(secret))
        except (Argon2Error, InvalidHashError):  # a damaged hash matches nothing
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= self._limit:
            raise Overloaded(retry_after_ms=1000)
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._pending -= 1


def _encode(secret: str) -> bytes:
    return secret.encode("utf-8", "surrogatepass")
