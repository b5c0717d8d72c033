"""Happenings and the progress of runs as one stream of server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

import msgspec

from proxy.mirror.port import Event
from proxy.observe.happenings import Happening

T = TypeVar("T")

HEARTBEAT = 15.0
"""Seconds after which a silent stream says that it is still there."""

RETRY = 3000
"""Milliseconds after which a browser comes back that has lost the stream."""


async def stream(
    happenings: AsyncIterator[Happening], events: AsyncIterator[Event]
) -> AsyncGenerator[bytes]:
    """Both as they come, until *happenings* end; a comment where nothing comes for a while.

    A happening has its number as id, from which a browser goes on; an event of a mirror is news
    for the moment only, and has none.
    """
    first: asyncio.Task[Happening | None] = _next(happenings)
    second: asyncio.Task[Event | None] = _next(events)
    try:
        yield f"retry: {RETRY}\n\n".encode()
        while True:
            waiting = {first, second} if not second.done() or second.result() else {first}
            done, _ = await asyncio.wait(
                waiting, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                yield b": still here\n\n"
            if first in done:
                happening = first.result()
                if happening is None:
                    return
                yield f"id: {happening.id}\n".encode() + _told(happening.sort.value, happening)
                first = _next(happenings)
            if second in done and (event := second.result()) is not None:
                yield _told("run" if event.run else "mirror", event)
                second = _next(events)
    finally:
        for task in (first, second):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(first, second, return_exceptions=True)


def _next(source: AsyncIterator[T]) -> asyncio.Task[T | None]:
    return asyncio.ensure_future(anext(source, None))


def _told(name: str, what: Happening | Event) -> bytes:
    return f"event: {name}\ndata: {msgspec.json.encode(what).decode()}\n\n".encode()
