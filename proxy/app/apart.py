"""Work in a process of its own, so that it takes nothing from those who serve.

The process has a gateway over the same store, is less urgent than the servers, and ends with its
work, or when the server that started it is gone. The two speak over a pipe: how the work stands
goes one way, that it is to stop, and how many clients wait for upstream, the other. What the work
is, and what is said of it, is left to others.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from proxy.advisories.store import places_of
from proxy.app.foundations import credentials_of, log_of, store_of, upstream_of
from proxy.app.relaying import Counts, Passing, Relay, Told, counting
from proxy.app.reporting import Reporting
from proxy.app.starving import look_at, unless_starved
from proxy.config import Settings
from proxy.ecosystems import ECOSYSTEMS
from proxy.errors import StorageError
from proxy.gateway.engine import Engine
from proxy.gateway.ports import Ports
from proxy.gateway.team import Solo
from proxy.gateway.urgency import started_in_second_place
from proxy.observe.log import Log
from proxy.observe.metrics import worker_ended

TELL = 0.1
"""Seconds between two words on the pipe about what changes all the time."""

LANDING = 1.0
"""Seconds for what has come to be remembered when the work is over."""

ENDING = 10.0
"""Seconds that the process has to end when its work has."""

_IN_MEMORY = 500
"""Values of the catalog that are kept there: such a process comes to each file once."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Begin nothing new."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many files that clients want are on their way."""

    clients: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The work could not even begin."""

    error: str


class Crashed(StorageError):
    """The process ended without a word about why: it was killed, say, for want of memory."""


# -- in the server -----------------------------------------------------------------------


@contextlib.asynccontextmanager
async def apart(
    carry_out: Callable[[Connection, Any], None],
    order: object,
    *,
    name: str,
    stop: asyncio.Event,
    waiting: Callable[[], int],
    relay: Relay,
) -> AsyncIterator[AsyncIterator[object]]:
    """Have *order* carried out by a process; what it says until the block is left, which ends it.

    What it meets on the way *relay* has counted and shown. It is told when *stop* is set, and how
    many clients are *waiting*. What it says raises StorageError where it failed, and Crashed where
    it ended without a word. Raises Starved where it has taken the last place, and gets nothing.
    """
    ours, theirs = multiprocessing.Pipe()
    # spawn: this process has threads and an event loop, which must not be forked.
    process = multiprocessing.get_context("spawn").Process(
        target=carry_out, args=(theirs, order), name=name
    )
    try:
        await asyncio.to_thread(_started, process)
        theirs.close()
        telling = asyncio.create_task(_tell(ours, stop, waiting))
        try:
            async with (
                unless_starved(partial(look_at, process.pid or 0)),
                contextlib.aclosing(_heard(ours, process, relay)) as heard,
            ):
                yield heard
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
    finally:
        ours.close()  # which ends the process
        await asyncio.to_thread(_ended, process)


async def _heard(
    link: Connection, process: multiprocessing.process.BaseProcess, relay: Relay
) -> AsyncGenerator[object]:
    async for message in _messages(link):
        match message:
            case Failed(error=error):
                raise StorageError(error)
            case Counts() | Told():
                relay.take(message)
            case _:
                yield message
    await asyncio.to_thread(process.join, ENDING)
    raise Crashed(
        f"the process of the {process.name.split()[0]} ended with status {process.exitcode}; "
        "is there enough memory?"
    )


async def _tell(link: Connection, stop: asyncio.Event, waiting: Callable[[], int]) -> None:
    """Pass on that the work is to stop, and how many clients wait."""
    told = 0
    stopped = False
    with contextlib.suppress(OSError):  # then `_heard` learns of it, too
        while True:
            if stop.is_set() and not stopped:
                stopped = True
                link.send(Stop())
            if (now := waiting()) != told:
                told = now
                link.send(Waiting(now))
            await asyncio.sleep(TELL)


def _started(process: multiprocessing.process.BaseProcess) -> None:
    """Start it less urgent, and deaf to what is meant for the server and sent to its group."""

    def start() -> None:
        deaf = {signal.SIGHUP, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, deaf)  # a process has its thread's mask
        process.start()

    started_in_second_place(start)


def _ended(process: multiprocessing.process.BaseProcess) -> None:
    """See the process to its end."""
    if process.pid is None:
        return
    process.join(ENDING)
    if process.exitcode is None:
        process.kill()
        process.join()
    worker_ended(process.pid)


# -- in the process ----------------------------------------------------------------------


class Teller:
    """The process's end of the pipe."""

    def __init__(self, link: Connection) -> None:
        self._link = link
        self._told: tuple[object, float] = (None, 0.0)
        self.clients = 0
        self.counts: Callable[[], Counts | None] = lambda: None

    def changed(self, message: object, where: object) -> None:
        """Tell how the work stands; of mere progress, while it is still *where* it was, only so
        often.
        """
        now = time.monotonic()
        if where == self._told[0] and now - self._told[1] < TELL:
            return
        self._told = where, now
        self.tell(message)

    def tell(self, message: object) -> None:
        """Say something to the server, if it is still there."""
        with contextlib.suppress(OSError):  # `heed` ends the work
            if (counts := self.counts()) is not None:
                self._link.send(counts)
            self._link.send(message)

    async def heed(self, stop: Callable[[], None], going: asyncio.Task[Any]) -> None:
        """Do as the server says; without it, end."""
        with contextlib.suppress(OSError):
            async for message in _messages(self._link):
                match message:
                    case Stop():
                        stop()
                    case Waiting(clients=clients):
                        self.clients = clients
        going.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What a process works with."""

    engine: Engine
    log: Log


async def inside(stack: contextlib.AsyncExitStack, settings: Settings, teller: Teller) -> Inside:
    """A gateway over the server's store, of which *teller* tells what it meets.

    Raises StorageError and ConfigError.
    """
    log = stack.enter_context(log_of(settings))
    metrics, teller.counts = counting()
    reporting = Reporting(metrics, log, Passing(teller.tell), requests=False)
    store = store_of(stack, settings, reporting, log, in_memory=_IN_MEMORY)
    with contextlib.suppress(StorageError):
        # The thread that writes the catalog begins, lest it begin when its process has last place.
        await store.catalog.count()
    upstream = upstream_of(stack, settings, credentials_of(settings), reporting)
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
    stack.push_async_callback(engine.fetching.drain, LANDING)
    engine.gateway.configure(settings.mirrors)
    places = places_of(settings.advisories)
    if places is not None:
        await engine.advising.read(places)
    return Inside(engine=engine, log=log)


# -- at both ends ------------------------------------------------------------------------


async def _messages(link: Connection) -> AsyncGenerator[object]:
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
