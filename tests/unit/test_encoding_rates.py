"""The choice of a constant frame rate."""

import random
from fractions import Fraction

import pytest

from matinee.encoding.model.rates import choose_rate


@pytest.mark.parametrize("rate", ["25", "24000/1001", "25/2", "179/6", "60"])
def test_constant_rate_is_kept(rate: str) -> None:
    exact = Fraction(rate)
    times = [round(float(n / exact), 3) for n in range(400)]  # Matroska rounds to milliseconds
    assert choose_rate(times, [exact])[:2] == (exact, True)


def test_varying_rate_becomes_the_standard_rate_of_its_fastest_part() -> None:
    slow, quick = [n / 4 for n in range(40)], [10 + n / 29.9 for n in range(100)]
    assert choose_rate(slow + quick, [Fraction(90000)])[:2] == (Fraction("30000/1001"), False)
    assert choose_rate([0.0, 0.1, 0.3, 0.7], [])[:2] == (Fraction(10), False)


def test_every_frame_of_a_fast_part_is_kept() -> None:
    times = [n / 60 for n in range(120)] + [2 + n / 5 for n in range(10)] + [4 + n / 30 for n in range(60)]
    assert choose_rate(times, [Fraction(953, 30), Fraction(60)])[:2] == (Fraction(60), False)
    short = [n / 24 for n in range(480)] + [20 + n / 48 for n in range(96)]
    assert choose_rate(short, [Fraction(26), Fraction(48)])[:2] == (Fraction(48), False)


@pytest.mark.parametrize("rate", ["25", "30", "30000/1001", "24000/1001"])
def test_clock_of_a_telephone_keeps_its_rate(rate: str) -> None:
    rng = random.Random(7)
    times = sorted(n / float(Fraction(rate)) + rng.gauss(0, 0.004) for n in range(900))
    average = Fraction(899) / Fraction(times[-1] - times[0]).limit_denominator(1000)
    chosen, *_ = choose_rate(times, [average, Fraction(120)])
    assert abs(float(chosen / Fraction(rate)) - 1) < 0.01


def test_rounded_standard_rate_is_recognised() -> None:
    times = [round(n * 1.001 / 30, 3) for n in range(300)]
    assert choose_rate(times, [Fraction(989, 33)])[:2] == (Fraction("30000/1001"), True)
    assert choose_rate([n / 24 for n in range(300)], [Fraction(24)])[:2] == (Fraction(24), True)


@pytest.mark.parametrize("rate", [18, 25, 30])
def test_rate_with_missing_frames_is_kept_as_not_constant(rate: int) -> None:
    one = [n / rate for n in range(300) if n != 150]
    many = [n / rate for n in range(300) if not 40 <= n <= 110]
    assert choose_rate(one, [Fraction(rate)])[:2] == choose_rate(many, [Fraction(rate)])[:2] == (Fraction(rate), False)


@pytest.mark.parametrize(
    ("rate", "chosen"), [("120", 60), ("90", 45), ("60.06", 60), ("61", 60), ("120.1", 60), ("240", 60), ("100", 50)]
)
def test_rate_above_sixty_is_divided_and_never_halved_for_little(rate: str, chosen: int) -> None:
    times = [n / float(Fraction(rate)) for n in range(240)]
    assert choose_rate(times, [Fraction(rate)])[:2] == (Fraction(chosen), False)


def test_file_without_times_gets_its_stated_rate() -> None:
    assert choose_rate([], [Fraction(30)])[:2] == (Fraction(30), False)
    assert choose_rate([], [])[:2] == (Fraction(25), False)


@pytest.mark.parametrize("phase", [0.1, 0.4, 0.5, 0.6, 0.9])
def test_joined_recordings_of_one_rate_keep_it(phase: float) -> None:
    times = [round(n / 25, 3) for n in range(150)] + [round(6 + (n + phase) / 25, 3) for n in range(150)]
    rate, constant, shift = choose_rate(times, [Fraction(26)])
    assert (rate, constant) == (Fraction(25), phase == 0.1)
    places = [round(time * 25 + shift) for time in times]
    assert len(set(places)) >= len(places) - 1


def test_part_of_twice_the_rate_is_no_joint() -> None:
    times = [n / 25 for n in range(480)] + [480 / 25 + n / 50 for n in range(20)]
    assert choose_rate(times, [])[0] == Fraction(50)
