"""Prefetch over the API: begun with what projects have as files, watched, and stopped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

import msgspec

from proxy.mirror.prefetches import Prefetches
from proxy.mirror.prefetching import Prefetch, PrefetchDetails, Wish
from proxy.web.admin.operations import ROOT, Call, Operation
from proxy.web.admin.streams import HEARTBEAT

_ALL = f"{ROOT}/prefetch"
_ONE = f"{_ALL}/{{id}}"
_UNKNOWN = {404: "No such prefetch is remembered."}


class PrefetchDesk:
    """Answers for the prefetches of a running server."""

    def __init__(self, prefetches: Prefetches) -> None:
        self._prefetches = prefetches

    def operations(self) -> tuple[Operation, ...]:
        """Those of the API."""
        return (
            Operation(
                method="POST",
                path=_ALL,
                name="begin_prefetch",
                summary="Fetch ahead what projects need, in the background.",
                body=Wish,
                answer=Prefetch,
                status=202,
                run=self._begin,
                fails={409: "Too many wait already."},
            ),
            Operation(
                method="GET",
                path=_ALL,
                name="prefetches",
                summary="The prefetches that are remembered, newest first.",
                answer=list[Prefetch],
                run=self._list,
            ),
            Operation(
                method="GET",
                path=_ONE,
                name="prefetch",
                summary="How a prefetch stands, and what could not be had.",
                answer=PrefetchDetails,
                run=self._show,
                fails=_UNKNOWN,
            ),
            Operation(
                method="GET",
                path=f"{_ONE}/stream",
                name="follow_prefetch",
                summary="How a prefetch stands, until it is over, as server-sent events.",
                answer=str,
                media_type="text/event-stream",
                run=self._follow,
                fails=_UNKNOWN,
            ),
            Operation(
                method="POST",
                path=f"{_ONE}/stop",
                name="stop_prefetch",
                summary="Stop a prefetch; what was fetched stays.",
                answer=Prefetch,
                status=202,
                run=self._stop,
                fails={**_UNKNOWN, 409: "It is over."},
            ),
        )

    async def _begin(self, call: Call) -> Prefetch:
        return await self._prefetches.begin(call.body)

    async def _list(self, call: Call) -> Sequence[Prefetch]:
        return self._prefetches.all()

    async def _show(self, call: Call) -> PrefetchDetails:
        return self._prefetches.details(call.path["id"])

    async def _stop(self, call: Call) -> Prefetch:
        return self._prefetches.stop(call.path["id"])

    async def _follow(self, call: Call) -> AsyncGenerator[bytes]:
        self._prefetches.details(call.path["id"])  # what is unknown is told with a status
        return self._told(call.path["id"])

    async def _told(self, id_: str) -> AsyncGenerator[bytes]:
        async with contextlib.aclosing(self._prefetches.follow(id_)) as standings:
            upcoming = _next(standings)
            try:
                while True:
                    done, _ = await asyncio.wait([upcoming], timeout=HEARTBEAT)
                    if not done:
                        yield b": still here\n\n"
                        continue
                    now = upcoming.result()
                    if now is None:
                        return
                    yield b"event: prefetch\ndata: " + msgspec.json.encode(now) + b"\n\n"
                    upcoming = _next(standings)
            finally:
                upcoming.cancel()
                await asyncio.gather(upcoming, return_exceptions=True)


def _next(standings: AsyncGenerator[Prefetch]) -> asyncio.Task[Prefetch | None]:
    return asyncio.ensure_future(anext(standings, None))
