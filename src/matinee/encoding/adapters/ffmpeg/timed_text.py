"""The text of MP4's timed-text packets (3GPP TS 26.245), in whatever character set it has."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path


def write_subrip(packets: Path, listing: Path, out: Path) -> None:
    """Write a SubRip file of a file of packets and FFmpeg's listing of them (`framecrc`)."""
    out.write_bytes(_build_subrip(packets.read_bytes(), listing.read_text().splitlines()))


def _build_subrip(packets: bytes, listing: Iterable[str]) -> bytes:
    unit, at, cues = Fraction(1, 1000), 0, []
    for line in listing:
        if line.startswith("#tb 0:"):
            unit = Fraction(line.partition(":")[2].strip())
        if line.startswith("#") or line.count(",") < 4:
            continue
        _, _, pts, duration, size = map(int, line.split(",")[:5])
        text = _read_text(packets[at : at + size])
        at += size
        if text and pts >= 0:
            cues.append(f"{_format(pts * unit)} --> {_format((pts + duration) * unit)}\n".encode() + text)
    return b"\n\n".join(cues)


def _read_text(packet: bytes) -> bytes:
    """Return a packet's text without blank lines; style boxes follow it."""
    text = packet[2 : 2 + int.from_bytes(packet[:2])]
    if text[:2] in (b"\xfe\xff", b"\xff\xfe"):
        text = text.decode("utf-16", "replace").encode()
    return b"\n".join(line for line in text.splitlines() if line.strip())


def _format(time_s: Fraction) -> str:
    ms = round(time_s * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"
