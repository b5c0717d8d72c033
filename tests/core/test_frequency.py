"""Cron expressions: when, and in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.active import DAY, Window
from proxy.core.frequency import ALIASES, USUAL, Frequency

MOMENTS = st.floats(946684800.0, 3786912000.0)  # the years 2000 to 2090


@pytest.mark.parametrize(
    ("text", "moment", "due"),
    [
        (USUAL, "2026-11-21T12:00", "2026-12-01T00:00"),
        ("@hourly", "2026-11-21T12:00", "2026-11-21T13:00"),
        ("@Daily", "2026-12-31T00:00", "2027-01-01T00:00"),
        ("30 2 * * sat", "2026-11-21T02:30", "2026-11-28T02:30"),
        ("0 0 29 2 *", "2026-01-01T00:00", "2028-02-29T00:00"),
        ("*/20 * * * *", "2026-01-01T00:01", "2026-01-01T00:20"),
        ("0 0 L * *", "2026-02-01T00:00", "2026-02-28T00:00"),
    ],
)
def test_an_expression_is_due_next(text: str, moment: str, due: str) -> None:
    found = Frequency.of(text).after(_seconds(moment))
    assert found == _seconds(due)


@given(st.sampled_from([*ALIASES, "7 3 * * 1-5", "0 */6 1 * *"]), MOMENTS)
def test_the_next_moment_is_later_and_a_whole_minute(text: str, moment: float) -> None:
    found = Frequency.of(text).after(moment)
    assert found is not None
    assert moment < found < moment + timedelta(days=800).total_seconds()
    assert found % 60 == 0


@given(MOMENTS)
def test_nothing_is_due_between_two_moments(moment: float) -> None:
    hourly = Frequency.of("@hourly")
    found = hourly.after(moment)
    assert found is not None
    assert hourly.after(found - 0.001) == found


@pytest.mark.parametrize(
    "text", ["", "0 0 * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "@reboot", "every day"]
)
def test_other_texts_are_refused_with_advice(text: str) -> None:
    with pytest.raises(ValueError, match=r"write five fields|is no cron expression"):
        Frequency.of(text)


def test_it_is_read_aloud() -> None:
    assert Frequency.of(USUAL).aloud == "At 00:00 on the first day of every month, UTC"


@pytest.mark.parametrize(
    ("start", "end", "at", "wait"),
    [
        (22, 6, 23, 0),
        (22, 6, 5.99, 0),
        (22, 6, 6, 16),
        (22, 6, 21, 1),
        (1, 2, 1, 0),
        (1, 2, 2, 23),
        (1, 2, 0, 1),
    ],
)
def test_a_window_may_lie_over_midnight(start: int, end: int, at: float, wait: float) -> None:
    window = Window(start * 3600, end * 3600)
    assert window.wait(12345 * DAY + at * 3600) == pytest.approx(wait * 3600)


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
