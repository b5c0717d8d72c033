"""Views made before anybody asks for them: when a policy changed, when ages move on a step, and
when another index that decides for them did.

What clients asked for lately is made anew in the background, from what is here: upstream is not
asked.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from proxy.core.model import Index, Mirror
from proxy.ecosystems import ECOSYSTEMS
from proxy.gateway.events import Events
from proxy.gateway.indexes import Indexes
from proxy.gateway.team import Elsewhere

HOT = 3600.0
"""Seconds for which an index counts as asked for lately."""

MOST = 1024
"""Indexes that are remembered as such."""

ROUND = 60.0
"""Seconds between two rounds."""


class Warming:
    """Knows what is hot in this process."""

    def __init__(self, indexes: Indexes, clock: Callable[[], float], events: Events) -> None:
        self._indexes = indexes
        self._clock = clock
        self._events = events
        self._served: OrderedDict[str, tuple[Index, float]] = OrderedDict()
        self._mirrors: dict[str, Mirror] = {}
        self._changed = asyncio.Event()

    def configure(self, mirrors: list[Mirror]) -> None:
        """From now on views are made for *mirrors* as they are now, at once for those in use."""
        self._mirrors = {mirror.key: mirror for mirror in mirrors}
        self._changed.set()

    def wake(self) -> None:
        """Something changed that views depend on."""
        self._changed.set()

    def renewed(self, index: Index) -> None:
        """There is a new generation of *index*; those that depend on it are made anew."""
        if any(_depends(other, index) for other, _ in self._served.values()):
            self._changed.set()

    def served(self, index: Index) -> None:
        """A client asked for *index*."""
        self._served[index.key] = index, self._clock()
        self._served.move_to_end(index.key)
        while len(self._served) > MOST:
            self._served.popitem(last=False)

    async def run(self) -> None:
        """Make what is due, until cancelled."""
        while True:
            self._changed.clear()
            await self.prepare()
            try:
                async with asyncio.timeout(ROUND):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def prepare(self) -> None:
        """Make the views of all that is hot, as of now and of the step that is near."""
        since = self._clock() - HOT
        for index, at in list(self._served.values()):
            mirror = self._mirrors.get(index.mirror)
            if mirror is None or at < since:
                continue
            try:
                await self._indexes.prepare(index, mirror)
            except Elsewhere:  # what it depends on must be fetched first, when a client asks
                continue
            except Exception as error:  # noqa: BLE001 - supervised here: one takes no other along
                self._events.failed(index.key, error)


def _depends(index: Index, other: Index) -> bool:
    """Whether what *index* shows depends on what is in *other*."""
    if index.mirror != other.mirror:
        return False
    ecosystem = ECOSYSTEMS[index.mirror.partition("/")[0]]
    decider, is_part = ecosystem.decided_by(index), ecosystem.sums_up(index)
    is_decider = decider is not None and decider.path == other.path
    return is_decider or (is_part is not None and is_part(other.path))
