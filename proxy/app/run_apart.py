"""A run, in its process (see `proxy.app.apart`): what `proxy.app.away` orders."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from multiprocessing.connection import Connection

import uvloop

from proxy.app.apart import Failed, Teller, inside
from proxy.app.away import LEDGER, Order
from proxy.config.written import MADE
from proxy.errors import ProxyError
from proxy.gateway.urgency import stay, take_last_place
from proxy.mirror.job import Job, Tools
from proxy.mirror.ledger import Ledger
from proxy.mirror.port import Run
from proxy.mirror.reading import Reading


def carry_out(link: Connection, order: Order) -> None:
    """What the process does."""
    uvloop.run(_carried_out(link, order))


async def _carried_out(link: Connection, order: Order) -> None:
    teller = Teller(link)
    async with contextlib.AsyncExitStack() as stack:
        try:
            tools = await _tools(stack, order, teller)
            job = Job(
                order.mirror,
                order.run,
                tools,
                lambda run: teller.changed(run, (run.state, run.step)),
            )
            going = asyncio.create_task(job.go())
            heeding = asyncio.create_task(teller.heed(job.stop, going))
            stack.callback(heeding.cancel)
            with contextlib.suppress(asyncio.CancelledError):  # the server is gone
                teller.tell(await going)
        except ProxyError as error:
            teller.tell(Failed(str(error)))


def way_to_give(run: Run) -> Callable[[], None]:
    """The last place, unless it has been starved there."""
    return take_last_place if run.starved_at is None else stay


async def _tools(stack: contextlib.AsyncExitStack, order: Order, teller: Teller) -> Tools:
    """Raises StorageError and ConfigError."""
    found = await inside(stack, order.settings, teller)
    ledger = Ledger((order.settings.cache.path / MADE).with_name(LEDGER))
    stack.push_async_callback(ledger.aclose)
    engine = found.engine
    return Tools(
        reading=Reading(engine),
        ledger=ledger,
        clock=engine.ports.clock,
        waiting=lambda: teller.clients,
        give_way=way_to_give(order.run),
    )
