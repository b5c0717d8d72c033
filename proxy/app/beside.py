"""Work that goes on beside everything else, for as long as what it belongs to is there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack


def beside(stack: AsyncExitStack, work: Coroutine[object, object, None]) -> None:
    """Begin *work*, which ends with what *stack* takes down."""
    stack.push_async_callback(ended, asyncio.create_task(work))


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel it, and see it to its end."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
