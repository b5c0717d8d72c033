"""One worker process: what is wired to what, bottom up, and taken down in the opposite order.

Requests that are under way when the worker is told to stop get `server.drain_timeout` seconds to
end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from proxy import __version__
from proxy.advisories.store import places_of
from proxy.app.beside import beside, ended
from proxy.app.certificate import Certificates
from proxy.app.foundations import credentials_of, log_of, store_of, upstream_of
from proxy.app.in_force import InForce, Reload
from proxy.app.listening import addresses
from proxy.app.mirroring import Household, mirroring
from proxy.app.notifying import Manager
from proxy.app.reception import Reception
from proxy.app.reporting import Reporting
from proxy.app.siblings import meet
from proxy.config import Settings
from proxy.ecosystems import ECOSYSTEMS
from proxy.errors import ConfigError
from proxy.gateway.basis import Watched
from proxy.gateway.crew import Crew
from proxy.gateway.engine import Engine
from proxy.gateway.janitor import Janitor, note_uses
from proxy.gateway.ports import Ports
from proxy.gateway.team import Solo
from proxy.gateway.tidying import Tidying
from proxy.mirror.pinned import PinnedMirrors
from proxy.observe.happenings import Happenings, Hearing, Sibling, collecting
from proxy.observe.log import Bridge, Level, Log
from proxy.observe.metrics import Metrics
from proxy.storage.eviction import Eviction
from proxy.storage.opening import Store
from proxy.upstream.client import AiohttpUpstream
from proxy.upstream.troubles import Troubles
from proxy.web.ready import Shelf

SETTLE = 2.0
"""Seconds for the work behind the last answers: a client has a file before the catalog has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which worker this is (of how many), where it listens, and where siblings meet."""

    number: int
    size: int
    listening: Sequence[socket.socket]
    meeting: Path
    ready: Callable[[], None]


class Worker:
    """A server's life: built, ready, told to reload or stop, drained, gone."""

    def __init__(self, settings: Settings, place: Place, reload: Reload) -> None:
        self._settings = settings
        self._place = place
        self._reload = reload
        # The first worker speaks for all.
        self._manager = Manager(os.environ if place.number == 0 else {})

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises StorageError and OSError at start."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with self._alive(), self._built() as (in_force, reception, log):
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
            loop.add_signal_handler(signal.SIGHUP, in_force.begin_to_reload)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
            reception.is_ready = True
            in_force.warn()
            log.event("ready", version=__version__, worker=self._place.number)
            self._place.ready()
            in_force.tell()
            await stop.wait()
            reception.is_ready = False
            self._manager.stopping()
            log.event("stopping", worker=self._place.number)
            await in_force.aclose()

    @contextlib.asynccontextmanager
    async def _alive(self) -> AsyncIterator[None]:
        """While entered, the service manager is told that the event loop turns."""
        telling = asyncio.create_task(self._manager.run())
        try:
            yield
        finally:
            await ended(telling)

    @contextlib.asynccontextmanager
    async def _built(self) -> AsyncIterator[tuple[InForce, Reception, Log]]:
        """Everything, from the log up to the listening socket; taken down the other way round."""
        settings, place = self._settings, self._place
        async with AsyncExitStack() as stack:
            log = stack.enter_context(log_of(settings))
            _bridge(stack, log)
            metrics = Metrics(CollectorRegistry())
            metrics.running(__version__)
            hearing = await self._hearing(stack)
            reporting = Reporting(metrics, log, hearing, requests=settings.log.requests)
            certificates = Certificates(log)
            in_force = InForce(
                settings,
                self._reload,
                manager=self._manager,
                log=log,
                certificates=certificates.look,
            )
            store = await self._store(stack, reporting, log)
            credentials = credentials_of(settings)
            upstream = upstream_of(stack, settings, credentials, reporting)
            troubles = self._told_of(stack, upstream)
            shelf = Shelf(time.time, sized=metrics.ready)
            catalog = Watched(store.catalog, shelf.changed)
            crew = None
            if place.size > 1:
                crew = Crew(place.number, place.size, place.meeting, store.blobs)
            ports = Ports(
                upstream=upstream,
                blobs=store.blobs,
                catalog=catalog,
                team=crew or Solo(),
                ecosystems=ECOSYSTEMS,
                clock=time.time,
                events=reporting,
            )
            engine = await self._engine(stack, ports, shelf)
            if crew is not None:
                drain_timeout = settings.server.drain_timeout
                await meet(stack, crew, engine.gateway, in_force, drain_timeout)
            beside(stack, note_uses(store.blobs, reporting.failed))
            reception = Reception(
                stack,
                in_force,
                engine,
                shelf=shelf,
                catalog=catalog,
                metrics=metrics,
                reporting=reporting,
                log=log,
                certificates=certificates,
                troubles=lambda: troubles,
            )
            in_force.followed_by(lambda now: engine.gateway.configure(now.mirrors))
            in_force.followed_by(
                lambda now: credentials.configure(named=now.credentials, auth_file=now.auth_file)
            )
            ahead = None
            if place.number == 0:
                _tidy(stack, in_force, store, engine, metrics=metrics, log=log)
                house = Household(in_force=in_force, alone=place.size == 1)
                ahead = mirroring(stack, house, engine, reporting, root=store.root, log=log)
            await stack.enter_async_context(reception.listening(place.listening))
            if isinstance(hearing, Happenings) and settings.admin.has_doors:
                # One worker of a server has it, and that only where it has doors: for its pages and
                # forms 100 modules are imported, a tenth of a second.
                from proxy.app.administration import Administration  # noqa: PLC0415

                administration = Administration(
                    settings=lambda: in_force.settings,
                    mirrors=lambda: in_force.mirrors,
                    engine=engine,
                    metrics=metrics,
                    happenings=hearing,
                    troubles=lambda: troubles,
                    access=reception.access,
                    desk=None if ahead is None else ahead.desk,
                    log=log,
                )
                served_at = addresses(place.listening, settings.server.scheme)[0]
                tls = certificates.context(stack, settings.admin)
                await stack.enter_async_context(administration.listening(served_at, tls))
            yield in_force, reception, log

    async def _hearing(self, stack: AsyncExitStack) -> Hearing:
        """The first worker keeps what the operator should hear of; the others tell it."""
        meeting = self._place.meeting
        if self._place.number > 0:
            sibling = Sibling(meeting, time.time)
            stack.callback(sibling.close)
            return sibling
        happenings = Happenings(time.time)
        if self._place.size > 1:
            await stack.enter_async_context(collecting(happenings, meeting))
        return happenings

    async def _store(self, stack: AsyncExitStack, reporting: Reporting, log: Log) -> Store:
        spare = self._place.meeting / "spare"
        store = store_of(stack, self._settings, reporting, log, spare=spare)
        if self._place.number == 0:
            left = await asyncio.to_thread(store.blobs.main.collect_leftovers)
            log.event("leftovers", level=Level.DEBUG, files=left)
        return store

    def _told_of(self, stack: AsyncExitStack, upstream: AiohttpUpstream) -> Troubles:
        """The hosts that fail, as this worker knows them and the others have written."""
        place = self._place
        troubles = Troubles(
            upstream.circuits, place.meeting, place.number, place.size, clock=time.time
        )
        beside(stack, troubles.run())
        return troubles

    async def _engine(self, stack: AsyncExitStack, ports: Ports, shelf: Shelf) -> Engine:
        """Nothing is served before what is known of it has been read. Raises ConfigError."""
        settings = self._settings
        engine = Engine(ports, changed=shelf.clear)
        stack.push_async_callback(engine.aclose)
        stack.push_async_callback(_settled, engine)
        engine.gateway.configure(settings.mirrors)
        places = places_of(settings.advisories)
        if places is not None:
            try:
                await engine.advising.read(places)
            except ConfigError as error:
                raise ConfigError(f"[advisories]: {error}") from error
            beside(stack, engine.advising.run(places, settings.advisories.interval))
        beside(stack, engine.warming.run())
        return engine


