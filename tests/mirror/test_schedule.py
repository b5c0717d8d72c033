"""When mirrors are due."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from proxy.core.active import Active
from proxy.core.frequency import Frequency
from proxy.core.model import Bounds, Mirror
from proxy.mirror.schedule import LATE, LONGEST_SLEEP, Schedule


def _mirror(name: str, frequency: str | None) -> Mirror:
    active = None if frequency is None else Active(frequency=Frequency.of(frequency))
    return Mirror(name=name, type="conda", source="https://a.example.org/", active=active)


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_mirror_is_due_at_its_time_and_once() -> None:
    clock, told = _Clock(), list[tuple[str, float]]()
    schedule = Schedule(clock, lambda key, at: told.append((key, at)))
    schedule.configure([_mirror("h", "@hourly"), _mirror("d", "@daily"), _mirror("p", None)])
    assert schedule.look() == min(3600.0, LONGEST_SLEEP)
    clock.now = 3600.0
    schedule.look()
    schedule.look()
    assert told == [("conda/h", 3600.0)]
    clock.now = 86400.0
    schedule.look()
    assert sorted(told[1:]) == [("conda/d", 86400.0)]  # the hours that were slept through are not
    assert schedule.next == {"conda/h": 90000.0, "conda/d": 172800.0}


def test_what_was_slept_through_for_long_is_left_out() -> None:
    clock, told = _Clock(), list[str]()
    schedule = Schedule(clock, lambda key, _: told.append(key))
    schedule.configure([_mirror("d", "@daily")])
    clock.now = 86400.0 + LATE + 1
    schedule.look()
    assert not told


def test_a_reload_keeps_the_next_moment_of_what_has_not_changed() -> None:
    clock = _Clock()
    schedule = Schedule(clock, lambda _key, _at: None)
    schedule.configure([_mirror("a", "@hourly"), _mirror("b", "@hourly")])
    clock.now = 3601.0  # both are due, and nobody has looked yet
    schedule.configure([_mirror("a", "@hourly"), _mirror("b", "@daily"), _mirror("c", "@hourly")])
    assert schedule.next == {"conda/a": 3600.0, "conda/b": 86400.0, "conda/c": 7200.0}


def test_a_mirror_that_is_offline_is_never_due() -> None:
    schedule = Schedule(_Clock(), lambda _key, _at: None)
    offline = replace(_mirror("o", "@hourly"), bounds=Bounds(offline=True))
    schedule.configure([offline, _mirror("a", "@hourly")])
    assert list(schedule.next) == ["conda/a"]


def test_a_change_wakes_whoever_sleeps() -> None:
    async def main() -> None:
        clock, told = _Clock(), asyncio.Queue[str]()
        schedule = Schedule(clock, lambda key, _: told.put_nowait(key))
        slept: list[float] = []

        async def wait(changed: asyncio.Event, seconds: float) -> None:
            slept.append(seconds)
            await changed.wait()

        running = asyncio.create_task(schedule.run(wait))
        await asyncio.sleep(0)
        clock.now = 3590.0
        schedule.configure([_mirror("a", "@hourly")])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert slept == [LONGEST_SLEEP, 10.0]
        clock.now = 3600.0
        schedule.configure([_mirror("a", "@hourly")])
        assert await told.get() == "conda/a"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
