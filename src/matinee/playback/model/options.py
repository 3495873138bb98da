"""The options of playback, which are also its settings."""

from __future__ import annotations

import msgspec

from matinee.kit.bounds import BitsPerSecond, Milliseconds, Seconds


class PlaybackOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Validities, in seconds, and the deadline of a start.

    `link_s`: of links to segments and of licence tokens; `session_s`: of a session, its manifest link and the links in
    its manifests, beyond the duration of the film; `idle_s`: the longest time without a heartbeat.
    `start_bandwidth_bps`: the bandwidth assumed for a network without measurements; by default that of
    the lowest quality, so that the first picture comes soon on every network.
    """

    link_s: Seconds = 6 * 3600
    session_s: Seconds = 24 * 3600
    idle_s: Seconds = 600
    heartbeat_ms: Milliseconds = 30_000
    start_ms: Milliseconds = 2000
    start_bandwidth_bps: BitsPerSecond = 800_000
