"""Events for whoever watches: each reader has a place of its own and sets its own pace."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

from proxy.mirror.port import Event, Run

OFTEN = 0.5
"""Seconds between two notices of a run's progress."""

MOST = 1000
"""Events that wait for a reader at the most; the oldest are dropped."""


class _Reader:
    """Events that one reader has not taken yet; of a run's progress only the newest."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[object, Event] = OrderedDict()
        self._any = asyncio.Event()

    def put(self, event: Event) -> None:
        run = event.run
        slot: object = object()
        if run is not None and event.name == "run":
            slot = (run.id, run.state, run.step)
        self._waiting[slot] = event
        while len(self._waiting) > MOST:
            self._waiting.popitem(last=False)
        self._any.set()

    async def take(self) -> Event:
        while not self._waiting:
            self._any.clear()
            await self._any.wait()
        return self._waiting.popitem(last=False)[1]


class Notices:
    """Tells all readers what happens."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._readers: set[_Reader] = set()
        self._told: dict[str, tuple[object, float]] = {}

    def tell(self, name: str, mirror: str, run: Run | None = None) -> None:
        """Something happened."""
        event = Event(name=name, mirror=mirror, at=self._clock(), run=run)
        for reader in self._readers:
            reader.put(event)

    def changed(self, run: Run) -> None:
        """A run is not as it was; mere progress is told only so often."""
        where, now = (run.state, run.step), self._clock()
        known, told_at = self._told.get(run.id, (None, 0.0))
        if where == known and now - told_at < OFTEN:
            return
        self._told[run.id] = where, now
        if run.state.is_final:
            del self._told[run.id]
        self.tell("run", run.mirror, run)

    def follow(self) -> AsyncIterator[Event]:
        """All events from now on, until the reader leaves."""
        reader = _Reader()
        self._readers.add(reader)
        return self._taken(reader)

    async def _taken(self, reader: _Reader) -> AsyncIterator[Event]:
        try:
            while True:
                yield await reader.take()
        finally:
            self._readers.discard(reader)
