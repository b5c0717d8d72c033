"""Prefetches in processes of their own (see `proxy.app.apart`): solving takes processor time and
memory that belong to those who serve.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from proxy.app.apart import apart
from proxy.app.elsewhere import Elsewhere
from proxy.app.relaying import Relay
from proxy.config import Settings
from proxy.gateway.engine import Engine
from proxy.gateway.pool import LARGE
from proxy.mirror.prefetches import Prefetches
from proxy.mirror.prefetching import Prefetch, PrefetchDetails, Wish

CARRY_OUT: Elsewhere[[Connection, Order], None] = Elsewhere("proxy.app.prefetch_apart", "carry_out")
CHECK: Elsewhere[[Wish], None] = Elsewhere("proxy.mirror.checking", "check")


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
            CARRY_OUT,
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
        await engine.pool.run(CHECK, wish, size=LARGE)

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
