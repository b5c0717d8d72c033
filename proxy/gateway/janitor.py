"""What tidies up behind the gateway: eviction when the quota is exceeded, the rest once a day.

Views of generations that are no longer current are forgotten after a while, and blobs that
nothing names any more are removed. Neither is ever urgent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from proxy.core.model import View
from proxy.errors import StorageError
from proxy.observe.log import Level, Log
from proxy.observe.metrics import Metrics
from proxy.storage.eviction import Eviction
from proxy.storage.layers import LayeredBlobs
from proxy.storage.ports import Catalog
from proxy.storage.sweep import Swept, remembered, sweep

EVERY = 86400.0
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


async def forget_superseded(catalog: Catalog, *, keep_for: float, now: float) -> int:
    """Forget views that are older than *keep_for* and not the newest of their form.

    Returns how many. The newest is kept whatever its age: its index may not have changed since.
    """
    newest: dict[str, View] = {}
    old: list[str] = []
    async for view in remembered(catalog, "view "):
        if not isinstance(view, View):
            continue
        family = view.key.rpartition("\t")[0]
        other = newest.get(family, view)
        newest[family] = max(view, other, key=lambda one: one.made_at)
        superseded = other if newest[family] is view else view
        if superseded is not newest[family] and superseded.made_at < now - keep_for:
            old.append(superseded.key)
    await catalog.forget(old)
    return len(old)


class Janitor:
    """Runs in one worker."""

    def __init__(
        self,
        *,
        root: Path,
        catalog: Catalog,
        evictions: Sequence[Eviction],
        keep_superseded: float,
        clock: Callable[[], float],
        metrics: Metrics,
        log: Log,
    ) -> None:
        """*evictions*: of each folder that is written, that at *root* first."""
        self._root = root
        self._catalog = catalog
        self._evictions = evictions
        self._keep = keep_superseded
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._in_vain_until: dict[Eviction, float] = {}

    async def run(self) -> None:
        """Keep the quota, look at the store now and then, sweep it once a day, until cancelled."""
        swept_at = self._clock()
        looked_at = 0.0
        while True:
            try:
                await self.evict()
                if not 0 <= self._clock() - looked_at < LOOK:
                    looked_at = self._clock()
                    await self.look()
                if self._clock() - swept_at >= EVERY:
                    swept_at = self._clock()
                    await self.sweep()
            except Exception as error:  # noqa: BLE001 - supervised here: tidying is never fatal
                self._log.crash("janitor", error)
            await asyncio.sleep(CHECK)

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
        """Forget superseded views and remove what nothing names."""
        now = self._clock()
        forgotten = await forget_superseded(self._catalog, keep_for=self._keep, now=now)
        swept = await sweep(self._root, self._catalog, keep_for=YOUNGEST, now=now)
        self._log.event("swept", level=Level.INFO, views=forgotten, report=str(swept))
        return swept


async def note_uses(blobs: LayeredBlobs, failed: Callable[[str, BaseException], None]) -> None:
    """Write down now and then which blobs this worker has used, until cancelled."""
    while True:
        await asyncio.sleep(NOTE)
        try:
            await blobs.write_uses()
        except StorageError as error:
            failed("uses", error)
