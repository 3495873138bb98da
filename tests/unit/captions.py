"""Captions inside a picture (CTA-608 in ATSC A/53 user data), for tests."""

from __future__ import annotations

import re

_POP_ON, _LOWEST_ROW, _SHOW, _ERASE = [(0x14, 0x20)] * 2, [(0x14, 0x70)] * 2, [(0x14, 0x2F)] * 2, [(0x14, 0x2C)] * 2


def add_captions(picture: bytes, cues: list[tuple[int, str, int]]) -> bytes:
    """Add cues (first frame, text, frame after the last) to an H.264 byte stream with access unit delimiters."""
    pairs: dict[int, tuple[int, int]] = {}
    for first, text, end in cues:
        letters = (text + " " * (len(text) % 2)).encode()
        codes = [*_POP_ON, *_LOWEST_ROW, *zip(letters[::2], letters[1::2], strict=True), *_SHOW]
        pairs.update({first - len(codes) + n: pair for n, pair in enumerate(codes)})
        pairs.update({end + n: pair for n, pair in enumerate(_ERASE)})
    units = [unit for unit in re.split(rb"(?=\x00\x00\x00\x01\x09)", picture) if unit]
    return b"".join(_insert(unit, _build_sei(pairs.get(n, (0, 0)))) for n, unit in enumerate(units))


def _insert(unit: bytes, sei: bytes) -> bytes:
    """Insert a message before the first slice."""
    found = re.search(rb"\x00?\x00\x00\x01[\x01\x21\x41\x61\x05\x25\x45\x65]", unit)
    assert found is not None
    return unit[: found.start()] + sei + unit[found.start() :]


def _build_sei(pair: tuple[int, int]) -> bytes:
    odd = bytes(code if code.bit_count() % 2 else code | 0x80 for code in pair)
    user_data = b"\xb5\x00\x31GA94\x03\x41\xff\xfc" + odd + b"\xff"
    payload = bytes([4, len(user_data)]) + user_data + b"\x80"
    return b"\x00\x00\x00\x01\x06" + re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", payload)
