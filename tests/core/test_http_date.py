"""HTTP dates: three forms in, one out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.http_date import format_http_date, parse_http_date

EXAMPLE = 784111777.0  # the RFC's own: 1994-11-06 08:49:37


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "  sun, 06 nov 1994 08:49:37 gmt ",
    ],
)
def test_each_form_of_the_rfc_reads_as_the_same_second(text: str) -> None:
    assert parse_http_date(text) == EXAMPLE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "yesterday",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1994 ::::::: GMT",
        "Sun, 06 Nov 1994 :::::::: GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
    ],
)
def test_what_is_no_date_reads_as_none(text: str) -> None:
    assert parse_http_date(text) is None


def test_a_leap_second_counts_as_the_one_before() -> None:
    leap = parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT")
    assert leap == parse_http_date("Sat, 31 Dec 2016 23:59:59 GMT")


def test_two_digit_years_turn_over_at_69() -> None:
    assert format_http_date(parse_http_date("Tuesday, 01-Jan-69 00:00:00 GMT") or 0).endswith(
        "1969 00:00:00 GMT"
    )
    assert format_http_date(parse_http_date("Sunday, 01-Jan-68 00:00:00 GMT") or 0).endswith(
        "2068 00:00:00 GMT"
    )


def test_fractions_are_cut_off_when_written() -> None:
    assert format_http_date(EXAMPLE + 0.999) == "Sun, 06 Nov 1994 08:49:37 GMT"


@given(st.integers(min_value=-62135596800, max_value=253402300799))
def test_what_is_written_reads_back(seconds: int) -> None:
    assert parse_http_date(format_http_date(seconds)) == seconds


@given(st.text())
def test_reading_never_raises(text: str) -> None:
    parse_http_date(text)
