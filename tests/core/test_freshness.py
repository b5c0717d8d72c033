"""Freshness, asked on both sides of every edge."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.freshness import (
    Absent,
    Fresh,
    Miss,
    Replaced,
    Stale,
    Unchanged,
    after_response,
    before_request,
)
from proxy.core.model import Absence, Bounds, Entry, Validators, digest_of
from proxy.errors import UpstreamFailed

CHECKED = 1_000_000.0
BOUNDS = Bounds(
    fresh_min=10,
    fresh_max=1000,
    fresh_default=100,
    stale_while_revalidate=50,
    stale_if_error=500,
    negative=5,
)
LETTER = replace(BOUNDS, fresh_min=0.0, fresh_max=1e9)  # obeys upstream to the letter


def entry(cache_control: str | None = None, **headers: str) -> Entry:
    if cache_control is not None:
        headers["cache-control"] = cache_control
    return Entry(
        key="conda/main noarch/repodata.json",
        digest=digest_of(b""),
        size=0,
        media_type="application/json",
        source="noarch/repodata.json",
        url="https://channel.example.org/noarch/repodata.json",
        validators=Validators(etag='"a"', last_modified="Sun, 06 Nov 1994 08:49:37 GMT"),
        checked_at=CHECKED,
        fresh_for=100.0,
        headers=headers,
    )


def stale_at(overdue: float, held: Entry, bounds: Bounds = BOUNDS) -> Stale:
    answer = before_request(held, now=CHECKED + held.fresh_for + overdue, bounds=bounds)
    assert isinstance(answer, Stale)
    return answer


def test_nothing_held_is_a_miss() -> None:
    assert before_request(None, now=0, bounds=BOUNDS) == Miss()


def test_an_entry_is_fresh_until_its_lifetime_has_passed() -> None:
    held = entry()
    assert before_request(held, now=CHECKED, bounds=BOUNDS) == Fresh(entry=held, ttl=100)
    assert before_request(held, now=CHECKED + 99.5, bounds=BOUNDS) == Fresh(entry=held, ttl=0.5)
    # RFC 9111 section 4.2: fresh while the lifetime is greater than the age, not equal.
    answer = before_request(held, now=CHECKED + 100, bounds=BOUNDS)
    assert isinstance(answer, Stale)
    assert answer.overdue == 0
    assert answer.validators == held.validators


def test_an_absence_is_believed_until_its_lifetime_has_passed() -> None:
    absence = Absence(key="k", checked_at=CHECKED, fresh_for=5)
    assert before_request(absence, now=CHECKED + 4, bounds=BOUNDS) == Absent(absence=absence, ttl=1)
    assert before_request(absence, now=CHECKED + 5, bounds=BOUNDS) == Miss()


def test_a_check_in_the_future_ages_by_its_distance() -> None:
    held = entry()
    assert before_request(held, now=CHECKED - 2, bounds=BOUNDS) == Fresh(entry=held, ttl=98)
    assert isinstance(before_request(held, now=CHECKED - 101, bounds=BOUNDS), Stale)


def test_stale_while_revalidate_ends_with_its_window() -> None:
    assert stale_at(49.9, entry()).servable_while_revalidating
    assert not stale_at(50, entry()).servable_while_revalidating


def test_stale_if_error_ends_with_its_window() -> None:
    assert stale_at(499, entry()).servable_on_error
    assert not stale_at(500, entry()).servable_on_error


def test_a_window_of_zero_serves_nothing_stale_even_at_once() -> None:
    answer = stale_at(0, entry(), replace(BOUNDS, stale_while_revalidate=0.0, stale_if_error=0.0))
    assert not answer.servable_while_revalidating
    assert not answer.servable_on_error


@pytest.mark.parametrize(
    ("cache_control", "revalidating", "on_error"),
    [
        ("max-age=100", True, True),
        ("public, immutable", True, True),
        ("no-cache", False, True),
        ("no-store", False, True),
        ("s-maxage=100", False, True),
        ("must-revalidate", False, False),
        ("proxy-revalidate", False, False),
        ("stale-while-revalidate=20", True, True),
        ("s-maxage=100, stale-while-revalidate=20", True, True),
        ("stale-while-revalidate=9", False, True),
        ("no-cache, stale-while-revalidate=20", False, True),
        ("must-revalidate, stale-if-error=999", False, False),
        ("stale-if-error=1", True, True),
    ],
)
def test_upstream_may_forbid_what_the_operator_allows(
    cache_control: str, *, revalidating: bool, on_error: bool
) -> None:
    answer = stale_at(10, entry(cache_control))
    assert answer.servable_while_revalidating is revalidating
    assert answer.servable_on_error is on_error


def test_upstreams_own_window_cannot_widen_the_operators() -> None:
    assert not stale_at(50, entry("stale-while-revalidate=9999")).servable_while_revalidating


@pytest.mark.parametrize(
    ("cache_control", "expected"),
    [
        ("max-age=9", 10),
        ("max-age=10", 10),
        ("max-age=11", 11),
        ("max-age=1000", 1000),
        ("max-age=1001", 1000),
        ("no-store", 10),
        ("no-cache", 10),
        ("", 100),
    ],
)
def test_a_new_body_is_fresh_as_upstream_says_within_the_bounds(
    cache_control: str, expected: float
) -> None:
    headers = {"cache-control": cache_control}
    answer = after_response(entry(), status=200, headers=headers, now=CHECKED, bounds=BOUNDS)
    assert answer == Replaced(fresh_for=expected)


def test_bounds_that_do_not_bind_leave_upstreams_word() -> None:
    def fresh_for(cache_control: str) -> float:
        headers = {"cache-control": cache_control}
        return after_response(None, status=200, headers=headers, now=0, bounds=LETTER).fresh_for

    assert fresh_for("no-cache") == 0
    assert fresh_for("max-age=12345678") == 12345678


def test_a_304_renews_the_entry_and_updates_its_headers() -> None:
    held = entry("max-age=50", vary="accept")
    headers = {"cache-control": "max-age=70", "vary": "accept-encoding", "server": "x"}
    now = CHECKED + 300
    answer = after_response(held, status=304, headers=headers, now=now, bounds=BOUNDS)
    assert answer == Unchanged(
        entry=replace(
            held,
            checked_at=now,
            fresh_for=70.0,
            headers={"cache-control": "max-age=70", "vary": "accept-encoding"},
        )
    )
    assert answer.fresh_for == 70
    assert before_request(answer.entry, now=now + 69, bounds=BOUNDS) == Fresh(
        entry=answer.entry, ttl=1
    )


def test_a_bare_304_keeps_the_stored_lifetime() -> None:
    held = entry("max-age=50", age="49", date="Sun, 06 Nov 1994 08:49:37 GMT")
    answer = after_response(held, status=304, headers={}, now=CHECKED + 300, bounds=BOUNDS)
    assert isinstance(answer, Unchanged)
    assert answer.entry.fresh_for == 50
    assert answer.entry.headers["cache-control"] == "max-age=50"


def test_a_304_keeps_the_etag_that_upstream_recognised() -> None:
    headers = {"etag": 'W/"a-gzip"', "last-modified": "Mon, 07 Nov 1994 08:49:37 GMT"}
    answer = after_response(entry(), status=304, headers=headers, now=CHECKED, bounds=BOUNDS)
    assert isinstance(answer, Unchanged)
    assert answer.entry.validators == Validators(
        etag='"a"', last_modified="Mon, 07 Nov 1994 08:49:37 GMT"
    )


def test_a_304_teaches_an_etag_that_was_unknown() -> None:
    held = replace(entry(), validators=Validators(last_modified="x"))
    answer = after_response(held, status=304, headers={"etag": '"b"'}, now=0, bounds=BOUNDS)
    assert isinstance(answer, Unchanged)
    assert answer.entry.validators == Validators(etag='"b"', last_modified="x")


def test_a_304_that_nobody_asked_for_is_upstreams_failure() -> None:
    with pytest.raises(UpstreamFailed, match="unconditional"):
        after_response(None, status=304, headers={}, now=0, bounds=BOUNDS)


@given(
    st.floats(0, 1e9),
    st.sampled_from(["", "no-cache", "must-revalidate", "max-age=5", "stale-while-revalidate=7"]),
)
def test_what_is_too_old_for_errors_never_gets_young_again(overdue: float, control: str) -> None:
    earlier, later = stale_at(overdue, entry(control)), stale_at(overdue + 1, entry(control))
    assert earlier.servable_on_error or not later.servable_on_error
    assert earlier.servable_while_revalidating or not later.servable_while_revalidating
