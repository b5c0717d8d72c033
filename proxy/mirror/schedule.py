"""When active mirrors are due: one task that sleeps until the next of them is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from proxy.core.frequency import Frequency
from proxy.core.model import Mirror

LONGEST_SLEEP = 600.0
"""Seconds: the clock may be set meanwhile, or the machine be suspended."""

LATE = 3600.0
"""Seconds after which a moment that was slept through (a suspended machine) is left out."""


class Schedule:
    """Knows when each mirror is due next."""

    def __init__(self, clock: Callable[[], float], due: Callable[[str, float], None]) -> None:
        """*due* is told of each mirror, with the moment at which it was due."""
        self._clock = clock
        self._due = due
        self._frequencies: dict[str, Frequency] = {}
        self._next: dict[str, float | None] = {}
        self._changed = asyncio.Event()

    def configure(self, mirrors: Iterable[Mirror]) -> None:
        """From now on these are served; what has kept its frequency keeps its next moment.

        What is offline is never due: all that a run asks for would be refused.
        """
        frequencies = {
            one.key: one.active.frequency
            for one in mirrors
            if one.active is not None and not one.offline
        }
        now = self._clock()
        self._next = {
            key: self._next[key] if self._frequencies.get(key) == one else one.after(now)
            for key, one in frequencies.items()
        }
        self._frequencies = frequencies
        self._changed.set()

    @property
    def next(self) -> Mapping[str, float | None]:
        """When each active mirror is due next; None: never."""
        return self._next

    def look(self) -> float:
        """Tell of all that is due by now; returns the seconds until something may be due."""
        now = self._clock()
        for key, moment in list(self._next.items()):
            if moment is not None and moment <= now:
                self._next[key] = self._frequencies[key].after(now)
                if now - moment <= LATE:
                    self._due(key, moment)
        waiting = (moment - now for moment in self._next.values() if moment is not None)
        return min(min(waiting, default=LONGEST_SLEEP), LONGEST_SLEEP)

    async def run(self, wait: Callable[[asyncio.Event, float], Awaitable[None]]) -> None:
        """Look whenever something is due, until cancelled; *wait* waits for either."""
        while True:
            self._changed.clear()
            await wait(self._changed, self.look())
