"""Rates and estimates: nothing is said before something is known, and then by the last while."""

from __future__ import annotations

from proxy.mirror.pace import Meter


class Clock:
    """One that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_said_of_the_first_moment() -> None:
    clock = Clock()
    meter = Meter(clock)
    for clock.now in (0.001, 0.5, 0.9):
        meter.mark(3, 3000)
        assert meter.rates() is None
        assert meter.remaining(7, 7000) is None


def test_what_takes_longer_of_files_and_bytes_is_the_estimate() -> None:
    clock = Clock()
    meter = Meter(clock)
    for clock.now in (0.1, 2.0):
        meter.mark(int(clock.now), int(1000 * clock.now))
    assert meter.rates() == (1.0, 1000.0)
    assert meter.remaining(5, 30_000) == 30.0
    assert meter.remaining(60, 30_000) == 60.0


def test_a_rate_is_that_of_the_last_while() -> None:
    clock = Clock()
    meter = Meter(clock)
    for second in range(1, 101):
        clock.now = float(second)
        meter.mark(min(second, 60), 0)
    assert meter.rates() == (0.0, 0.0)
    assert meter.remaining(1, 1) is None
