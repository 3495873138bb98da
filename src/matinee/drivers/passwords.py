"""Estimates how easy a password is to guess, through zxcvbn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

# zxcvbn takes long for long passwords, and refuses more than this.
_LENGTH_LIMIT = 72
# Of 0 to 4: below it less than a million guesses are needed.
_MIN_SCORE = 2


async def find_weakness(password: str, words: Sequence[str] = ()) -> str:
    """Return why a password is easy to guess, an empty text if it is not; `words` are words about its owner."""
    return await asyncio.to_thread(_estimate, password[:_LENGTH_LIMIT], words)


def _estimate(password: str, words: Sequence[str]) -> str:
    from zxcvbn import zxcvbn  # with its dictionaries, which take long to load

    # Spaces make no password harder to guess, but zxcvbn counts them.
    texts = dict.fromkeys([password.strip(), "".join(password.split())])
    found = min((zxcvbn(text, user_inputs=list(words)) for text in texts), key=lambda one: one["guesses"])
    if found["score"] >= _MIN_SCORE:
        return ""
    return str(found["feedback"]["warning"] or "Add another word or two; uncommon words are better.")
