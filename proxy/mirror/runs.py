"""The runs of all mirrors: begun, watched, stopped, resumed, remembered.

One run of a mirror at a time, and few in all. A run that the server did not end well is resumed
when it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from proxy.core.model import Mirror
from proxy.errors import Conflict, ProxyError, UnknownMirror, UnknownRun
from proxy.gateway.events import Events
from proxy.mirror.ledger import Ledger
from proxy.mirror.ledger_file import IndexState
from proxy.mirror.notices import Notices
from proxy.mirror.port import Cause, Run, RunDetails, RunState, Step
from proxy.mirror.reading import Reading
from proxy.mirror.sheet import Sheet

AT_ONCE = 2
"""Runs of different mirrors that go on at a time; others are queued."""

Find = Callable[[str], Mirror | None]
"""The mirror of that key as it is configured now."""


class Doing(Protocol):
    """Somebody who carries out one run."""

    @property
    def run(self) -> Run:
        """How it stands."""
        ...

    async def go(self) -> RunDetails:
        """Carry it out. Cancelled, it is to be resumed. Raises ProxyError where it cannot be."""
        ...

    def stop(self) -> None:
        """Begin nothing new."""
        ...

    def missed(self, moment: float) -> None:
        """It was due again at *moment*."""
        ...

    def fail(self, error: str) -> None:
        """It has ended before its time."""
        ...


Start = Callable[[Mirror, Run, Callable[[Run], None]], Doing]
"""Finds somebody for a run; the function is to hear of each change of it."""


@dataclass(frozen=True, slots=True)
class _Going:
    job: Doing
    task: asyncio.Task[None]


class Runs:
    """Has them carried out, and knows how they stand."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        reading: Reading,
        clock: Callable[[], float],
        notices: Notices,
        find: Find,
        start: Start,
        events: Events,
    ) -> None:
        """*find* gives mirrors, *start* those who carry out their runs."""
        self._ledger = ledger
        self._reading = reading
        self._clock = clock
        self._notices = notices
        self._find = find
        self._start_job = start
        self._events = events
        self._going: dict[str, _Going] = {}
        self._places = asyncio.Semaphore(AT_ONCE)
        self._known: dict[str, dict[str, Run]] = {}
        self._last_id = 0

    def resume(self) -> None:
        """Take over what is remembered, and go on with what was cut off. At start; blocks."""
        cut_off: list[Run] = []
        for details in self._ledger.all_runs():
            run = details.run
            self._known.setdefault(run.mirror, {})[run.id] = run
            self._last_id = max(self._last_id, int(run.id))
            if not run.state.is_final:
                cut_off.append(run)
        for run in cut_off:
            mirror = self._find(run.mirror)
            if mirror is None or mirror.active is None or run.state is RunState.STOPPING:
                ended = replace(run, state=RunState.STOPPED, ended_at=self._clock())
                self._known[run.mirror][run.id] = ended
            else:
                self._start(mirror, replace(run, cause=Cause.RESUMED, state=RunState.QUEUED))

    # -- what is asked -------------------------------------------------------------------

    def of(self, mirror: str) -> Sequence[Run]:
        """The runs of a mirror that are remembered, newest first."""
        known = self._known.get(mirror, {})
        return sorted(known.values(), key=lambda run: run.id, reverse=True)

    def goes_on(self, mirror: str) -> bool:
        """Whether a run of that mirror goes on, or waits for its turn."""
        return mirror in self._going

    async def details(self, mirror: str, run_id: str) -> RunDetails:
        """What is known of a run. Raises UnknownRun."""
        run = self._known.get(mirror, {}).get(run_id)
        if run is None:
            raise UnknownRun(f"no run {run_id} of {mirror} is remembered")
        details = await self._ledger.details(run_id)
        return RunDetails(run=run) if details is None else replace(details, run=run)

    def begin(self, mirror: Mirror, cause: Cause) -> Run:
        """Begin a run. Raises Conflict where one goes on, or the mirror is passive."""
        if mirror.active is None:
            raise Conflict(f'{mirror.key} is passive, and has no runs; write mode = "active"')
        if self.goes_on(mirror.key):
            raise Conflict(f"a run of {mirror.key} goes on already")
        self._last_id += 1
        run = Run(
            id=f"{self._last_id:08}",
            mirror=mirror.key,
            cause=cause,
            state=RunState.QUEUED,
            step=Step.QUEUED,
            queued_at=self._clock(),
        )
        return self._start(mirror, run)

    def due(self, key: str, moment: float) -> None:
        """The mirror of that key is due: it is run, unless a run goes on, which is noted."""
        mirror, going = self._find(key), self._going.get(key)
        if going is not None:
            going.job.missed(moment)
            self._notices.tell("missed", key, going.job.run)
        elif mirror is not None:
            self.begin(mirror, Cause.SCHEDULED)

    def stop(self, mirror: str) -> Run:
        """Stop the run that goes on. Raises Conflict where none does."""
        going = self._going.get(mirror)
        if going is None:
            raise Conflict(f"no run of {mirror} goes on")
        going.job.stop()
        return going.job.run

    async def ended(self, mirror: str) -> None:
        """Wait until no run of that mirror goes on."""
        while (going := self._going.get(mirror)) is not None:
            await asyncio.wait([going.task])

    async def forget(self, mirror: str) -> None:
        """Nothing of that mirror is remembered any more."""
        self._known.pop(mirror, None)
        await self._ledger.delete(mirror)

    async def aclose(self) -> None:
        """Cut off what goes on; it is resumed at the next start."""
        tasks = [going.task for going in self._going.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- a run ---------------------------------------------------------------------------

    def _start(self, mirror: Mirror, run: Run) -> Run:
        job = self._start_job(mirror, run, self._progressed)
        task = asyncio.create_task(self._carry_out(mirror, job), name=f"run {run.id}")
        self._going[mirror.key] = _Going(job, task)
        self._changed(run)
        return run

    async def _carry_out(self, mirror: Mirror, job: Doing) -> None:
        assert mirror.active is not None
        keep = mirror.active.keep_runs
        try:
            await self._ledger.remember(RunDetails(run=job.run), keep=keep)
            async with self._places:
                details = await job.go()
            await self._ledger.remember(details, keep=keep)
            self._prune(mirror.key, keep)
            await self._take_note(mirror.key, job.run.id)
        except Exception as error:  # noqa: BLE001 - supervised here: one run takes no other along
            self._events.failed(f"run {job.run.id} of {mirror.key}", error)
            job.fail(_told(error))
        finally:
            del self._going[mirror.key]
        if job.run.state.is_final:
            self._changed(job.run)

    def _progressed(self, run: Run) -> None:
        """That it has ended is told when its details can be read, and another one can begin."""
        if not run.state.is_final:
            self._changed(run)

    def _changed(self, run: Run) -> None:
        self._known.setdefault(run.mirror, {})[run.id] = run
        self._notices.changed(run)

    async def _take_note(self, mirror: str, run: str) -> None:
        """Another process may have had the indexes anew: here they are known as of now."""
        async for path in Sheet(self._ledger, mirror, run).indexes(IndexState.READ):
            await self._reading.look(mirror, path)

    def _prune(self, mirror: str, keep: int) -> None:
        known = self._known.get(mirror, {})
        for run_id in sorted(known)[:-keep]:
            del known[run_id]


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, ProxyError) else f"a mistake of ours: {error!r}"


def unknown(key: str) -> UnknownMirror:
    """What to say of a key that no mirror has."""
    return UnknownMirror(f"there is no mirror {key}")
