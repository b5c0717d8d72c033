"""When to ask again: bounded in number and in time, and never in step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.upstream_settings import UpstreamSettings
from proxy.errors import (
    UpstreamError,
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamMissing,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamTimeout,
)
from proxy.upstream.retry import wait_before

SETTINGS = UpstreamSettings(attempts=6, backoff=0.5, backoff_max=3.0)


@pytest.mark.parametrize(
    ("attempt", "error", "expected"),
    [
        (2, UpstreamFailed("x"), 0.5),
        (3, UpstreamFailed("x"), 1.0),
        (4, UpstreamTimeout("x"), 2.0),
        (5, UpstreamTimeout("x"), 3.0),
        (6, UpstreamFailed("x"), 3.0),
        (7, UpstreamFailed("x"), None),
        (2, UpstreamMissing("x"), None),
        (2, UpstreamRefused("x"), None),
        (2, UpstreamForbidden("x"), None),
        (2, UpstreamThrottled("x"), 0.5),
        (2, UpstreamThrottled("x", retry_after=0.0), 0.0),
        (2, UpstreamThrottled("x", retry_after=3.0), 3.0),
        (2, UpstreamThrottled("x", retry_after=3.1), None),
        (7, UpstreamThrottled("x", retry_after=1.0), None),
    ],
)
def test_the_longest_wait(attempt: int, error: UpstreamError, expected: float | None) -> None:
    assert wait_before(attempt, error, SETTINGS, dice=1.0) == expected


def test_an_error_may_say_that_asking_again_is_vain() -> None:
    error = UpstreamFailed("x")
    error.retryable = False
    assert wait_before(2, error, SETTINGS, dice=1.0) is None


@given(
    attempts=st.integers(1, 10_000),
    backoff=st.floats(0, 1e6),
    backoff_max=st.floats(0, 1e6),
    dice=st.floats(0, 1),
)
def test_waits_are_bounded_and_shrink_with_the_dice(
    attempts: int, backoff: float, backoff_max: float, dice: float
) -> None:
    settings = UpstreamSettings(attempts=attempts, backoff=backoff, backoff_max=backoff_max)
    error = UpstreamFailed("x")
    longest = [
        wait_before(attempt, error, settings, dice=1.0) for attempt in range(2, attempts + 1)
    ]
    waits = [wait_before(attempt, error, settings, dice=dice) for attempt in range(2, attempts + 1)]
    assert wait_before(attempts + 1, error, settings, dice=dice) is None
    for wait, limit in zip(waits, longest, strict=True):
        assert wait is not None
        assert limit is not None
        assert 0.0 <= wait <= limit <= backoff_max
        assert wait == pytest.approx(limit * dice)
    assert longest == sorted(longest, key=float)  # type: ignore[arg-type]
