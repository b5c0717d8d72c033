"""The prefetches of a server: one at a time, watched, stopped, and remembered for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from proxy.core.model import Mirror
from proxy.ecosystems import ECOSYSTEMS
from proxy.errors import ConfigError, Conflict, StorageError, UnknownPrefetch
from proxy.gateway.events import Silence
from proxy.mirror.port import RunState
from proxy.mirror.prefetches import KEPT, WAITING, Prefetches
from proxy.mirror.prefetching import Prefetch, PrefetchDetails, Wish

PATH = Wish(paths=("conda/lab/noarch/app-1.0-0.conda",))
MIRRORS = tuple(
    Mirror(type="conda", name=name, source="https://host.example.org/")
    for name in ("lab", "lab/extra")
)


class Doing:
    """Does what it is told: ends when it is `let`, with what it is given."""

    def __init__(self, prefetch: Prefetch, changed: Callable[[Prefetch], None]) -> None:
        self.prefetch = prefetch
        self.changed = changed
        self.begun = asyncio.Event()
        self.end: asyncio.Future[RunState] = asyncio.get_running_loop().create_future()
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True

    async def go(self) -> PrefetchDetails:
        self.prefetch = replace(self.prefetch, state=RunState.RUNNING, started_at=1.0)
        self.changed(self.prefetch)
        self.begun.set()
        state = await self.end
        return PrefetchDetails(prefetch=replace(self.prefetch, state=state))


class Scene:
    """Prefetches, and whoever carries them out."""

    def __init__(self) -> None:
        self.doing: list[Doing] = []
        self.prefetches = Prefetches(
            mirrors=lambda: MIRRORS,
            ecosystems=ECOSYSTEMS,
            check=self._check,
            start=self._start,
            clock=lambda: 7.0,
            events=Silence(),
        )

    async def _check(self, wish: Wish) -> None:
        if wish.files:
            raise ConfigError("a file is wrong")

    def _start(self, prefetch: Prefetch, wish: Wish, changed: Callable[[Prefetch], None]) -> Doing:
        self.doing.append(Doing(prefetch, changed))
        return self.doing[-1]

    async def states(self, id_: str) -> list[RunState]:
        return [one.state async for one in self.prefetches.follow(id_)]


def play(script: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        scene = Scene()
        async with asyncio.timeout(10):
            await script(scene)
            await scene.prefetches.aclose()

    asyncio.run(main())


def test_one_at_a_time_is_carried_out_and_can_be_followed() -> None:
    async def script(scene: Scene) -> None:
        first = await scene.prefetches.begin(PATH)
        second = await scene.prefetches.begin(PATH)
        following = asyncio.create_task(scene.states(first.id))
        one, two = scene.doing
        await one.begun.wait()
        assert not two.begun.is_set()
        one.end.set_result(RunState.COMPLETED)
        await two.begun.wait()
        assert (await following)[-1] is RunState.COMPLETED
        assert [it.id for it in scene.prefetches.all()] == [second.id, first.id]

    play(script)


def test_one_that_goes_on_is_stopped_and_one_that_waits_is_over_at_once() -> None:
    async def script(scene: Scene) -> None:
        first = await scene.prefetches.begin(PATH)
        second = await scene.prefetches.begin(PATH)
        one, two = scene.doing
        await one.begun.wait()
        assert scene.prefetches.stop(first.id).state is RunState.STOPPING
        one.changed(replace(one.prefetch, fetched=3))
        assert scene.prefetches.details(first.id).prefetch.state is RunState.STOPPING
        scene.prefetches.stop(second.id)
        assert (await scene.states(second.id))[-1] is RunState.STOPPED
        assert (one.stopped, two.begun.is_set()) == (True, False)
        one.end.set_result(RunState.STOPPED)
        await scene.states(first.id)
        with pytest.raises(Conflict):
            scene.prefetches.stop(first.id)

    play(script)


def test_one_that_fails_takes_no_other_along() -> None:
    async def script(scene: Scene) -> None:
        first, second = [await scene.prefetches.begin(PATH) for _ in range(2)]
        scene.doing[0].end.set_exception(StorageError("no room"))
        scene.doing[1].end.set_result(RunState.COMPLETED)
        assert (await scene.states(first.id))[-1] is RunState.FAILED
        assert scene.prefetches.details(first.id).prefetch.error == "no room"
        assert (await scene.states(second.id))[-1] is RunState.COMPLETED

    play(script)


def test_few_wait_and_few_are_remembered() -> None:
    async def script(scene: Scene) -> None:
        first = await scene.prefetches.begin(PATH)
        for _ in range(WAITING):
            await scene.prefetches.begin(PATH)
        with pytest.raises(Conflict):
            await scene.prefetches.begin(PATH)
        last = first
        for number in range(KEPT + WAITING + 1):
            if number > WAITING:
                last = await scene.prefetches.begin(PATH)
            scene.doing[number].end.set_result(RunState.COMPLETED)
            await scene.states(scene.doing[number].prefetch.id)
        assert len(scene.prefetches.all()) == KEPT
        assert scene.prefetches.all()[0].id == last.id
        with pytest.raises(UnknownPrefetch):
            scene.prefetches.details(first.id)

    play(script)


def test_the_end_of_the_server_ends_all_of_them() -> None:
    async def script(scene: Scene) -> None:
        ids = [(await scene.prefetches.begin(PATH)).id for _ in range(2)]
        await scene.doing[0].begun.wait()
        await scene.prefetches.aclose()
        for id_ in ids:
            assert await scene.states(id_) == [RunState.STOPPED]

    play(script)


@pytest.mark.parametrize(
    "path",
    ["", "conda", "conda/lab", "conda/lab/", "conda/laboratory/noarch/a-1-0.conda",
     "conda/lab/../x", "conda/lab/extra", "pypi/lab/simple/", "/conda/lab/noarch/a-1.0-0.conda"],
)  # fmt: skip
def test_a_path_is_one_of_a_mirror(path: str) -> None:
    async def script(scene: Scene) -> None:
        with pytest.raises(ConfigError, match=r"^paths: "):
            await scene.prefetches.begin(Wish(paths=(path,)))
        assert not scene.prefetches.all()

    play(script)


def test_of_mirrors_whose_names_begin_alike_the_longer_one_is_meant() -> None:
    async def script(scene: Scene) -> None:
        await scene.prefetches.begin(Wish(paths=("conda/lab/extra/noarch/a-1.0-0.conda",)))

    play(script)
