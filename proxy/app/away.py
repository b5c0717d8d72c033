"""Runs in processes of their own, so that fetching ahead takes nothing from those who serve.

The process has a gateway over the same store, is less urgent than the servers, and ends with its
run, or when the server that started it is gone. The two speak over a pipe: how the run stands goes
one way, that it is to stop, and how many clients wait for upstream, the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import uvloop
from prometheus_client import CollectorRegistry

from proxy.advisories.store import Places
from proxy.app.reporting import Reporting
from proxy.config import Settings
from proxy.config.written import MADE
from proxy.core.model import Mirror
from proxy.ecosystems import ECOSYSTEMS
from proxy.errors import ProxyError, StorageError
from proxy.gateway.engine import Engine
from proxy.gateway.ports import Ports
from proxy.gateway.team import Solo
from proxy.mirror.job import Job, Tools
from proxy.mirror.ledger import Ledger
from proxy.mirror.port import Run, RunDetails, RunState
from proxy.mirror.reading import Reading
from proxy.observe.happenings import Happenings
from proxy.observe.log import Level, Log, Style
from proxy.observe.metrics import Metrics, worker_ended
from proxy.storage.opening import Store, opened
from proxy.storage.trouble import Trouble
from proxy.upstream.client import AiohttpUpstream
from proxy.upstream.credentials import Credentials, netrc_path
from proxy.upstream.oauth import refresh

LEDGER = "ledger.sqlite"
"""The file beside the book that runs keep what they know in."""

NICE = 10
"""How much less urgent a run is than serving."""

TELL = 0.1
"""Seconds between two words on the pipe about what changes all the time."""

ENDING = 10.0
"""Seconds that the process has to end when its run has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a process is to carry out."""

    settings: Settings
    mirror: Mirror
    run: Run


@dataclass(frozen=True, slots=True)
class Stop:
    """Begin nothing new."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many files that clients want are on their way."""

    clients: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The run could not even begin."""

    error: str


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
    ) -> None:
        self.run = run
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
        """Have it carried out. Raises ProxyError where the process ends without a word."""
        ours, theirs = multiprocessing.Pipe()
        order = Order(settings=self._settings, mirror=self._mirror, run=self.run)
        # spawn: this process has threads and an event loop, which must not be forked.
        process = multiprocessing.get_context("spawn").Process(
            target=carry_out, args=(theirs, order), name=f"run {self.run.id}"
        )
        try:
            await asyncio.to_thread(_started, process)
            theirs.close()
            telling = asyncio.create_task(self._tell(ours))
            try:
                return await self._hear(ours)
            except EOFError:
                await asyncio.to_thread(process.join, ENDING)
                raise StorageError(
                    f"the process of the run ended with status {process.exitcode}; "
                    "is there enough memory?"
                ) from None
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
        finally:
            ours.close()  # which ends the process
            await asyncio.to_thread(_ended, process)

    async def _hear(self, link: Connection) -> RunDetails:
        """Follow the run to its end. Raises EOFError where there is nobody any more."""
        async for message in _messages(link):
            match message:
                case Run():
                    self._take(message)
                case RunDetails(run=run):
                    self._take(run)
                    return replace(message, run=self.run)
                case Failed(error=error):
                    raise StorageError(error)
        raise EOFError

    async def _tell(self, link: Connection) -> None:
        """Pass on that the run is to stop, and how many clients wait."""
        told = 0
        stopped = False
        with contextlib.suppress(OSError):  # then `_hear` learns of it, too
            while True:
                if self._stop.is_set() and not stopped:
                    stopped = True
                    link.send(Stop())
                if (waiting := self._waiting()) != told:
                    told = waiting
                    link.send(Waiting(waiting))
                await asyncio.sleep(TELL)

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
    os.nice(NICE)
    uvloop.run(_carried_out(link, order))


async def _carried_out(link: Connection, order: Order) -> None:
    async with contextlib.AsyncExitStack() as stack:
        try:
            teller = _Teller(link)
            tools = await _tools(stack, order, lambda: teller.clients)
            job = Job(order.mirror, order.run, tools, teller.changed)
            going = asyncio.create_task(job.go())
            heeding = asyncio.create_task(teller.heed(job, going))
            stack.callback(heeding.cancel)
            with contextlib.suppress(asyncio.CancelledError, OSError):  # the server is gone
                link.send(await going)
        except ProxyError as error:
            link.send(Failed(str(error)))


class _Teller:
    """The process's end of the pipe."""

    def __init__(self, link: Connection) -> None:
        self._link = link
        self._told: tuple[object, float] = (None, 0.0)
        self.clients = 0

    def changed(self, run: Run) -> None:
        """Tell how the run stands; of mere progress only so often."""
        where, now = (run.state, run.step), time.monotonic()
        if where == self._told[0] and now - self._told[1] < TELL:
            return
        self._told = where, now
        with contextlib.suppress(OSError):  # `heed` ends the run
            self._link.send(run)

    async def heed(self, job: Job, going: asyncio.Task[RunDetails]) -> None:
        """Do as the server says; without it, end."""
        with contextlib.suppress(OSError):
            async for message in _messages(self._link):
                match message:
                    case Stop():
                        job.stop()
                    case Waiting(clients=clients):
                        self.clients = clients
        going.cancel()


