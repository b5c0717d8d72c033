"""A body on its way into the store, followed by any number of readers while it grows.

The states are Varnish's: a fill is FILLING until it is DONE or FAILED, and leaves neither.
Readers are told how far they may read and read the spool's descriptor themselves (sendfile),
so a slow reader costs nobody else anything and no body is ever held in memory.

The end of the body is held back until all of it has been checked, so a wrong body reaches no
client complete: it ends short, which every HTTP client treats as an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Protocol

from proxy.core.model import Expected
from proxy.errors import Abandoned, ProxyError
from proxy.storage.ports import Spool, Stored

HELD_BACK = 64 * 1024
"""Bytes at the end that are released only after the check: short files show nothing unchecked."""

BATCH = 4 * 1024 * 1024
"""Bytes that may wait for the disk while more arrive. Two batches are the memory of a fill."""


FIRST = 64 * 1024
"""Bytes of the first piece that are written, and so released, ahead of the rest of it."""


class State(enum.Enum):
    """Where a fill is; it leaves FILLING once."""

    FILLING = enum.auto()
    DONE = enum.auto()
    FAILED = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """A file, for another process on this machine: where to open it and how to know it."""

    path: str
    device: int
    inode: int


class Landed(Exception):
    """The fill has settled and nobody read it any more: look the file up again."""


class Growing(Protocol):
    """What a reader needs of a body that may still be growing, here or in a sibling process."""

    length: int | None

    def fileno(self) -> int: ...

    def reader(self) -> contextlib.AbstractContextManager[None]:
        """While entered, `fileno` stays open."""
        ...

    async def wait_past(self, offset: int) -> int:
        """How far one may read, once that is beyond *offset* or the body is whole.

        Returning *offset* itself means the body ends there. Raises what made the fill fail,
        after everything released before has been announced.
        """
        ...


class Fill:
    """One growing object joins the fetch that writes it and the clients that read it."""

    def __init__(self, spool: Spool, *, expected: Expected, length: int | None) -> None:
        self._spool = spool
        self._expected = expected
        self._written = 0
        self._readers = 0
        self._waiting: list[asyncio.Future[None]] = []
        self._error: ProxyError | None = None
        self._closed = False
        self.state = State.FILLING
        self.released = 0
        self.length = length

    def __repr__(self) -> str:
        return (
            f"<Fill {self.state.name} {self.released}/{self.length or '?'} {self._readers} readers>"
        )

    @property
    def whereabouts(self) -> Whereabouts:
        """Where a sibling process finds the growing file while somebody here reads it.

        By way of our descriptor, which stays right when the file is renamed to its digest; by
        its name where there is no /proc. The number of a descriptor is soon used again, so the
        sibling must look whether it has got the same file.
        """
        by_descriptor = f"/proc/{os.getpid()}/fd/{self._spool.fileno()}"
        path = by_descriptor if os.path.lexists(by_descriptor) else str(self._spool.path)
        found = os.fstat(self._spool.fileno())
        return Whereabouts(path=path, device=found.st_dev, inode=found.st_ino)

    def fileno(self) -> int:
        return self._spool.fileno()

    async def run(self, body: AsyncIterator[bytes]) -> Stored:
        """Copy *body* into the spool, check and store it. Called once, by the owning flight.

        Its readers get the end as soon as it is checked: where it then cannot be stored they have
        it nevertheless, and only the flight hears of it.
        """
        try:
            with self.reader():  # the writer keeps the descriptor open, too
                await self._copy(body)
                stored = await self._spool.check(self._expected)
                self.length = stored.size
                self._settle(State.DONE, stored.size)
                # A turn of the loop, in which whoever waits for the end sends it: a new name in a
                # folder takes up to a millisecond.
                await asyncio.sleep(0)
                await self._spool.place(stored)
        except BaseException as error:
            if self.state is State.FILLING:
                self._error = (
                    error if isinstance(error, ProxyError) else Abandoned("fetch abandoned")
                )
                self._settle(State.FAILED, self.released)
            await self._spool.discard()
            raise
        return stored

    @contextlib.contextmanager
    def reader(self) -> Iterator[None]:
        """Hold the descriptor open. The last to leave a settled fill closes it.

        Raises Landed where that has happened already: the catalog knows the file by now.
        """
        if self._closed:
            raise Landed
        self._readers += 1
        try:
            yield
        finally:
            self._readers -= 1
            self._close_if_unused()

    async def wait_past(self, offset: int) -> int:
        """See `Growing.wait_past`."""
        while self.released <= offset:
            if self._error is not None:
                raise self._error
            if self.state is State.DONE:
                break
            # One for each reader, who may leave: a shared one would have to be shielded, which
            # costs each of a thousand readers another turn of the loop for each piece.
            beat = asyncio.get_running_loop().create_future()
            self._waiting.append(beat)
            await beat
        return self.released

    async def _copy(self, body: AsyncIterator[bytes]) -> None:
        """Write while the next bytes arrive: a batch is whatever came during the last write."""
        writing: asyncio.Task[None] | None = None
        batch: list[bytes] = []
        waiting = 0
        try:
            async for chunk in body:
                if not self._written and len(chunk) > FIRST:
                    # The clients' first byte does not wait for all that came with it.
                    await self._write([chunk[:FIRST]], FIRST)
                    chunk = chunk[FIRST:]  # noqa: PLW2901
                if writing is None and len(chunk) <= FIRST and not batch:
                    await self._write([chunk], len(chunk))  # at once: see `storage.spool.INLINE`
                    continue
                batch.append(chunk)
                waiting += len(chunk)
                if writing is None or writing.done() or waiting >= BATCH:
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(self._write(batch, waiting))
                    batch, waiting = [], 0
        finally:
            if writing is not None:
                await writing
        if batch:
            await self._write(batch, waiting)

    async def _write(self, batch: list[bytes], size: int) -> None:
        await self._spool.write(batch)
        self._written += size
        end = self._written if self.length is None else max(self.length, self._written)
        self._release(min(self._written, end - HELD_BACK))

    def _release(self, end: int) -> None:
        if end > self.released:
            self.released = end
            self._beat()

    def _settle(self, state: State, end: int) -> None:
        self.state = state
        self.released = end
        self._beat()
        self._close_if_unused()

    def _beat(self) -> None:
        waiting, self._waiting = self._waiting, []
        for beat in waiting:
            if not beat.done():  # else its reader has left
                beat.set_result(None)

    def _close_if_unused(self) -> None:
        if not self._readers and self.state is not State.FILLING and not self._closed:
            self._closed = True
            self._spool.close()
