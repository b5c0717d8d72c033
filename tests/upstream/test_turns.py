"""Requests to one host have their turns in the order in which they asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from proxy.errors import UpstreamError
from proxy.upstream.turns import Turns
from tests.lab.scripted import Answer
from tests.upstream.test_client import BODY, QUICK, Lab, run


def test_who_came_first_is_sent_first_whoever_asks_meanwhile() -> None:
    async def main() -> None:
        turns = Turns(1)
        order: list[str] = []

        async def ask(name: str, then: str = "") -> None:
            give_back = await turns.take("a.example.org")
            order.append(name)
            asking = asyncio.create_task(ask(then)) if then else None
            give_back()
            give_back()  # counts once
            if asking is not None:
                await asking

        first = await turns.take("a.example.org")
        waiting = [asyncio.create_task(ask(name, f"{name} again")) for name in ("b", "c")]
        await asyncio.sleep(0)
        other = await turns.take("b.example.org")  # another host's do not wait
        other()
        first()
        await asyncio.gather(*waiting)
        assert order == ["b", "c", "b again", "c again"]
        assert len(turns) == 0

    asyncio.run(main())


def test_who_leaves_takes_no_turn() -> None:
    async def main() -> None:
        turns = Turns(1)
        first = await turns.take("a.example.org")
        leaving = asyncio.create_task(turns.take("a.example.org"))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        first()
        assert len(turns) == 0
        (await turns.take("a.example.org"))()

    asyncio.run(main())


def test_every_end_of_a_request_gives_its_turn_back() -> None:
    async def test(it: Lab) -> None:
        led = {"Location": it.server.url("/whole")}
        for answer in (
            Answer(body=BODY),
            Answer(body=b""),
            Answer(status=404),
            Answer(status=418, body=BODY),
            Answer(status=302, headers=led),
        ):
            it.server.play("/x", answer)
            it.server.play("/whole", Answer(body=BODY))
            try:
                await it.get("/x")
            except UpstreamError:
                continue
        it.server.play("/left", Answer(body=BODY))
        async with it.client.open(it.ask("/left")):
            pass  # its body unread
        it.server.play("/head", Answer(body=BODY))
        assert await it.status(it.ask("/head", method="HEAD")) == 200
        it.server.play("/last", Answer(body=BODY))
        assert await it.get("/last") == BODY
        assert len(it.client._turns) == 0

    run(test, settings=replace(QUICK, connections_per_host=1))


def test_a_host_is_asked_for_so_much_at_a_time() -> None:
    async def test(it: Lab) -> None:
        held = asyncio.Event()
        for number in range(3):
            it.server.play(f"/{number}", Answer(body=BODY, hold=held))
        asking = [asyncio.create_task(it.get(f"/{number}")) for number in range(3)]
        for _ in range(2000):  # many times what the first two take
            await asyncio.sleep(0)
        assert len(it.server.seen) == 2
        held.set()
        assert await asyncio.gather(*asking) == [BODY] * 3
        assert len(it.server.seen) == 3

    run(test, settings=replace(QUICK, connections_per_host=2))