async def _tools(
    stack: contextlib.AsyncExitStack, order: Order, waiting: Callable[[], int]
) -> Tools:
    """A gateway over the server's store. Raises StorageError and ConfigError."""
    settings = order.settings
    style, level = Style(settings.log.format), Level[settings.log.level.upper()]
    log = stack.enter_context(Log(sys.stderr.buffer, style=style, level=level))
    reporting = Reporting(Metrics(CollectorRegistry()), log, Happenings(time.time), requests=False)
    store = _store(settings, reporting, log)
    stack.push_async_callback(store.aclose)
    credentials = Credentials(
        named=settings.credentials,
        auth_file=settings.auth_file,
        netrc_file=netrc_path(os.environ),
        refresh=refresh,
    )
    upstream = AiohttpUpstream(settings.upstream, authority=credentials, observer=reporting)
    stack.push_async_callback(upstream.aclose)
    engine = Engine(
        Ports(
            upstream=upstream,
            blobs=store.blobs,
            catalog=store.catalog,
            team=Solo(),
            ecosystems=ECOSYSTEMS,
            clock=time.time,
            events=reporting,
        )
    )
    stack.push_async_callback(engine.aclose)
    engine.gateway.configure(settings.mirrors)
    advisories = settings.advisories
    if advisories.osv is not None:
        await engine.advising.read(
            Places(
                path=advisories.osv,
                overlay=advisories.overlay,
                conda_names=advisories.conda_names,
            )
        )
    ledger = Ledger((settings.cache.path / MADE).with_name(LEDGER))
    stack.push_async_callback(ledger.aclose)
    return Tools(reading=Reading(engine), ledger=ledger, clock=time.time, waiting=waiting)


def _store(settings: Settings, reporting: Reporting, log: Log) -> Store:
    return opened(
        settings.cache.layers,
        limit=settings.cache.max_size,
        trouble=Trouble(reporting.trouble),
        on_loss=lambda what: log.event("catalog_loss", level=Level.ERROR, what=what),
    )


# -- at both ends ------------------------------------------------------------------------


async def _messages(link: Connection) -> AsyncIterator[object]:
    """What comes over the pipe, until its other end is closed."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(link.fileno(), readable.set)
    try:
        while True:
            if not link.poll():
                readable.clear()
                await readable.wait()
                continue
            try:
                yield link.recv()
            except EOFError:
                return
    finally:
        loop.remove_reader(link.fileno())


def _started(process: multiprocessing.process.BaseProcess) -> None:
    """Start it deaf to what is meant for the server and sent to its whole group."""
    deaf = {signal.SIGHUP, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, deaf)  # a process has its thread's mask
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ended(process: multiprocessing.process.BaseProcess) -> None:
    """See the process to its end."""
    if process.pid is None:
        return
    process.join(ENDING)
    if process.exitcode is None:
        process.kill()
        process.join()
    worker_ended(process.pid)
