"""The files of a closure asked for: a few at a time, each told about, all failures collected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from proxy.errors import IntegrityError, ProxyError
from proxy.mirror.wanted.closure import Failure, Needed
from proxy.upstream.served import Pulled, Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What became of one file: one of the two is not None."""

    file: Needed
    pulled: Pulled | None = None
    failure: Failure | None = None


async def _always() -> bool:
    return True


async def fetch(
    files: Sequence[Needed],
    server: Server,
    *,
    jobs: int,
    hear: Callable[[Fetched], None],
    go_on: Callable[[], Awaitable[bool]] = _always,
) -> list[Fetched]:
    """Have the server fetch *files*, *jobs* at a time; *hear* of each that is done.

    *go_on* is awaited before each: whether it is to be begun, or none any more.
    """
    waiting = iter(files)
    done: list[Fetched] = []

    async def work() -> None:
        for file in waiting:  # shared by all workers: each takes the next
            if not await go_on():
                return
            found = await _fetched(file, server)
            done.append(found)
            hear(found)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(jobs, len(files))):
            group.create_task(work())
    return done


async def _fetched(file: Needed, server: Server) -> Fetched:
    try:
        pulled = await server.pull(file.url)
        if file.sha256 is not None and pulled.sha256 != file.sha256:
            raise IntegrityError(
                f"the mirror has another file of that name: its SHA-256 is {pulled.sha256}, "
                f"that of the one wanted {file.sha256}"
            )
    except ProxyError as error:
        return Fetched(file=file, failure=Failure.of(file.name, error, file.where))
    return Fetched(file=file, pulled=pulled)
