"""What is said of ready answers: all of it, soon, and not for each turn where turns are short."""

from __future__ import annotations

import asyncio
import io

from prometheus_client import CollectorRegistry

from proxy.app.hits import GATHER, Hits, Stencil
from proxy.core.cache_status import Result
from proxy.observe.log import Log
from proxy.observe.metrics import Metrics


class _Counting(Metrics):
    """Notes how many requests are counted at a time."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry())
        self.together: list[int] = []

    def answered_again(self, *, seconds: list[float], **rest: object) -> None:  # type: ignore[override]
        self.together.append(len(seconds))


def _given(hits: Hits) -> None:
    hits.add(_stencil(hits), "", "", 1.0, 0.001)


def _stencil(hits: Hits) -> Stencil:
    return hits.stencil(
        mirror="files/f", method="GET", path="/f", status=200, result=Result.HIT, sent=10
    )


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_the_first_in_a_while_is_settled_at_once_and_many_that_follow_together() -> None:
    async def main() -> None:
        metrics = _Counting()
        hits = Hits(metrics, Log(io.BytesIO()), requests=False)
        told = _stencil(hits)
        hits.add(told, "", "", 1.0, 0.001)
        hits.add(told, "", "", 1.0, 0.001)
        await _turns(5)
        assert metrics.together == [2]
        for _ in range(5):
            hits.add(told, "", "", 1.0, 0.001)
            await _turns(5)
        assert metrics.together == [2]
        await asyncio.sleep(3 * GATHER)
        assert metrics.together == [2, 5]
        hits.add(told, "", "", 1.0, 0.001)
        await _turns(5)
        assert metrics.together == [2, 5, 1]

    asyncio.run(main())


def test_what_is_gathered_can_be_settled_at_any_moment_and_is_counted_once() -> None:
    async def main() -> None:
        metrics = _Counting()
        hits = Hits(metrics, Log(io.BytesIO()), requests=False)
        _given(hits)
        await _turns(5)
        _given(hits)
        hits.settle()
        assert metrics.together == [1, 1]
        hits.settle()
        await asyncio.sleep(3 * GATHER)
        assert metrics.together == [1, 1]

    asyncio.run(main())
