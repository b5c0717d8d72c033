"""Figures and times in words."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.web.admin import wording


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (999.6, "1 kB"),
        (1000, "1 kB"),
        (1536, "1.54 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (12_300_000_000, "12.3 GB"),
        (10**18, "1e+03 PB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    assert wording.size(count) == text


@given(st.integers(0, 10**17))
def test_a_size_has_at_most_three_digits_and_a_unit(count: int) -> None:
    assert re.fullmatch(r"\d{1,3}(\.\d{1,2})? (bytes|[kMGTP]B)", wording.size(count))


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "-"),
        (0, 5, "0 %"),
        (1, 3, "33.3 %"),
        (5, 5, "100 %"),
        (9_999_999, 10_000_000, "99.9 %"),
    ],
)
def test_shares_say_all_only_of_all(part: float, whole: float, text: str) -> None:
    assert wording.share(part, whole) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min"),
     (90_000, "1 d 1 h")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


def test_moments_are_in_utc_and_thousands_apart() -> None:
    assert wording.clock(0) == "1970-01-01 00:00:00"
    assert wording.iso(0) == "1970-01-01T00:00:00+00:00"
    assert wording.count(1234567) == "1\u202f234\u202f567"
