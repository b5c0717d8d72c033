"""Advisories kept up to date: read at the start, and again whenever their files change.

What cannot be read does not replace what could: it is reported, and the old data stay in use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proxy.advisories.store import Fingerprint, Places, fingerprint, load
from proxy.core.advisories import Advisories
from proxy.errors import ConfigError
from proxy.gateway.events import Events
from proxy.gateway.pool import THREAD_LIMIT, Pool

_LARGE = THREAD_LIMIT + 1


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

    async def read(self, places: Places) -> None:
        """Read and use them, if they have changed since. Raises ConfigError."""
        found = await asyncio.to_thread(fingerprint, places)
        if found != self._seen:
            self._use(await self._pool.run(_loaded, _Load(places, self._clock()), size=_LARGE))
            self._seen = found

    async def run(self, places: Places, interval: float) -> None:
        """Look every *interval* seconds, until cancelled."""
        while True:
            await asyncio.sleep(interval)
            try:
                await self.read(places)
            except ConfigError as error:
                self._events.failed(f"advisories {places.path}", error)
