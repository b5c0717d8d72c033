"""The files of a run, fetched through the gateway: several at a time, gently, and with patience.

It asks for each file as a client would and throws the body away. A failure is noted and the next
file begun; what may go better later is tried again in further rounds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from proxy.core.model import Mirror
from proxy.errors import (
    Denied,
    ProxyError,
    RequestError,
    StorageError,
    UpstreamThrottled,
)
from proxy.gateway.answer import Nothing, Passing, Slice
from proxy.mirror.ledger_file import Item, State
from proxy.mirror.pace import Pace
from proxy.mirror.progress import Progress
from proxy.mirror.reading import Reading
from proxy.mirror.sheet import Sheet

T = TypeVar("T")

BATCH = 50
"""Files that come between two notes of it in the ledger."""

PATIENCE = 30.0
"""Seconds that a throttling upstream is left alone where it does not say how long."""


class Unstorable(ProxyError):
    """Upstream does not allow the file to be kept, or it vanished while it came."""


class Fetcher:
    """Fetches what the ledger says is not here."""

    def __init__(
        self,
        mirror: Mirror,
        *,
        sheet: Sheet,
        reading: Reading,
        pace: Pace,
        progress: Progress,
        stop: asyncio.Event,
    ) -> None:
        self._mirror = mirror
        self._sheet = sheet
        self._reading = reading
        self._pace = pace
        self._progress = progress
        self._stop = stop
        self._came: list[str] = []

    async def run(self, backoff: Sequence[float]) -> None:
        """Fetch all that is to be fetched; then again what failed, after each of these waits.

        Raises StorageError.
        """
        self._progress.fetched()
        await self._round(State.TO_FETCH)
        for wait in backoff:
            if self._stop.is_set() or not await self._sheet.page([State.FAILED]):
                return
            await self._pace.pause(wait)
            await self._round(State.FAILED)

    async def _round(self, state: State) -> None:
        limits = self._pace.limits
        try:
            for main in (True, False):  # companions are read out of what is here by then
                items = self._sheet.begun([state], main=main)
                await each(items, self._fetch, at_a_time=limits.concurrency, stop=self._stop)
        finally:
            await self._note()

    async def _fetch(self, item: Item) -> None:
        await self._pace.turn()
        if self._stop.is_set():
            return
        try:
            size = await self._into_store(item.path)
        except StorageError:
            raise
        except (Denied, RequestError, Unstorable) as error:
            await self._failed(item, error, State.LOST)
        except ProxyError as error:
            if isinstance(error, UpstreamThrottled):
                self._pace.hold(error.retry_after or PATIENCE)
            await self._failed(item, error, State.FAILED)
        else:
            await self._fetched(item, size)

    async def _into_store(self, path: str) -> int:
        """See the file at *path* into the store; returns the bytes that came from upstream."""
        answer = await self._reading.open(self._mirror, path)
        try:
            match answer.body:
                case Slice():
                    return 0
                case Passing() | Nothing():
                    raise Unstorable(f"{path} cannot be kept, as upstream sends it")
                case growing:
                    offset = 0
                    while (end := await growing.wait_past(offset)) > offset:
                        offset = end
                    return offset
        finally:
            await answer.close()

    async def _fetched(self, item: Item, size: int) -> None:
        self._pace.spent(size)
        self._came.append(item.path)
        if item.is_main:
            again = item.state is State.FAILED
            self._progress.count(
                fetched=1, failed=-1 if again else 0, bytes_fetched=item.size or size
            )
            self._progress.fetched()
        if len(self._came) >= BATCH:
            await self._note()

    async def _failed(self, item: Item, error: ProxyError, state: State) -> None:
        ledger = self._sheet.ledger
        await ledger.failed(self._mirror.key, item.path, str(error), state=state)
        if item.is_main and item.state is not State.FAILED:
            self._progress.count(failed=1)

    async def _note(self) -> None:
        """Write down what has come since the last time."""
        came, self._came = self._came, []
        await self._sheet.ledger.here(self._mirror.key, came)


async def each(
    items: AsyncIterator[T],
    work: Callable[[T], Awaitable[None]],
    *,
    at_a_time: int,
    stop: asyncio.Event,
) -> None:
    """Do *work* on all of *items*, *at_a_time* of them, until *stop*; raises what *work* raises."""
    taking = asyncio.Lock()

    async def worker() -> None:
        while not stop.is_set():
            async with taking:
                item = await anext(items, None)
            if item is None:
                return
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_a_time):
                group.create_task(worker())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
