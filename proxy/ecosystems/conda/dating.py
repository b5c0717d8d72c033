"""How old the files of a channel are, and for how long that makes no difference.

A cool-down asks it of 600,000 records at once, of nearly all of which a look at many together tells
that they are old enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

from proxy.core import first_seen
from proxy.core.ages import STEP
from proxy.core.conditions import by_age
from proxy.core.judging import Screened, Truth
from proxy.core.policy import OlderThan, YoungerThan
from proxy.ecosystems.conda.records import (
    LATEST_IN_SECONDS,
    Judgeable,
    built,
    identities,
    identity,
    seconds,
)

LOOKBACK = 2 * STEP
"""Seconds before a moment for which verdicts as of it may hold, too: the views of the next moment
are made before it comes, and a new version of the index may come in between.
"""


class Term(NamedTuple):
    """From when and until when verdicts on some records are the same, as far as only time goes by
    (seconds since the epoch), and what stands for a file that was first seen with this generation.
    """

    since: float
    until: float
    newest: bytes | None


ALWAYS = Term(-math.inf, math.inf, None)


def _suspects_of(test: Callable[[Any], Truth], records: Sequence[Any]) -> Iterable[int]:
    """The places of those *records* for which *test* may not be False."""
    return test.suspects(records) if isinstance(test, Screened) else range(len(records))


class Dating:
    """The ages of the files in one index, as of one moment (seconds since the epoch)."""

    def __init__(
        self, moment: float, delays: Sequence[float], table: bytes | memoryview, seen_at: float
    ) -> None:
        """*delays*: the ages that the policy looks at, in seconds and in order; *table*: that of
        first sights, empty for the first generation; *seen_at*: when this one came.
        """
        self._moment = moment
        self._delays = delays
        self._seen: Mapping[bytes, float] = first_seen.read(table)
        self._seen_at = seen_at
        self._tests: dict[YoungerThan | OlderThan, Callable[[Judgeable], Truth]] = {}
        self._looked_at: tuple[Judgeable | None, int, Iterable[int]] = None, 0, ()

    def published(self, record: Judgeable) -> float:
        """When the channel's server, or else this proxy, first had the file (CEP 47).

        In the first generation that came here everything is as old as its builder says, in whole
        seconds, as the table has it that the next one is judged by.
        """
        indexed = seconds(record.indexed_timestamp)
        if indexed is not None:
            return indexed
        if not self._seen:
            return math.floor(min(built(record), self._seen_at))
        return self._seen.get(identity(record), self._seen_at)

    def term(self, records: Sequence[Judgeable]) -> Term:
        """For how long the verdicts on *records* hold."""
        if not self._delays:
            return ALWAYS
        start = self._moment - LOOKBACK
        before: list[float] = []
        after: list[float] = []
        newest = None
        for place in self._recent(records):
            record = records[place]
            published = math.floor(self.published(record))
            for turn in [published + delay for delay in self._delays]:
                # Tables have whole seconds: what turns in this one has turned or not.
                if turn > self._moment - 1:
                    after.append(turn)
                if start < turn + 1 and turn <= self._moment:
                    before.append(turn + 1)
            if newest is None and seconds(record.indexed_timestamp) is None:
                file = identity(record)
                newest = None if file in self._seen else file
        return Term(max(before, default=start), min(after, default=math.inf), newest)

    def _recent(self, records: Sequence[Judgeable]) -> Iterable[int]:
        """The places of those that may have come of age since the moment that is looked back to."""
        if not records:
            return ()
        first, count, found = self._looked_at
        if records[0] is not first or len(records) != count:  # who judges asks, and who notes
            found = _suspects_of(self._latest, records)
            self._looked_at = records[0], len(records), found
        return found

    @cached_property
    def _latest(self) -> Callable[[Judgeable], Truth]:
        return self._younger_than(self._moment - self._delays[-1] - LOOKBACK - 1)

    def test(self, leaf: YoungerThan | OlderThan) -> Callable[[Judgeable], Truth]:
        """The test of *leaf*, one of the policy's ages."""
        test = self._tests.get(leaf)
        if test is None:
            younger = self._younger_than(self._moment - leaf.seconds)
            older = by_age(leaf, self._moment, self.published)
            test = self._tests[leaf] = (
                Screened(younger, partial(self._younger, younger))
                if isinstance(leaf, YoungerThan)
                else older
            )
        return test

    def _younger(
        self, test: Callable[[Judgeable], Truth], records: Sequence[Judgeable]
    ) -> Iterable[int]:
        """The places of those for which *test*, of one of the policy's ages, may not be False."""
        return _suspects_of(test, records) if self._recent(records) else ()

    def _younger_than(self, cutoff: float) -> Callable[[Judgeable], Truth]:
        """The test of most cool-downs, on 600,000 records: a look into a set."""
        if self._seen_at <= cutoff:
            return Screened(lambda record: self.published(record) > cutoff, _with_a_date)
        if not self._seen:
            return self._said_to_be_younger_than(cutoff)
        seen, limit = self._seen, math.floor(cutoff) + 1
        # Nearly always all of it is.
        old = seen if max(seen.values()) < limit else first_seen.before(seen, limit)

        def test(record: Judgeable) -> Truth:
            if record.indexed_timestamp is not None:
                indexed = seconds(record.indexed_timestamp)
                if indexed is not None:
                    return indexed > cutoff
            return identity(record) not in old

        def suspects(records: Sequence[Judgeable]) -> Iterable[int]:
            known = identities([one.sha256 for one in records])
            if known is None:
                return range(len(records))
            return [
                at
                for at, (one, file) in enumerate(zip(records, known, strict=True))
                if file not in old or one.indexed_timestamp is not None
            ]

        return Screened(test, suspects)

    def _said_to_be_younger_than(self, cutoff: float) -> Callable[[Judgeable], Truth]:
        """The same where this is the first generation; times are compared as they are written."""
        published = self.published
        # A builder's date is taken in whole seconds, see `published`.
        milliseconds = 1000 * (math.floor(cutoff) + 1) - 1

        def test(record: Judgeable) -> Truth:
            at = record.timestamp
            if record.indexed_timestamp is None and type(at) is int and at > LATEST_IN_SECONDS:
                return at > milliseconds
            return published(record) > cutoff

        def suspects(records: Sequence[Judgeable]) -> Iterable[int]:
            indexed = [one.indexed_timestamp for one in records]
            times = [one.timestamp for one in records]
            if indexed.count(None) == len(indexed) and _are_between(
                LATEST_IN_SECONDS, times, milliseconds
            ):
                return ()
            # What has two times, or none that is plain, is tested by itself.
            return [
                at
                for at, time in enumerate(times)
                if indexed[at] is not None
                or type(time) is not int
                or not LATEST_IN_SECONDS < time <= milliseconds
            ]

        return Screened(test, suspects)


def _with_a_date(records: Sequence[Judgeable]) -> Iterable[int]:
    return [at for at, one in enumerate(records) if one.indexed_timestamp is not None]


def _are_between(low: float, times: Sequence[Any], high: float) -> bool:
    try:
        return bool(low < min(times) and max(times) <= high)
    except TypeError:  # one that is no number
        return False
