"""What tidies up behind the gateway: eviction when the quota is exceeded, the rest every hour.

Of views of generations that are no longer current little is kept (`tidying.py`), and blobs that
nothing names any more are removed. Neither is ever urgent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from proxy.errors import StorageError
from proxy.gateway.tidying import Tidying
from proxy.observe.log import Level, Log
from proxy.observe.metrics import Metrics
from proxy.storage.eviction import Eviction
from proxy.storage.layers import LayeredBlobs
from proxy.storage.ports import Catalog
from proxy.storage.sweep import Swept, sweep

EVERY = 3600.0
"""Seconds between two sweeps."""

LOOK = 300.0
"""Seconds between two looks at the store's size, for the metrics."""

CHECK = 1.0
"""Seconds between two looks at whether the quota is exceeded."""

IN_VAIN = 60.0
"""Seconds after an eviction that did not find enough before the next one is tried."""

NOTE = 30.0
"""Seconds between two times that the uses of blobs are written down."""

YOUNGEST = 3600.0
"""Seconds for which a blob that nothing names is left alone: its entry may be on its way."""


class Janitor:
    """Runs in one worker."""

    def __init__(
        self,
        *,
        root: Path,
        catalog: Catalog,
        evictions: Sequence[Eviction],
        tidying: Tidying,
        clock: Callable[[], float],
        metrics: Metrics,
        log: Log,
    ) -> None:
        """*evictions*: of each folder that is written, that at *root* first."""
        self._root = root
        self._catalog = catalog
        self._evictions = evictions
        self._tidying = tidying
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._in_vain_until: dict[Eviction, float] = {}

    async def run(self) -> None:
        """Keep the quota, look at the store now and then, sweep it every hour, until cancelled."""
        async with asyncio.TaskGroup() as both:  # a long sweep is not to keep the quota waiting
            both.create_task(self._keep_room())
            both.create_task(self._keep_tidy())

    async def _keep_room(self) -> None:
        looked_at = 0.0
        while True:
            with self._supervised():
                await self.evict()
                if not 0 <= self._clock() - looked_at < LOOK:
                    looked_at = self._clock()
                    await self.look()
            await asyncio.sleep(CHECK)

    async def _keep_tidy(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            with self._supervised():
                await self.sweep()

    @contextlib.contextmanager
    def _supervised(self) -> Iterator[None]:
        """Tidying is never fatal."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - supervised here
            self._log.crash("janitor", error)

    async def look(self) -> None:
        """Measure the store."""
        found = await self._evictions[0].measure()
        self._metrics.stored(size=found.size, entries=await self._catalog.count())

    async def evict(self) -> None:
        """Make room where a quota is exceeded, unless that was in vain a moment ago."""
        now = self._clock()
        for eviction in self._evictions:
            is_due = now >= self._in_vain_until.get(eviction, 0.0) and eviction.is_due()
            evicted = await eviction.run(now) if is_due else None
            if evicted is None:
                continue
            self._metrics.evicted(evicted.removed, evicted.freed)
            self._log.event(
                "evicted",
                level=Level.WARNING if evicted.short else Level.INFO,
                blobs=evicted.removed.total(),
                bytes=evicted.freed.total(),
                left=evicted.left,
                short=evicted.short,
            )
            if evicted.short:
                self._in_vain_until[eviction] = now + IN_VAIN

    async def sweep(self) -> Swept:
        """Tidy superseded views up and remove what nothing names. Raises StorageError."""
        now = self._clock()
        tidied = await self._tidying.run(now)
        swept = await sweep(
            self._root, self._catalog, keep_for=YOUNGEST, now=now, dropped=tidied.dropped
        )
        self._log.event(
            "swept",
            level=Level.INFO,
            views=tidied.forgotten,
            thinned=tidied.thinned,
            report=str(swept),
        )
        return swept


async def note_uses(blobs: LayeredBlobs, failed: Callable[[str, BaseException], None]) -> None:
    """Write down now and then which blobs this worker has used, until cancelled."""
    while True:
        await asyncio.sleep(NOTE)
        try:
            await blobs.write_uses()
        except StorageError as error:
            failed("uses", error)
