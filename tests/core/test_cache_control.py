"""Cache-Control: whatever is sent is read, and doubt allows less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.cache_control import CacheControl, age, lifetime
from proxy.core.http_date import format_http_date

NOW = 1_800_000_000.0


def at(seconds: float) -> str:
    return format_http_date(NOW + seconds)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", CacheControl()),
        ("max-age=600, public", CacheControl(max_age=600, public=True)),
        ("MAX-AGE=600 ,PUBLIC", CacheControl(max_age=600, public=True)),
        ('max-age="600"', CacheControl(max_age=600)),
        ("max-age = 600", CacheControl(max_age=600)),
        ("max-age=600, max-age=60", CacheControl(max_age=60)),
        ("max-age=60, max-age=600", CacheControl(max_age=60)),
        ("max-age=ten", CacheControl(max_age=0)),
        ("max-age=-1", CacheControl(max_age=0)),
        ("max-age=1.5", CacheControl(max_age=0)),
        ("max-age=", CacheControl(max_age=0)),
        ("max-age", CacheControl(max_age=0)),
        ("max-age=٦٠", CacheControl(max_age=0)),
        ("max-age=600, max-age=junk", CacheControl(max_age=0)),
        ("max-age=" + "9" * 5000, CacheControl(max_age=2.0**31)),
        ("max-age=4294967296", CacheControl(max_age=2.0**31)),
        ("s-maxage=5, proxy-revalidate", CacheControl(s_maxage=5, proxy_revalidate=True)),
        ('private="set-cookie, x"', CacheControl(private=True)),
        ('no-cache="x", no-store', CacheControl(no_cache=True, no_store=True)),
        ('unknown="no-store, private", max-age=1', CacheControl(max_age=1)),
        (r'unknown="a\"b, no-store", max-age=1', CacheControl(max_age=1)),
        ('max-age=1, unknown="no-store', CacheControl(max_age=1)),
        ("no-store; max-age=7", CacheControl(no_store=True, max_age=7)),
        (
            ",,; ,no-transform,,must-understand",
            CacheControl(no_transform=True, must_understand=True),
        ),
        (
            "max-age=365000000, immutable, must-revalidate",
            CacheControl(max_age=365000000, immutable=True, must_revalidate=True),
        ),
        (
            "stale-while-revalidate=30, stale-if-error=60",
            CacheControl(stale_while_revalidate=30, stale_if_error=60),
        ),
        ("xmax-age=5, nomax-age", CacheControl()),
    ],
)
def test_directives_are_read(value: str, expected: CacheControl) -> None:
    assert CacheControl.parse(value) == expected


@given(st.text())
def test_reading_never_raises(value: str) -> None:
    CacheControl.parse(value)


@given(
    st.lists(
        st.sampled_from(["max-age=5", "no-store", 'x="a,b"', "private", "s-maxage=0", "junk=="])
    ),
    st.integers(0, 10_000),
)
def test_a_further_directive_never_allows_more(directives: list[str], seconds: int) -> None:
    before = CacheControl.parse(", ".join([*directives, "max-age=77"]))
    after = CacheControl.parse(", ".join([*directives, "max-age=77", f"max-age={seconds}"]))
    assert before.max_age is not None
    assert after.max_age == min(before.max_age, seconds)
    assert after.shareable == before.shareable


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"last-modified": at(-1000)}, None),
        ({"cache-control": "public"}, None),
        ({"cache-control": "max-age=600"}, 600),
        ({"cache-control": "max-age=600, s-maxage=10"}, 10),
        ({"cache-control": "max-age=600", "expires": at(5)}, 600),
        ({"cache-control": "max-age=600", "age": "100"}, 500),
        ({"cache-control": "max-age=600", "age": "600"}, 0),
        ({"cache-control": "max-age=600", "age": "601"}, 0),
        ({"cache-control": "max-age=600", "age": "junk"}, 600),
        ({"cache-control": "max-age=600", "age": "100, 3"}, 500),
        ({"cache-control": "max-age=600", "date": at(-5000)}, 600),
        ({"cache-control": "max-age=600, no-cache"}, 0),
        ({"cache-control": "max-age=600, no-store"}, 0),
        ({"cache-control": "max-age=600, private"}, 0),
        ({"expires": at(30)}, 30),
        ({"expires": at(30), "date": at(-30)}, 60),
        ({"expires": at(30), "date": at(-30), "age": "50"}, 10),
        ({"expires": at(-30)}, 0),
        ({"expires": "0"}, 0),
        ({"expires": at(30), "date": "junk"}, 30),
    ],
)
def test_lifetime_is_that_of_a_shared_cache(
    headers: dict[str, str], expected: float | None
) -> None:
    assert lifetime(headers, NOW) == expected


def test_a_heuristic_is_used_only_where_asked_and_where_nothing_is_said() -> None:
    modified = {"last-modified": at(-1000), "date": at(0)}
    assert lifetime(modified, NOW) is None
    assert lifetime(modified, NOW, heuristic=0.1) == 100
    assert lifetime(modified | {"age": "30"}, NOW, heuristic=0.1) == 70
    assert lifetime(modified | {"cache-control": "max-age=1"}, NOW, heuristic=0.1) == 1
    assert lifetime({"last-modified": at(1000)}, NOW, heuristic=0.1) == 0
    assert lifetime({}, NOW, heuristic=0.1) is None


def test_age_is_zero_where_unsaid() -> None:
    assert age({}) == 0
    assert age({"age": "7"}) == 7
