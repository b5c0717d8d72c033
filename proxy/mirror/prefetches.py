"""The prefetches of a server: begun, watched, stopped, and remembered for a while.

One goes on at a time; a few may wait for their turn. They are forgotten when the server ends: what
they fetched stays, and the same wish fetches only what is not here yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from proxy.core.model import Mirror
from proxy.ecosystems.base import Ecosystem
from proxy.errors import Abandoned, ConfigError, Conflict, ProxyError, UnknownPath, UnknownPrefetch
from proxy.gateway.events import Events
from proxy.mirror.port import RunState
from proxy.mirror.prefetching import Prefetch, PrefetchDetails, Wish

WAITING = 20
"""Prefetches that wait at the most: each is kept with its texts."""

KEPT = 100
"""Prefetches that are remembered once they are over."""


class Doing(Protocol):
    """Somebody who carries out one prefetch."""

    async def go(self) -> PrefetchDetails:
        """Carry it out. Raises ProxyError where it cannot be."""
        ...

    def stop(self) -> None:
        """Begin nothing new."""
        ...


Start = Callable[[Prefetch, Wish, Callable[[Prefetch], None]], Doing]
"""Finds somebody for a prefetch; the function is to hear of each change of it."""

Check = Callable[[Wish], Awaitable[None]]
"""Raises ConfigError where a wish's files cannot be read."""


@dataclass(slots=True)
class _Kept:
    """A prefetch as it stands. `changed` is set, and replaced, whenever it is another."""

    details: PrefetchDetails
    changed: asyncio.Event
    doing: Doing | None = None
    task: asyncio.Task[None] | None = None


class Prefetches:
    """Has them carried out, and knows how they stand."""

    def __init__(
        self,
        *,
        mirrors: Callable[[], Iterable[Mirror]],
        ecosystems: Mapping[str, Ecosystem],
        check: Check,
        start: Start,
        clock: Callable[[], float],
        events: Events,
    ) -> None:
        """*start* gives those who carry them out."""
        self._mirrors = mirrors
        self._ecosystems = ecosystems
        self._check = check
        self._start = start
        self._clock = clock
        self._events = events
        self._turn = asyncio.Lock()
        self._kept: dict[str, _Kept] = {}
        self._last_id = 0
        self._closed = False

    # -- what is asked -------------------------------------------------------------------

    def all(self) -> Sequence[Prefetch]:
        """Those that are remembered, newest first."""
        return [one.details.prefetch for one in reversed(self._kept.values())]

    def details(self, id_: str) -> PrefetchDetails:
        """What is known of one. Raises UnknownPrefetch."""
        return self._find(id_).details

    async def begin(self, wish: Wish) -> Prefetch:
        """Begin one, or have it wait for its turn.

        Raises ConfigError where a file, a path or an option is wrong, and Conflict where too many
        wait.
        """
        self._check_room()
        for path in wish.paths:
            self._check_path(path)
        await self._check(wish)
        self._check_room()  # others came in meanwhile
        self._last_id += 1
        queued = Prefetch(
            id=f"{self._last_id:08}",
            state=RunState.QUEUED,
            doing="waiting for its turn",
            queued_at=self._clock(),
        )
        one = _Kept(PrefetchDetails(prefetch=queued), asyncio.Event())
        self._kept[queued.id] = one
        one.doing = self._start(queued, wish, lambda now: self._progressed(one, now))
        one.task = asyncio.create_task(self._carry_out(one), name=f"prefetch {queued.id}")
        return queued

    def stop(self, id_: str) -> Prefetch:
        """Stop one; what was fetched stays. Raises UnknownPrefetch, and Conflict if it is over."""
        one = self._find(id_)
        if one.doing is None:
            raise Conflict(f"the prefetch {id_} is over")
        one.doing.stop()
        self._changed(one, replace(one.details.prefetch, state=RunState.STOPPING))
        if not self._has_begun(one) and one.task is not None:
            one.task.cancel()
        return one.details.prefetch

    async def follow(self, id_: str) -> AsyncGenerator[Prefetch]:
        """How one stands, and whenever that is another, until it is over. Raises UnknownPrefetch
        before the first.
        """
        one = self._find(id_)
        while True:
            changed, now = one.changed, one.details.prefetch
            yield now
            if now.state.is_final:
                return
            await changed.wait()

    async def aclose(self) -> None:
        """Cut off what goes on; nothing is begun any more."""
        self._closed = True
        tasks = [one.task for one in self._kept.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- a prefetch ----------------------------------------------------------------------

    async def _carry_out(self, one: _Kept) -> None:
        assert one.doing is not None
        try:
            async with self._turn:
                self._over(one, await one.doing.go())
        except asyncio.CancelledError:
            self._end(one, RunState.STOPPED)
        except Exception as error:  # noqa: BLE001 - supervised here: one takes no other along
            name = f"prefetch {one.details.prefetch.id}"
            self._events.failed(name, error)
            told = str(error) if isinstance(error, ProxyError) else f"a mistake of ours: {error!r}"
            self._end(one, RunState.FAILED, told)

    def _end(self, one: _Kept, state: RunState, error: str | None = None) -> None:
        now = one.details.prefetch
        ended = replace(now, state=state, doing="", ended_at=self._clock(), error=error)
        self._over(one, replace(one.details, prefetch=ended))

    def _over(self, one: _Kept, details: PrefetchDetails) -> None:
        one.doing = one.task = None
        one.details = details
        self._changed(one, details.prefetch)
        over = [id_ for id_, it in self._kept.items() if it.doing is None]
        for id_ in over[:-KEPT]:
            del self._kept[id_]

    def _progressed(self, one: _Kept, now: Prefetch) -> None:
        """That it is over is told with its details."""
        if now.state.is_final or one.doing is None:
            return
        if one.details.prefetch.state is RunState.STOPPING:
            now = replace(now, state=RunState.STOPPING)
        self._changed(one, now)

    def _changed(self, one: _Kept, now: Prefetch) -> None:
        one.details = replace(one.details, prefetch=now)
        one.changed.set()
        one.changed = asyncio.Event()

    def _has_begun(self, one: _Kept) -> bool:
        return one.details.prefetch.started_at is not None

    # -- what is wrong -------------------------------------------------------------------

    def _find(self, id_: str) -> _Kept:
        found = self._kept.get(id_)
        if found is None:
            raise UnknownPrefetch(f"no prefetch {id_} is remembered")
        return found

    def _check_room(self) -> None:
        if self._closed:
            raise Abandoned("the proxy is stopping")
        if sum(one.doing is not None for one in self._kept.values()) > WAITING:
            raise Conflict(f"{WAITING} prefetches wait already; come back when some are over")

    def _check_path(self, path: str) -> None:
        """Raises ConfigError where no mirror has such a path."""
        fitting = [one for one in self._mirrors() if path.startswith(f"{one.key}/")]
        if not fitting:
            raise ConfigError(
                f"paths: {path[:200]!r} is in no mirror here; write <type>/<name>/<path>"
            )
        mirror = max(fitting, key=lambda one: len(one.key))
        try:
            self._ecosystems[mirror.type].classify(mirror.key, path[len(mirror.key) + 1 :])
        except UnknownPath as error:
            raise ConfigError(f"paths: {path[:200]!r}: {error}") from error
