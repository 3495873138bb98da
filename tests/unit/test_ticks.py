"""Times of periodic work."""

import pytest

from matinee.kit.ticks import compute_tick


@pytest.mark.parametrize(
    ("interval_s", "now_s", "tick_s"),
    [(2.0, 7.0, 8.0), (2.0, 8.0, 10.0), (2.0, 7.9, 10.0), (2.0, 7.7, 8.0), (0.5, 7.3, 7.5)],
)
def test_tick_is_a_multiple_of_the_interval_and_not_very_near(interval_s: float, now_s: float, tick_s: float) -> None:
    assert compute_tick(interval_s, now_s) == pytest.approx(tick_s)
