"""Runs in processes of their own (see `proxy.app.apart`): ordered here, carried out there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

from proxy.app.apart import Crashed, apart
from proxy.app.elsewhere import Elsewhere
from proxy.app.relaying import Relay
from proxy.app.starving import Starved
from proxy.config import Settings
from proxy.core.model import Mirror
from proxy.mirror.port import Cause, Run, RunDetails, RunState

LEDGER = "ledger.sqlite"
"""The file beside the book that runs keep what they know in."""

FURTHER = 2
"""Processes that go on with a run whose process was killed, before it is given up."""

CARRY_OUT: Elsewhere[[Connection, Order], None] = Elsewhere("proxy.app.run_apart", "carry_out")


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
        starved: Callable[[Run], None],
        waiting: Callable[[], int],
        clock: Callable[[], float],
        relay: Relay,
        process: Callable[..., AbstractAsyncContextManager[AsyncIterator[object]]] = apart,
    ) -> None:
        """*changed* hears of each change, *starved* where the run had next to nothing of the
        processors; *process* is `apart`.
        """
        self.run = run
        self._relay = relay
        self._process = process
        self._settings = settings
        self._mirror = mirror
        self._changed = changed
        self._starved = starved
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
                return await self._in_its_place()
            if self._stop.is_set():
                break
            self._take(replace(self.run, cause=Cause.RESUMED))
        return await self._in_its_place()

    async def _in_its_place(self) -> RunDetails:
        """In the last place; once that was in vain, by a further process in second place."""
        if self.run.starved_at is None:
            with contextlib.suppress(Starved):
                return await self._by_one_process()
            self._take(replace(self.run, starved_at=self._clock()))
            self._starved(self.run)
        return await self._by_one_process()

    async def _by_one_process(self) -> RunDetails:
        order = Order(settings=self._settings, mirror=self._mirror, run=self.run)
        name = f"run {self.run.id}"
        async with self._process(
            CARRY_OUT,
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
