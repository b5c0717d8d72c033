"""First sights: which table of them each generation of an index is judged by.

A generation is judged by the table up to the one before it, and what is not in that was first
seen when the generation came. So nobody waits for its own table, which is made in the background
and needed by the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from proxy.core.digest import Digest
from proxy.core.model import Entry, Index, View
from proxy.errors import ProxyError, StorageError
from proxy.gateway.flights import Flights
from proxy.gateway.observing import ObserveJob, observe
from proxy.gateway.pool import Pool
from proxy.gateway.ports import Ports
from proxy.gateway.presence import is_here
from proxy.storage.ports import Catalog, Stored

PATIENCE = 15.0
"""Seconds between a generation's arrival and the making of its table."""

_START = Digest("")
"""Stands for the table where there is none yet."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a generation is judged by: the table before it, None for the first, and its arrival."""

    table: Digest | None
    at: float


async def remembered(catalog: Catalog, index: Index, entry: Entry) -> Sight | None:
    """By what *entry* has been judged; None: it has not been yet, or not by ages."""
    known = await catalog.get(_arrival(index, entry.digest))
    return Sight(known.digest or None, known.made_at) if isinstance(known, View) else None


class Sights:
    """Remembers them in the catalog, for every index that needs them."""

    def __init__(self, ports: Ports, pool: Pool) -> None:
        self._blobs = ports.blobs
        self._catalog = ports.catalog
        self._clock = ports.clock
        self._pool = pool
        self._due: dict[str, asyncio.TimerHandle] = {}
        self._flights: Flights[str, None] = Flights(ports.events.failed)

    async def of(self, index: Index, entry: Entry) -> Sight:
        """By what *entry*, a generation of *index*, is judged."""
        known = await self._catalog.get(_arrival(index, entry.digest))
        if isinstance(known, View) and (
            known.digest == _START or await is_here(self._blobs, known)
        ):
            return Sight(known.digest or None, known.made_at)
        table = await self._newest(index)
        arrival = View(
            key=_arrival(index, entry.digest),
            digest=_START if table is None else table.digest,
            size=0 if table is None else table.size,
            media_type=entry.digest,
            made_at=float(int(self._clock())),
        )
        await self._catalog.put(arrival)
        return Sight(arrival.digest or None, arrival.made_at)

    async def settle(self, index: Index, entry: Entry) -> None:
        """Have the table made that the generation after *entry* will be judged by, after a while:
        its views come first.
        """
        arrival = await self._catalog.get(_arrival(index, entry.digest))
        if isinstance(arrival, View) and arrival.key not in self._due:
            loop = asyncio.get_running_loop()
            self._due[arrival.key] = loop.call_later(PATIENCE, self._start, index, arrival)

    def _start(self, index: Index, arrival: View) -> None:
        del self._due[arrival.key]
        self._flights.start(arrival.key, partial(self._missed, index, arrival))

    async def drain(self, seconds: float) -> None:
        """Let tables that are being made be finished, for up to *seconds*."""
        await self._flights.drain(seconds)

    async def aclose(self) -> None:
        for handle in self._due.values():
            handle.cancel()
        await self._flights.aclose()

    async def _newest(self, index: Index) -> View | None:
        """The table that the last generation left behind; None: there was none before."""
        arrivals = await self._arrivals(index)
        if not arrivals:
            return None
        last = arrivals[-1]
        try:
            await self._flights.join(last.key, partial(self._missed, index, last))
        except ProxyError:  # reported by the flight; what the last one added counts as new again
            return None if last.digest == _START else last
        table = await self._catalog.get(_table(index))
        assert isinstance(table, View)
        return table

    async def _missed(self, index: Index, arrival: View, publish: Callable[[None], None]) -> None:
        """Make the table of the last generation, if that has not been done."""
        table = await self._catalog.get(_table(index))
        if (
            isinstance(table, View)
            and table.media_type == arrival.media_type
            and await is_here(self._blobs, table)
        ):
            publish(None)
            return
        entry = await self._catalog.get(index.key)
        if not isinstance(entry, Entry) or entry.digest != arrival.media_type:
            raise StorageError(f"the generation of {index.path} before this one is gone")
        await self._observe(index, entry, arrival, publish)

    async def _observe(
        self, index: Index, entry: Entry, arrival: View, publish: Callable[[None], None]
    ) -> None:
        known = arrival.digest != _START
        job = ObserveJob(
            index=index,
            blob=self._blobs.path(entry.digest),
            source=entry.source,
            media_type=entry.media_type,
            url=entry.url,
            known=self._blobs.path(arrival.digest) if known else None,
            now=arrival.made_at,
            workspace=self._blobs.workspace,
        )
        output = await self._pool.run(observe, job, size=entry.size)
        await self._blobs.adopt(output.path, Stored(digest=output.digest, size=output.size))
        await self._catalog.put(
            View(
                key=_table(index),
                digest=output.digest,
                size=output.size,
                media_type=entry.digest,
                made_at=arrival.made_at,
            )
        )
        old = [one.key for one in (await self._arrivals(index))[:-2]]
        await self._catalog.forget(old)
        publish(None)

    async def _arrivals(self, index: Index) -> list[View]:
        """What is remembered of the generations' arrivals, the last one last."""
        keys = await self._catalog.keys(_arrivals(index))
        found = [await self._catalog.get(key) for key in keys]
        return sorted((v for v in found if isinstance(v, View)), key=lambda view: view.made_at)


def _table(index: Index) -> str:
    return f"seen {index.key}"


def _arrivals(index: Index) -> str:
    return f"arrival {index.key}\t"


def _arrival(index: Index, generation: Digest) -> str:
    return f"{_arrivals(index)}{generation}"
