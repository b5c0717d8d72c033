"""Conditions that every type of mirror tests in the same way, given how it reads its records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from fnmatch import translate
from functools import cache
from typing import Any

from proxy.core.advisories import Advisory, Order, Status
from proxy.core.judging import Screened, Truth
from proxy.core.policy import (
    FixesVulnerability,
    LargerThan,
    Malicious,
    OlderThan,
    SmallerThan,
    Vulnerable,
    YoungerThan,
)


def is_like(text: str, patterns: Iterable[str]) -> bool:
    """Whether *text* as a whole is like one of *patterns* (`*`, `?`, `[…]`)."""
    return _any(tuple(patterns)).match(text) is not None


def unlike(patterns: Iterable[str], known: Sequence[str]) -> str | None:
    """What is to be said of those of *patterns* that none of the *known* names is like; None: there
    are none of them.
    """
    odd = [one for one in patterns if not any(is_like(name, (one,)) for name in known)]
    if not odd:
        return None
    near = list(dict.fromkeys(name for one in odd for name in get_close_matches(one, known, 2)))
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
    return f"{', '.join(odd)}: {hint}"


@cache
def _any(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)) if patterns else r"(?!)")


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


Subject = tuple[tuple[Advisory, ...], str | None]
"""The advisories on a record's package, and its version as they spell it; None: not known."""


def by_advisories(
    leaf: Vulnerable | FixesVulnerability | Malicious,
    order: Order,
    subject_of: Callable[[Any], Subject],
) -> Callable[[Any], Truth]:
    """The test of what is known about vulnerabilities."""

    def test(record: Any) -> Truth:
        advisories, version = subject_of(record)
        if not advisories:
            return isinstance(leaf, FixesVulnerability) and not leaf.fixes
        if version is None:
            return None
        match leaf:
            case FixesVulnerability(fixes=fixes):
                is_fix = any(one.fixed_by(version, order) for one in advisories)
                clean = not any(one.affects(version, order) for one in advisories if _counts(one))
                return (is_fix and clean) == fixes
            case _:
                return any(
                    is_meant(leaf, one) and one.affects(version, order) for one in advisories
                )

    return test


def is_meant(leaf: Vulnerable | Malicious, advisory: Advisory) -> bool:
    """Whether *leaf* holds for what is affected by *advisory*."""
    if isinstance(leaf, Malicious):
        return advisory.malicious
    is_bad = advisory.score is None or advisory.score >= leaf.score
    return is_bad and advisory.status.value in leaf.statuses


def _counts(advisory: Advisory) -> bool:
    return advisory.status in (Status.ACTIVE, Status.REPORTED)


def by_size(leaf: LargerThan | SmallerThan) -> Screened:
    """The test of a size in bytes; records have it as `size`, or None there."""
    limit = leaf.size

    def larger(record: Any) -> Truth:
        size = record.size
        return None if size is None else size > limit

    def larger_ones(records: Sequence[Any]) -> Iterable[int]:
        sizes = [record.size for record in records]
        if None not in sizes and max(sizes) <= limit:
            return ()
        return [at for at, size in enumerate(sizes) if size is None or size > limit]

    def smaller(record: Any) -> Truth:
        size = record.size
        return None if size is None else size < limit

    def smaller_ones(records: Sequence[Any]) -> Iterable[int]:
        sizes = [record.size for record in records]
        return [at for at, size in enumerate(sizes) if size is None or size < limit]

    if isinstance(leaf, LargerThan):
        return Screened(larger, larger_ones)
    return Screened(smaller, smaller_ones)
