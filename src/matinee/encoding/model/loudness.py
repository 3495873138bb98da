"""How loud everything is made: one linear gain, so that no dynamics are touched (EBU R 128)."""

from __future__ import annotations

import math

TARGET_LUFS = -23.0
# Below R 128's -1 dBTP, for what lossy coding adds to peaks.
CEILING_DBTP = -2.0
MOST_GAIN_DB = 30.0


def gain_db(integrated_lufs: float, true_peak_dbtp: float) -> float:
    """The gain that brings sound to the target, or as near as its peaks allow; silence stays as it is."""
    if not math.isfinite(integrated_lufs) or integrated_lufs <= -70:
        return 0.0
    room_db = CEILING_DBTP - true_peak_dbtp if math.isfinite(true_peak_dbtp) else MOST_GAIN_DB
    return max(-60.0, min(TARGET_LUFS - integrated_lufs, room_db, MOST_GAIN_DB))
