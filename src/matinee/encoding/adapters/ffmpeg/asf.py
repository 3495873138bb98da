"""The header of an ASF or WMV file, as far as FFmpeg does not show it."""

from __future__ import annotations

from pathlib import Path

_PROPERTIES = bytes.fromhex("A1DCAB8C47A9CF118EE400C00C205365")
_HEAD_BYTES = 1 << 20
# A broadcast does not know its size.
_BROADCAST = 1


def read_stated_bytes(path: Path) -> int:
    """Return the size that the header says the file has (File Properties Object); 0 where it does not say it."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    at = head.find(_PROPERTIES)
    if at < 0 or int.from_bytes(head[at + 88 : at + 92], "little") & _BROADCAST:
        return 0
    return int.from_bytes(head[at + 40 : at + 48], "little")
