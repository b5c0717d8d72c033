"""How the metrics went, lately: totals taken every few seconds, kept in two rings.

The fine ring holds an hour, the coarse one a week; both are lost at a restart, and Prometheus is
there for more. The totals are those of all worker processes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

from prometheus_client import Metric

from proxy.core.cache_status import Result

FINE = 15.0
"""Seconds between two totals of the last hour."""

COARSE = 600.0
"""Seconds between two totals of the last week."""

FINE_KEPT = 241
COARSE_KEPT = 1009
"""How many are kept: an hour and a week, and one to count from."""

HITS = {Result.HIT, Result.STALE, Result.UPDATING, Result.REVALIDATED}
"""The results for which the body came from here."""

APART = {Result.NONE, Result.REFUSED}
"""The results in which the cache had no part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What a mirror, or all of them, did since the server's start or in a while.

    `hits` of `cacheable` requests, and `bytes_hit` of `bytes_sent`, needed no body from upstream.
    `asked` are requests upstream by outcome: `ok`, `unchanged` or an error's name.
    """

    requests: int = 0
    cacheable: int = 0
    hits: int = 0
    refused: int = 0
    failed: int = 0
    bytes_sent: int = 0
    bytes_hit: int = 0
    bytes_fetched: int = 0
    asked: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Traffic) -> Traffic:
        return self._joined(other, 1)

    def __sub__(self, other: Traffic) -> Traffic:
        return self._joined(other, -1)

    def _joined(self, other: Traffic, sign: int) -> Traffic:
        asked = Counter(self.asked)
        for outcome, count in other.asked.items():
            asked[outcome] += sign * count
        return Traffic(
            asked={outcome: count for outcome, count in asked.items() if count},
            **{one: getattr(self, one) + sign * getattr(other, one) for one in _COUNTS},
        )


_COUNTS = tuple(one.name for one in fields(Traffic) if one.type == "int")


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Everything at one moment; `by_mirror` by key, "" for requests that no mirror was meant by."""

    at: float
    by_mirror: Mapping[str, Traffic]
    store_bytes: int
    store_entries: int

    def of(self, mirror: str | None) -> Traffic:
        """The totals of one mirror, or (None) of all together."""
        if mirror is not None:
            return self.by_mirror.get(mirror, Traffic())
        return sum(self.by_mirror.values(), Traffic())


def totals(families: Iterable[Metric], at: float) -> Totals:
    """What the metrics say at the moment *at*."""
    counted: defaultdict[str, Counter[str]] = defaultdict(Counter)
    asked: defaultdict[str, Counter[str]] = defaultdict(Counter)
    store = {"pkgproxy_store_bytes": 0, "pkgproxy_store_entries": 0}
    for sample in (sample for family in families for sample in family.samples):
        mirror = sample.labels.get("mirror", "")
        match sample.name:
            case "pkgproxy_store_bytes" | "pkgproxy_store_entries":
                store[sample.name] = int(sample.value)
            case "pkgproxy_upstream_requests_total":
                asked[mirror][sample.labels["outcome"]] += int(sample.value)
            case _:
                for name in _counts(sample.name, sample.labels):
                    counted[mirror][name] += int(sample.value)
    return Totals(
        at=at,
        by_mirror={
            mirror: Traffic(asked=asked[mirror], **counted[mirror])
            for mirror in counted.keys() | asked.keys()
        },
        store_bytes=store["pkgproxy_store_bytes"],
        store_entries=store["pkgproxy_store_entries"],
    )


def _counts(name: str, labels: Mapping[str, str]) -> Iterator[str]:
    """What of `Traffic` a sample counts for."""
    match name:
        case "pkgproxy_requests_total":
            result = labels["result"]
            yield "requests"
            if result not in APART:
                yield "cacheable"
            if result in HITS:
                yield "hits"
            if result == Result.REFUSED:
                yield "refused"
            if labels["code"] == "5xx":
                yield "failed"
        case "pkgproxy_response_bytes_total":
            yield "bytes_sent"
            if labels["result"] in HITS:
                yield "bytes_hit"
        case "pkgproxy_upstream_bytes_total":
            yield "bytes_fetched"
        case _:
            return


class History:
    """Takes totals until cancelled, and keeps them."""

    def __init__(
        self, families: Callable[[], Iterable[Metric]], clock: Callable[[], float]
    ) -> None:
        """*families* collects the metrics; it may read files, and is called in a thread."""
        self._families = families
        self._clock = clock
        self._fine: deque[Totals] = deque(maxlen=FINE_KEPT)
        self._coarse: deque[Totals] = deque(maxlen=COARSE_KEPT)

    async def run(self) -> None:
        """Take totals every `FINE` seconds."""
        while True:
            await self.take()
            await asyncio.sleep(FINE)

    async def take(self) -> Totals:
        """Take and keep the totals of now."""
        now = await self.now()
        self._fine.append(now)
        if not self._coarse or now.at - self._coarse[-1].at >= COARSE:
            self._coarse.append(now)
        return now

    async def now(self) -> Totals:
        """The totals of now."""
        return totals(await asyncio.to_thread(self._collected), self._clock())

    def over(self, seconds: float) -> Sequence[Totals]:
        """The totals of the last *seconds*, oldest first; finer ones where they reach."""
        if not self._fine:
            return ()
        begin = self._fine[-1].at - seconds
        fine = list(self._fine)
        if len(self._coarse) < 2 or fine[0].at <= begin or fine[0].at <= self._coarse[0].at:
            return [one for one in fine if one.at >= begin]
        coarse = [one for one in self._coarse if begin <= one.at < fine[-1].at]
        return [*coarse, fine[-1]]

    def _collected(self) -> list[Metric]:
        return list(self._families())
