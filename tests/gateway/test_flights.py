"""One flight per key, from the first caller until its work is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from proxy.errors import Abandoned, UpstreamFailed
from proxy.gateway.flights import Flights

Publish = Callable[[int], None]


class Runway:
    """Flights whose failures are written down."""

    def __init__(self) -> None:
        self.failures: list[tuple[str, BaseException]] = []
        self.flights: Flights[str, int] = Flights(lambda key, why: self.failures.append((key, why)))


def run(script: Callable[[Runway], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(script(Runway()))


def test_a_flight_outlives_whoever_leaves_and_serves_all_who_stay() -> None:
    async def script(runway: Runway) -> None:
        gate, flown = asyncio.Event(), []

        async def fly(publish: Publish) -> None:
            flown.append(1)
            await gate.wait()
            publish(7)

        callers = [asyncio.create_task(runway.flights.join("k", fly)) for _ in range(50)]
        await asyncio.sleep(0)
        callers[0].cancel()
        gate.set()
        boarded = await asyncio.gather(*callers[1:])
        assert {one.value for one in boarded} == {7}
        assert all(one.collapsed for one in boarded)
        assert flown == [1]

    run(script)


def test_a_failure_reaches_everyone_and_the_next_caller_may_try_again() -> None:
    async def script(runway: Runway) -> None:
        async def crash(publish: Publish) -> None:
            raise UpstreamFailed("down")

        async def fly(publish: Publish) -> None:
            publish(1)

        joins = (runway.flights.join("k", crash) for _ in range(20))
        errors = await asyncio.gather(*joins, return_exceptions=True)
        assert [type(error) for error in errors] == [UpstreamFailed] * 20
        assert [key for key, _ in runway.failures] == ["k"]
        assert (await runway.flights.join("k", fly)).value == 1

    run(script)


def test_the_key_is_kept_until_the_work_after_publishing_is_done() -> None:
    async def script(runway: Runway) -> None:
        gate = asyncio.Event()

        async def fly(publish: Publish) -> None:
            publish(1)
            await gate.wait()

        async def other(publish: Publish) -> None:
            publish(2)

        assert (await runway.flights.join("k", fly)).value == 1
        assert (await runway.flights.join("k", other)).value == 1
        gate.set()
        await runway.flights.drain(5)
        await asyncio.sleep(0)
        assert (await runway.flights.join("k", other)).value == 2

    run(script)


def test_closing_tells_those_who_wait() -> None:
    async def script(runway: Runway) -> None:
        async def hang(publish: Publish) -> None:
            await asyncio.Event().wait()

        waiting = asyncio.create_task(runway.flights.join("k", hang))
        await asyncio.sleep(0)
        assert "k" in runway.flights
        await runway.flights.aclose()
        with pytest.raises(Abandoned):
            await waiting
        assert len(runway.flights) == 0

    run(script)
