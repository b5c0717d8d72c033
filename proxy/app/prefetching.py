"""Prefetches in processes of their own (see `proxy.app.apart`): solving takes processor time and
memory that belong to those who serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import uvloop

from proxy.app.apart import Failed, Teller, apart, inside
from proxy.app.indoors import HOST, indoors
from proxy.app.relaying import Relay
from proxy.config import Settings
from proxy.core.active import Limits
from proxy.errors import ProxyError
from proxy.gateway.engine import Engine
from proxy.mirror.pace import Pace
from proxy.mirror.prefetch_job import PrefetchJob
from proxy.mirror.prefetches import Prefetches
from proxy.mirror.prefetching import Prefetch, PrefetchDetails, Wish, check
from proxy.upstream.running import RunningProxy

_AHEAD = 8  # pages are asked for ahead whatever the files' number


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a process is to carry out."""

    settings: Settings
    prefetch: Prefetch
    wish: Wish


class Remote:
    """A prefetch in a process of its own, as the server sees it; see `Doing`."""

    def __init__(
        self,
        order: Order,
        *,
        changed: Callable[[Prefetch], None],
        waiting: Callable[[], int],
        relay: Relay,
    ) -> None:
        self._order = order
        self._relay = relay
        self._changed = changed
        self._waiting = waiting
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """See `Doing`."""
        self._stop.set()

    async def go(self) -> PrefetchDetails:
        """See `Doing`."""
        name = f"prefetch {self._order.prefetch.id}"
        async with apart(
            carry_out,
            self._order,
            name=name,
            stop=self._stop,
            waiting=self._waiting,
            relay=self._relay,
        ) as told:
            async for message in told:
                match message:
                    case Prefetch():
                        self._changed(message)
                    case PrefetchDetails():
                        return message
        raise AssertionError("what a process says ends with its outcome or an error")


def prefetches(engine: Engine, settings: Callable[[], Settings], relay: Relay) -> Prefetches:
    """The prefetches of a server with that engine."""
    ports = engine.ports

    async def checked(wish: Wish) -> None:
        await engine.pool.run(check, wish, size=wish.size)

    def start(prefetch: Prefetch, wish: Wish, changed: Callable[[Prefetch], None]) -> Remote:
        return Remote(
            Order(settings=settings(), prefetch=prefetch, wish=wish),
            changed=changed,
            waiting=lambda: engine.ports.team.under_way,
            relay=relay,
        )

    return Prefetches(
        mirrors=lambda: settings().mirrors,
        ecosystems=ports.ecosystems,
        check=checked,
        start=start,
        clock=ports.clock,
        events=ports.events,
    )


# -- in the process ----------------------------------------------------------------------


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
