"""One run of one mirror, from its indexes to its last file.

All that it must remember stands in the ledger, so that it may be stopped, killed and resumed at
any moment; what is here is not fetched again. Single failures do not stop it: they are listed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

from proxy.core.judging import verdict_of
from proxy.core.model import Mirror
from proxy.core.policy import MALICIOUS, Policy
from proxy.core.telling import refused_first
from proxy.errors import (
    ProxyError,
    StorageError,
    UpstreamError,
    UpstreamFailed,
    UpstreamMissing,
)
from proxy.mirror.fetcher import Fetcher, each
from proxy.mirror.ledger import Ledger
from proxy.mirror.ledger_file import IndexState, Item, Page, State
from proxy.mirror.pace import Pace
from proxy.mirror.port import Run, RunDetails, RunState, Step, Tally
from proxy.mirror.progress import Progress
from proxy.mirror.reading import Reading
from proxy.mirror.sheet import PAGE, Sheet
from proxy.mirror.survey import Left, Surveyed, add

TURN = 20
"""Files looked for between two turns of everybody else: 1 ms."""

LANDING, LANDINGS = 0.05, 20
"""Seconds between two looks for a file that has just come, and how many."""

BACKOFF = (2.0, 15.0, 60.0)
"""Seconds before each further attempt at what failed."""


class _Stopped(Exception):
    """The operator has stopped the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What runs work with. `waiting`: how many files that clients want are on their way here;
    `give_way` is called when the short part is over, and the long one begins.
    """

    reading: Reading
    ledger: Ledger
    clock: Callable[[], float]
    waiting: Callable[[], int]
    give_way: Callable[[], None] = lambda: None
    backoff: Sequence[float] = BACKOFF


class Job:
    """A run while it goes on; *changed* hears of every change of `run`."""

    def __init__(
        self, mirror: Mirror, run: Run, tools: Tools, changed: Callable[[Run], None]
    ) -> None:
        assert mirror.active is not None
        self._mirror = mirror
        self._active = mirror.active
        self._tools = tools
        self._reading = tools.reading
        self._ledger = tools.ledger
        self._sheet = Sheet(tools.ledger, mirror.key, run.id)
        self._stop = asyncio.Event()
        self.progress = Progress(run, tools.clock, changed)
        self._hidden: dict[str, Left] = {}
        self._beyond: dict[str, Left] = {}

    def __repr__(self) -> str:
        return f"<Job {self.run.id} {self.run.state.value}, {self.run.step.value}>"

    @property
    def run(self) -> Run:
        """The run as it stands."""
        return self.progress.run

    def stop(self) -> None:
        """Begin nothing new; what is under way ends."""
        self._stop.set()
        self.progress.stopping()

    def missed(self, moment: float) -> None:
        """It was due again at *moment*."""
        self.progress.missed(moment)

    def fail(self, error: str) -> None:
        """It has ended before its time."""
        self.progress.end(RunState.FAILED, error)

    async def go(self) -> RunDetails:
        """Go through all steps; returns what there is to know at the end.

        Where this is cancelled the run has not ended: it is to be resumed.
        """
        steps = (
            (Step.READING, self._read),
            (Step.JUDGING, self._judge),
            (Step.PLANNING, self._plan),
            (Step.FETCHING, self._fetch),
            (Step.VERIFYING, self._verify),
            (Step.FINISHING, self._finish),
        )
        state, problem = RunState.COMPLETED, None
        try:
            self._check_stop()
            self.progress.begin()
            for step, work in steps:
                self.progress.at(step)
                await work()
                self._check_stop()
        except _Stopped:
            state = RunState.STOPPED
        except ProxyError as error:
            state, problem = RunState.FAILED, str(error)
        return await self._ended(state, problem)

    # -- steps ---------------------------------------------------------------------------

    async def _read(self) -> None:
        """Have every index as upstream has it now."""
        key, run = self._mirror.key, self.run.id
        await self._ledger.restart(key, run)
        await self._ledger.add_indexes(key, run, self._reading.begins(self._mirror))
        since = self._tools.clock()
        while await self._ledger.indexes(key, run, IndexState.TO_READ, after="", limit=1):
            await each(
                self._sheet.indexes(IndexState.TO_READ),
                lambda path: self._read_one(path, since),
                at_a_time=self._active.limits.concurrency,
                stop=self._stop,
            )
            self._check_stop()
        if not [path async for path in self._listing()]:
            failures = await self._ledger.failures(key, run)
            raise UpstreamFailed(
                failures[0].error if failures else f"upstream has none of the indexes of {key}"
            )

    async def _read_one(self, path: str, since: float) -> None:
        key = self._mirror.key
        state, problem = IndexState.READ, None
        try:
            await self._patiently_read(path, since)
        except UpstreamMissing:
            state = IndexState.ABSENT
            now = self._tools.clock()
            await self._ledger.absent(Page(mirror=key, index=path, run=self.run.id, now=now))
        except StorageError:
            raise
        except ProxyError as error:
            state, problem = IndexState.FAILED, str(error)
        await self._ledger.mark_index(key, path, state, problem)

    async def _patiently_read(self, path: str, since: float) -> None:
        for wait in self._tools.backoff:
            try:
                return await self._read_and_follow(path, since)
            except UpstreamError as error:
                if not error.retryable or self._stop.is_set():
                    raise
            await self._pause(wait)
        return await self._read_and_follow(path, since)

    async def _read_and_follow(self, path: str, since: float) -> None:
        """Read it, and go on to the indexes that it leads to, and to those that it once led to."""
        await self._reading.read(self._mirror, path, newer_than=since)
        if not self._reading.lists_files(self._mirror, path):
            surveyed = await self._survey(path)
            if surveyed.leads:
                await self._ledger.add_known_indexes(self._mirror.key, self.run.id)

    async def _judge(self) -> None:
        """Of all that is listed, find what the policy allows and the scope takes."""
        async for path in self._listing():
            self._check_stop()
            try:
                surveyed = await self._survey(path)
            except StorageError:
                raise
            except ProxyError as error:
                key = self._mirror.key
                await self._ledger.mark_index(key, path, IndexState.FAILED, str(error))
                continue
            _add_all(self._hidden, surveyed.hidden)
            _add_all(self._beyond, surveyed.beyond)
            self.progress.count(
                listed=surveyed.listed,
                wanted=surveyed.wanted,
                hidden=sum(left.files for left in surveyed.hidden.values()),
                beyond=sum(left.files for left in surveyed.beyond.values()),
            )

    async def _plan(self) -> None:
        """See what the size limit holds, and what of that is here."""
        self._tools.give_way()
        key, limit = self._mirror.key, self._active.scope.size_limit
        if limit is not None and (out := await self._ledger.trim(key, self.run.id, limit)):
            reason = f"all that is wanted is more than {limit} bytes"
            add(self._beyond, "size_limit", Left(reason=reason, files=out, examples=()))
            self.progress.count(beyond=out)
        async for page in self._sheet.pages([State.WANTED]):
            here: list[str] = []
            missing: list[str] = []
            for number, item in enumerate(page):
                if number % TURN == 0:
                    await asyncio.sleep(0)
                into = here if await self._reading.is_here(self._mirror, item) else missing
                into.append(item.path)
            await self._ledger.here(key, here)
            await self._ledger.missing(key, missing)
            self._check_stop()
        await self._recount()

    async def _fetch(self) -> None:
        """Fetch what is not here, then try again what failed."""
        pace = Pace(
            self._active.limits,
            clock=self._tools.clock,
            pause=self._pause,
            waiting=self._tools.waiting,
        )
        fetcher = Fetcher(
            self._mirror,
            sheet=self._sheet,
            reading=self._reading,
            pace=pace,
            progress=self.progress,
            stop=self._stop,
        )
        await fetcher.run(self._tools.backoff)

    async def _verify(self) -> None:
        """See that what was fetched is here; its digest was checked when it came."""
        lost = "it was fetched, and is not here any more; is the cache too small?"
        async for page in self._sheet.pages([State.HERE], fetched=True):
            for item in page:
                if not await self._has_landed(item):
                    await self._ledger.failed(self._mirror.key, item.path, lost, state=State.LOST)
            self._check_stop()

    async def _finish(self) -> None:
        """Let go of what upstream has not listed for long, where that is wanted."""
        if self._active.gone_after is None:
            return
        key, before = self._mirror.key, self._tools.clock() - self._active.gone_after
        while paths := await self._ledger.gone(key, before=before, limit=PAGE):
            await self._reading.forget(self._mirror, paths)
            await self._ledger.forget(key, paths)
            self.progress.count(removed=len(paths))

    async def _ended(self, state: RunState, problem: str | None) -> RunDetails:
        await self._reading.settle(LANDING * LANDINGS)  # what was fetched stays, stopped or not
        await self._recount()
        key = self._mirror.key
        failures = await self._ledger.failures(key, self.run.id)
        if state is RunState.COMPLETED and failures:
            state = RunState.COMPLETED_WITH_FAILURES
        self.progress.end(state, problem)
        actively, passively = await self._ledger.mirrored(key)
        return RunDetails(
            run=self.run,
            hidden=_tallies(self._hidden, _reasons(self._mirror.policy)),
            beyond=_tallies(self._beyond, {}),
            failures=failures,
            actively=actively,
            passively=passively,
        )

    # -- what steps need -----------------------------------------------------------------

    async def _listing(self) -> AsyncIterator[str]:
        """The indexes that have been read and list files."""
        async for path in self._sheet.indexes(IndexState.READ):
            if self._reading.lists_files(self._mirror, path):
                yield path

    async def _survey(self, path: str) -> Surveyed:
        return await self._reading.survey(
            self._mirror, path, ledger=self._ledger.path, run=self.run.id
        )

    async def _has_landed(self, item: Item) -> bool:
        """Whether it is here; its entry is written a moment after its last byte."""
        for _ in range(LANDINGS):
            if await self._reading.is_here(self._mirror, item):
                return True
            await asyncio.sleep(LANDING)
        return False

    async def _recount(self) -> None:
        self.progress.recount(await self._ledger.counts(self._mirror.key, self.run.id))

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the run is stopped meanwhile."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise _Stopped


def _add_all(into: dict[str, Left], found: Mapping[str, Left]) -> None:
    for rule, left in found.items():
        add(into, rule, left)


def _reasons(policy: Policy | None) -> Mapping[str, str]:
    """What rules say of all their files, by their names."""
    rules = () if policy is None else policy.in_order
    return {rule.name: verdict_of(rule).reason for rule in (MALICIOUS, *rules)}


def _tallies(left_out: Mapping[str, Left], reasons: Mapping[str, str]) -> tuple[Tally, ...]:
    """*left_out* by rule; of files that are not alike what *reasons* has for all of them."""

    def said(rule: str, left: Left) -> str:
        return left.reason if left.alike else reasons.get(rule, left.reason)

    found = [
        Tally(
            rule=rule,
            reason=refused_first(said(rule, left), left.files, left.until),
            files=left.files,
            examples=left.examples,
        )
        for rule, left in left_out.items()
    ]
    return tuple(sorted(found, key=lambda one: (-one.files, one.rule)))
