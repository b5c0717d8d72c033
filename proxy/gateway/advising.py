"""Advisories kept up to date: read at the start, and again whenever their files change.

What cannot be read does not replace what could: it is reported, and the old data stay in use.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proxy.advisories.store import Fingerprint, Places, ending, fingerprint, load
from proxy.core.advisories import Advisories
from proxy.gateway.events import Events
from proxy.gateway.pool import LARGE, Pool


@dataclass(frozen=True, slots=True)
class _Load:
    """Read the advisories at `places`, as of `now`."""

    places: Places
    now: float


def _loaded(job: _Load) -> Mapping[str, Advisories]:
    return load(job.places, job.now)


class Advising:
    """Reads them for one process."""

    def __init__(
        self,
        pool: Pool,
        clock: Callable[[], float],
        events: Events,
        use: Callable[[Mapping[str, Advisories]], None],
    ) -> None:
        """*use* is given what was read."""
        self._pool = pool
        self._clock = clock
        self._events = events
        self._use = use
        self._seen: Fingerprint | None = None
        self._until = math.inf

    async def read(self, places: Places) -> None:
        """Read and use them, if they have changed since, or one of the operator's remarks is over.

        Raises ConfigError, StorageError.
        """
        found, now = await asyncio.to_thread(fingerprint, places), self._clock()
        if found == self._seen and now < self._until:
            return
        until = await asyncio.to_thread(ending, places, now)
        self._use(await self._pool.run(_loaded, _Load(places, now), size=LARGE))
        self._seen, self._until = found, until

    async def run(self, places: Places, interval: float) -> None:
        """Look every *interval* seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            try:
                await self.read(places)
            except Exception as error:  # noqa: BLE001 - supervised here: there is a next time
                self._events.failed(f"advisories {places.path}", error)
