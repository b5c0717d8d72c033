"""Runs in processes of their own (see `proxy.app.apart`): ordered here, carried out there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import uvloop

from proxy.app.apart import Crashed, Failed, Teller, apart, inside
from proxy.app.relaying import Relay
from proxy.config import Settings
from proxy.config.written import MADE
from proxy.core.model import Mirror
from proxy.errors import ProxyError
from proxy.mirror.job import Job, Tools
from proxy.mirror.ledger import Ledger
from proxy.mirror.port import Cause, Run, RunDetails, RunState
from proxy.mirror.reading import Reading

LEDGER = "ledger.sqlite"
"""The file beside the book that runs keep what they know in."""

FURTHER = 2
"""Processes that go on with a run whose process was killed, before it is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a process is to carry out."""

    settings: Settings
    mirror: Mirror
    run: Run


class Away:
    """A run in a process of its own, as the server sees it; see `proxy.mirror.runs.Doing`."""

    def __init__(
        self,
        settings: Settings,
        mirror: Mirror,
        run: Run,
        *,
        changed: Callable[[Run], None],
        waiting: Callable[[], int],
        clock: Callable[[], float],
        relay: Relay,
    ) -> None:
        self.run = run
        self._relay = relay
        self._settings = settings
        self._mirror = mirror
        self._changed = changed
        self._waiting = waiting
        self._clock = clock
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """See `Doing`."""
        self._stop.set()
        self._take(replace(self.run, state=RunState.STOPPING))

    def missed(self, moment: float) -> None:
        """See `Doing`."""
        self._take(replace(self.run, missed=(*self.run.missed, moment)))

    def fail(self, error: str) -> None:
        """See `Doing`."""
        now = self._clock()
        self._take(replace(self.run, state=RunState.FAILED, ended_at=now, error=error))

    async def go(self) -> RunDetails:
        """Have it carried out, by a further process where one is killed; what is here by then is
        not fetched again. Raises ProxyError where that comes to nothing, too.
        """
        for _ in range(FURTHER):
            with contextlib.suppress(Crashed):
                return await self._by_one_process()
            if self._stop.is_set():
                break
            self._take(replace(self.run, cause=Cause.RESUMED))
        return await self._by_one_process()

    async def _by_one_process(self) -> RunDetails:
        order = Order(settings=self._settings, mirror=self._mirror, run=self.run)
        name = f"run {self.run.id}"
        async with apart(
            carry_out,
            order,
            name=name,
            stop=self._stop,
            waiting=self._waiting,
            relay=self._relay,
        ) as told:
            async for message in told:
                match message:
                    case Run():
                        self._take(message)
                    case RunDetails(run=run):
                        self._take(run)
                        return replace(message, run=self.run)
        raise AssertionError("what a process says ends with its outcome or an error")

    def _take(self, run: Run) -> None:
        """The run stands so; what was missed is known here, and that it is to stop."""
        state = run.state
        if self._stop.is_set() and not state.is_final:
            state = RunState.STOPPING
        missed = run.missed if len(run.missed) > len(self.run.missed) else self.run.missed
        self.run = replace(run, state=state, missed=missed)
        self._changed(self.run)


# -- in the process ----------------------------------------------------------------------


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
    )
