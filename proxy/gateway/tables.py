"""Row tables that are looked into, mapped into memory for as long as they are.

A map costs no memory, for pages come and go with use, but a descriptor; and while there is one, the
disk keeps the bytes of a table that has been superseded and removed. So those go that nobody has
looked into for a while: to map one again takes a tenth of a millisecond.
"""

from __future__ import annotations

import asyncio
import mmap
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from proxy.core.blocks import Rows, opened
from proxy.core.model import Digest
from proxy.errors import StorageError

MOST = 256
"""Tables at the same time: a descriptor each."""

UNUSED = 30.0
"""Seconds after which one that nobody looks into goes."""


class Tables:
    """Made in a running event loop, unless a *clock* (seconds) is given."""

    def __init__(self, *, unused: float = UNUSED, clock: Callable[[], float] | None = None) -> None:
        self._unused = unused
        self._clock = clock or asyncio.get_running_loop().time
        self._mapped: OrderedDict[Digest, tuple[Rows, float]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._mapped)

    async def open(self, digest: Digest, path: Path) -> Rows:
        """The table that lies at *path*. Raises StorageError where it cannot be read."""
        found = self._mapped.get(digest)
        table = await asyncio.to_thread(_mapped, path) if found is None else found[0]
        self._mapped[digest] = table, self._clock()
        self._mapped.move_to_end(digest)
        while len(self._mapped) > MOST:
            self._mapped.popitem(last=False)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._unused, self.sweep)
        return table

    def sweep(self) -> None:
        """Let those go that were not looked into of late; whoever does just now keeps his."""
        self._timer, now = None, self._clock()
        while self._mapped:
            used = next(iter(self._mapped.values()))[1]
            left = used + self._unused - now
            if left > 0:
                self._timer = asyncio.get_running_loop().call_later(left, self.sweep)
                return
            self._mapped.popitem(last=False)

    def clear(self) -> None:
        """Let all of them go."""
        self._mapped.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _mapped(path: Path) -> Rows:
    try:
        with path.open("rb") as file:
            return opened(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise StorageError(f"a row table cannot be read: {error}") from error
