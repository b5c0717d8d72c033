"""A prefetch, in its process (see `proxy.app.apart`): what `proxy.app.prefetching` orders."""

from __future__ import annotations

import asyncio
import contextlib
import os
from multiprocessing.connection import Connection

import uvloop

from proxy.app.apart import Failed, Teller, inside
from proxy.app.indoors import HOST, indoors
from proxy.app.prefetching import Order
from proxy.core.active import Limits
from proxy.errors import ProxyError
from proxy.mirror.pace import Pace
from proxy.mirror.prefetch_job import PrefetchJob
from proxy.upstream.running import RunningProxy

_AHEAD = 8  # pages are asked for ahead whatever the files' number


def carry_out(link: Connection, order: Order) -> None:
    """What the process does."""
    _see_home()
    uvloop.run(_carried_out(link, order))


def _see_home() -> None:
    """Whatever proxy stands before the internet, it does not stand before this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), HOST)))


async def _carried_out(link: Connection, order: Order) -> None:
    teller = Teller(link)
    async with contextlib.AsyncExitStack() as stack:
        try:
            job = await _job(stack, order, teller)
            going = asyncio.create_task(job.go())
            heeding = asyncio.create_task(teller.heed(job.stop, going))
            stack.callback(heeding.cancel)
            with contextlib.suppress(asyncio.CancelledError):  # the server is gone
                teller.tell(await going)
        except (ProxyError, OSError) as error:
            teller.tell(Failed(str(error)))


async def _job(stack: contextlib.AsyncExitStack, order: Order, teller: Teller) -> PrefetchJob:
    """Raises StorageError, ConfigError and OSError."""
    within = await inside(stack, order.settings, teller)
    door = await stack.enter_async_context(indoors(within, order.settings.mirrors))
    connections = max(order.wish.jobs, _AHEAD)
    server = await stack.enter_async_context(
        RunningProxy(door.url, connections=connections, token=door.token)
    )
    clock = within.engine.ports.clock
    pace = Pace(Limits(), clock=clock, pause=asyncio.sleep, waiting=lambda: teller.clients)
    return PrefetchJob(
        order.prefetch,
        order.wish,
        server=server,
        pace=pace,
        clock=clock,
        changed=lambda now: teller.changed(now, (now.state, now.doing)),
    )
