"""Loudness normalisation: one linear gain, so that dynamics are unchanged (EBU R 128)."""

from __future__ import annotations

import math

TARGET_LUFS = -23.0
# Below R 128's -1 dBTP: lossy coding adds to peaks.
CEILING_DBTP = -2.0
MAX_GAIN_DB = 30.0


def compute_gain_db(integrated_lufs: float, true_peak_dbtp: float) -> float:
    """Compute the gain that brings audio to the target, or as near as its peaks allow. Silence gets none."""
    if not math.isfinite(integrated_lufs) or integrated_lufs <= -70:
        return 0.0
    headroom_db = CEILING_DBTP - true_peak_dbtp if math.isfinite(true_peak_dbtp) else MAX_GAIN_DB
    return max(-60.0, min(TARGET_LUFS - integrated_lufs, headroom_db, MAX_GAIN_DB))