def _tidy(
    stack: AsyncExitStack,
    in_force: InForce,
    store: Store,
    engine: Engine,
    *,
    metrics: Metrics,
    log: Log,
) -> None:
    """Make room, and remove what is no longer needed, from now on."""
    catalog = engine.ports.catalog
    pinned = PinnedMirrors(lambda: in_force.mirrors)

    def failed(key: str, error: BaseException) -> None:
        log.event("tidying_failed", level=Level.WARNING, key=key, error=error)

    janitor = Janitor(
        root=store.root,
        catalog=catalog,
        evictions=[Eviction(one, catalog, pinned) for one in store.written],
        tidying=Tidying(
            store.blobs,
            catalog,
            engine.pool,
            keep_for=in_force.settings.cache.keep_superseded,
            failed=failed,
        ),
        clock=time.time,
        metrics=metrics,
        log=log,
    )
    beside(stack, janitor.run())


def _bridge(stack: AsyncExitStack, log: Log) -> None:
    """What libraries log becomes lines like all others, also what a client made them log."""
    bridge = Bridge(log)
    logging.getLogger().addHandler(bridge)
    stack.callback(logging.getLogger().removeHandler, bridge)


async def _settled(engine: Engine) -> None:
    """Have what clients got a moment ago written down; what still comes is given up."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE):
            await engine.drain(SETTLE)
