"""The mirrors' desk, put together: in the first worker alone.

Where the cache folder cannot be written there are no runs and nothing can be made; what is
configured is served all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.app.away import LEDGER, Away
from proxy.app.in_force import InForce
from proxy.app.reporting import Reporting
from proxy.config import Settings
from proxy.config.written import MADE
from proxy.core.model import Mirror
from proxy.errors import StorageError
from proxy.gateway.engine import Engine
from proxy.mirror.book import Book
from proxy.mirror.desk import Desk
from proxy.mirror.ledger import Ledger
from proxy.mirror.notices import Notices
from proxy.mirror.port import Event, Run
from proxy.mirror.reading import Reading
from proxy.mirror.runs import Runs
from proxy.mirror.schedule import Schedule
from proxy.observe.log import Level, Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """See `proxy.mirror.desk.House`. `alone`: there are no other workers to tell."""

    in_force: InForce
    alone: bool

    @property
    def settings(self) -> Settings:
        return self.in_force.settings

    def check(self, made: str) -> Settings:
        return self.in_force.read(made)

    async def reload(self) -> None:
        if not self.alone:
            os.kill(os.getppid(), signal.SIGHUP)  # the supervisor tells all workers
        await self.in_force.reload()


class Mirroring:
    """The desk, with the tasks behind it."""

    def __init__(self, house: Household, engine: Engine, reporting: Reporting) -> None:
        """Raises StorageError, and OSError where the folder cannot be made."""
        place = house.settings.cache.path / MADE
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        clock = engine.ports.clock
        self._house = house
        self._ledger = Ledger(place.with_name(LEDGER))
        notices = Notices(clock)

        def start(mirror: Mirror, run: Run, changed: Callable[[Run], None]) -> Away:
            return Away(
                house.settings,
                mirror,
                run,
                changed=changed,
                starved=lambda run: notices.tell("starved", run.mirror, run),
                waiting=lambda: engine.ports.team.under_way,
                clock=clock,
                relay=reporting.relay,
            )

        self._runs = Runs(
            ledger=self._ledger,
            reading=Reading(engine),
            clock=clock,
            notices=notices,
            find=self._find,
            start=start,
            events=reporting,
        )
        self.schedule = Schedule(clock, self._runs.due)
        self.desk = Desk(
            house,
            book=Book(place),
            engine=engine,
            runs=self._runs,
            schedule=self.schedule,
            notices=notices,
        )
        self._reporting = reporting
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Go on with what was cut off, and begin what is due from now on."""
        self.schedule.configure(self._house.settings.mirrors)
        events = self.desk.events()
        self._tasks.append(asyncio.create_task(self._report(events)))
        self._tasks.append(asyncio.create_task(self.schedule.run(_either)))
        self._runs.resume()

    async def aclose(self) -> None:
        """Cut off what goes on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runs.aclose()
        await self._ledger.aclose()

    async def _report(self, events: AsyncIterator[Event]) -> None:
        """What becomes of runs is logged and counted."""
        async for event in events:
            if event.name == "missed":
                self._reporting.run_missed(event.mirror)
            elif event.name == "starved" and event.run is not None:
                self._reporting.run_starved(event.run)
            elif event.run is not None and event.run.state.is_final:
                self._reporting.ran(event.run)

    def _find(self, key: str) -> Mirror | None:
        return next((one for one in self._house.settings.mirrors if one.key == key), None)


def mirroring(
    stack: contextlib.AsyncExitStack,
    house: Household,
    engine: Engine,
    reporting: Reporting,
    *,
    root: Path,
    log: Log,
) -> Mirroring | None:
    """Begun, until *stack* is taken down.

    What mirrors know and what is made of them stands in the first folder. None, and said, where
    that cannot be written, or is not *root*, the one that takes what is new.
    """
    folder = house.settings.cache.path
    if root != folder:
        log.event("mirroring_off", level=Level.WARNING, error=f"{folder} is only read")
        return None
    try:
        made = Mirroring(house, engine, reporting)
    except (StorageError, OSError) as error:
        log.event("mirroring_off", level=Level.WARNING, error=error)
        return None
    stack.push_async_callback(made.aclose)
    made.start()
    house.in_force.followed_by(lambda now: made.schedule.configure(now.mirrors))
    return made


async def _either(changed: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()
