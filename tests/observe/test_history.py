"""The totals of the metrics, and what is kept of them."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from prometheus_client import CollectorRegistry

from proxy.core.cache_status import Result
from proxy.observe.history import COARSE, FINE, FINE_KEPT, History, Traffic
from proxy.observe.metrics import Metrics

LAB = "conda/lab"


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def _answer(metrics: Metrics, result: Result, *, status: int = 200, sent: int = 10) -> None:
    metrics.answered(mirror=LAB, method="GET", result=result, status=status, sent=sent, seconds=0.1)


def test_totals_say_what_the_metrics_say() -> None:
    metrics = _metrics()
    _answer(metrics, Result.HIT, sent=70)
    _answer(metrics, Result.MISS, sent=30)
    _answer(metrics, Result.REFUSED, status=403, sent=0)
    _answer(metrics, Result.NONE, status=502, sent=1)
    metrics.upstream_answered(LAB, "ok", 0.5)
    metrics.upstream_answered(LAB, "UpstreamTimeout", 1.5)
    metrics.upstream_received(LAB, 30)
    metrics.stored(size=100, entries=3)
    now = asyncio.run(History(metrics.families, _Clock()).now())
    assert (now.at, now.store_bytes, now.store_entries) == (1000.0, 100, 3)
    assert now.of(LAB) == Traffic(
        requests=4,
        cacheable=2,
        hits=1,
        refused=1,
        failed=1,
        bytes_sent=101,
        bytes_hit=70,
        bytes_fetched=30,
        asked={"ok": 1, "UpstreamTimeout": 1},
    )
    assert now.of(None) == now.of(LAB)
    assert now.of("conda/other") == Traffic()


def test_differences_and_sums_undo_each_other() -> None:
    one = Traffic(requests=3, hits=2, asked={"ok": 2, "unchanged": 1})
    two = Traffic(requests=5, hits=2, asked={"ok": 2, "unchanged": 4})
    assert two - one == Traffic(requests=2, asked={"unchanged": 3})
    assert (two - one) + one == two


def test_the_last_hour_is_fine_and_what_lies_before_it_coarse() -> None:
    metrics, clock = _metrics(), _Clock()
    history = History(metrics.families, clock)

    async def main() -> None:
        while clock.now < 1000 + 3 * 3600:
            clock.now += FINE
            _answer(metrics, Result.HIT)
            await history.take()

    asyncio.run(main())
    hour, longer = history.over(3600), history.over(3 * 3600)
    assert len(hour) == FINE_KEPT
    assert {after.at - before.at for before, after in pairwise(hour)} == {FINE}
    steps = {after.at - before.at for before, after in pairwise(longer)}
    assert max(steps) == COARSE
    assert longer[-1] == hour[-1]
    assert longer[0].at <= 1000 + COARSE


def test_a_server_that_has_just_started_shows_what_there_is() -> None:
    history = History(_metrics().families, _Clock())
    assert history.over(3600) == ()
    asyncio.run(history.take())
    assert len(history.over(86400)) == 1
