"""A process in the last place that gets nothing is found out, and one that wants nothing is not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from proxy.app.starving import LONG, Hunger, Look, Starved, look_at, unless_starved
from tests.lab.server import eventually


def _found_at(looks: Sequence[Look | None]) -> list[int]:
    """After how many of *looks* it is said to be starved."""
    hunger = Hunger()
    return [number for number, look in enumerate(looks, 1) if hunger.starved(look)]


def _looks(
    count: int, share: float, *, wants: Callable[[int], bool] = lambda _: True
) -> list[Look]:
    return [Look(wants=wants(number), had=100.0 + share * number) for number in range(count)]


def test_who_wants_a_processor_for_long_and_has_next_to_none_is_starved() -> None:
    assert _found_at(_looks(LONG, 0.003)) == [LONG]
    assert _found_at(_looks(LONG - 1, 0.0)) == []


def test_who_has_a_small_share_is_not() -> None:
    assert _found_at(_looks(10 * LONG, 0.05)) == []


def test_who_had_enough_before_is_judged_by_what_it_has_now() -> None:
    plenty = _looks(LONG, 1.0)
    nothing = [Look(wants=True, had=plenty[-1].had)] * LONG
    assert _found_at([*plenty, *nothing]) == [2 * LONG]


def test_who_waits_for_others_is_judged_by_the_time_in_which_it_wants_a_processor() -> None:
    assert _found_at(_looks(10 * LONG, 0.0, wants=lambda _: False)) == []
    assert _found_at(_looks(10 * LONG, 0.01, wants=lambda number: number % 10 == 0)) == []
    assert _found_at(_looks(2 * LONG, 0.001, wants=lambda number: number % 2 == 1)) == [2 * LONG]


def test_who_is_not_in_the_last_place_is_not_starved() -> None:
    assert _found_at([None] * 10 * LONG) == []


class _Watched:
    """A process as it is looked at, without a clock."""

    def __init__(self, share: float) -> None:
        self._looks = iter(_looks(10**6, share))
        self.seen = 0
        self.long = asyncio.Event()

    def look(self) -> Look:
        self.seen += 1
        return next(self._looks)

    async def pause(self, _: float) -> None:
        if self.seen > LONG:
            self.long.set()
        await asyncio.sleep(0)


def test_the_block_is_left_when_it_is_starved() -> None:
    async def act() -> None:
        watched = _Watched(0.0)
        with pytest.raises(Starved):
            async with unless_starved(watched.look, watched.pause):
                await asyncio.Event().wait()
        assert watched.seen == LONG

    asyncio.run(act())


def test_what_else_ends_the_block_is_what_is_heard_of_it() -> None:
    async def act() -> None:
        watched = _Watched(1.0)
        async with unless_starved(watched.look, watched.pause):
            pass
        with pytest.raises(TimeoutError, match="of its own"):
            async with unless_starved(watched.look, watched.pause):
                raise TimeoutError("of its own")
        left = asyncio.create_task(_forever(watched))
        await watched.long.wait()
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert len(asyncio.all_tasks()) == 1  # nobody looks any more

    asyncio.run(act())


async def _forever(watched: _Watched) -> None:
    async with unless_starved(watched.look, watched.pause):
        await asyncio.Event().wait()


_IDLE = "import os, sys; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)); "


@contextmanager
def _process(code: str) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def test_a_process_in_the_last_place_is_looked_at() -> None:
    with _process(_IDLE + "all(iter(lambda: True, False))") as pid:
        eventually(lambda: look_at(pid) is not None, "it has the last place")
        eventually(lambda: (look_at(pid) or Look(wants=False, had=0)).had > 0, "it had some")
        look = look_at(pid)
        assert look is not None
        assert look.wants
    assert look_at(pid) is None


def test_one_that_waits_wants_nothing_and_one_in_another_place_is_left_alone() -> None:
    with _process(_IDLE + "sys.stdin.read()") as pid:
        eventually(lambda: look_at(pid) is not None, "it has the last place")
        eventually(lambda: not (look_at(pid) or Look(wants=True, had=0)).wants, "it waits")
    assert look_at(os.getpid()) is None
