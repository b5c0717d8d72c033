"""Conditions that every type of mirror tests in the same way, given how it reads its records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import cache
from typing import Any

from proxy.core.judging import Truth
from proxy.core.policy import LargerThan, OlderThan, SmallerThan, YoungerThan


def is_like(text: str, patterns: Iterable[str]) -> bool:
    """Whether *text* as a whole is like one of *patterns* (`*`, `?`, `[…]`)."""
    return any(_pattern(pattern).match(text) for pattern in patterns)


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def any_of(results: Iterable[Truth]) -> Truth:
    """Whether one of them holds."""
    found = set(results)
    return True if True in found else None if None in found else False


def by_age(
    leaf: YoungerThan | OlderThan, moment: float, published: Callable[[Any], float | None]
) -> Callable[[Any], Truth]:
    """The test of an age, reckoned from *moment*; both in seconds since the epoch."""
    cutoff = moment - leaf.seconds

    def younger(record: Any) -> Truth:
        at = published(record)
        return None if at is None else at > cutoff

    def older(record: Any) -> Truth:
        at = published(record)
        return None if at is None else at < cutoff

    return younger if isinstance(leaf, YoungerThan) else older


def by_size(
    leaf: LargerThan | SmallerThan, size_of: Callable[[Any], int | None]
) -> Callable[[Any], Truth]:
    """The test of a size in bytes."""
    limit = leaf.size

    def larger(record: Any) -> Truth:
        size = size_of(record)
        return None if size is None else size > limit

    def smaller(record: Any) -> Truth:
        size = size_of(record)
        return None if size is None else size < limit

    return larger if isinstance(leaf, LargerThan) else smaller
