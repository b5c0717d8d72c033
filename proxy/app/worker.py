"""One worker process: everything is built here, and nowhere else are concrete classes named.

The rooms are built bottom up and taken down in the opposite order. Requests that are under way
when the worker is told to stop get `server.drain_timeout` seconds to end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry

from proxy import __version__
from proxy.advisories.store import places_of
from proxy.app.certificate import Certificate
from proxy.app.hits import Hits
from proxy.app.listening import addresses
from proxy.app.mirroring import Household, Mirroring
from proxy.app.notifying import Manager
from proxy.app.reporting import Reporting
from proxy.app.room import room
from proxy.app.serving import serving
from proxy.app.token_watch import TokenWatch
from proxy.config import Settings
from proxy.config.admin import AdminSettings
from proxy.config.settings import Server
from proxy.core.model import Mirror, Resource
from proxy.ecosystems import ECOSYSTEMS
from proxy.errors import ConfigError, StorageError, UnknownMirror
from proxy.gateway.answer import Answer, Want
from proxy.gateway.basis import Watched
from proxy.gateway.crew import Crew
from proxy.gateway.engine import Engine
from proxy.gateway.janitor import Janitor, note_uses
from proxy.gateway.ports import Ports
from proxy.gateway.team import Solo
from proxy.mirror.pinned import PinnedMirrors
from proxy.observe.happenings import Happenings, Hearing, Sibling, collecting
from proxy.observe.log import Bridge, Level, Log, Style
from proxy.observe.metrics import Metrics
from proxy.storage.eviction import Eviction
from proxy.storage.opening import Store, opened
from proxy.storage.token_file import TokenFile
from proxy.storage.trouble import Trouble
from proxy.upstream.client import AiohttpUpstream
from proxy.upstream.credentials import Credentials, netrc_path
from proxy.upstream.oauth import refresh
from proxy.upstream.troubles import Troubles
from proxy.web.access import Access
from proxy.web.content import Content
from proxy.web.crowd import Crowd
from proxy.web.door import Door
from proxy.web.keeping import Keeping
from proxy.web.pages import Pages
from proxy.web.paths import Mirrors
from proxy.web.proxies import Proxies
from proxy.web.ready import Shelf
from proxy.web.sending import Outlet
from proxy.web.verdicts import Verdicts

if TYPE_CHECKING:
    from proxy.app.administration import Administration

KEEP_ALIVE = 75.0
"""Seconds that an idle client connection is kept, as nginx does."""

SETTLE = 2.0
"""Seconds for the work behind the last answers: a client has a file before the catalog has."""

Reload = Callable[[str | None], Settings]
"""Reads the configuration again, with mirrors made at run time as they stand in their file, or as
in that text. Raises ConfigError."""


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
        self._read_again = reload
        self._ready = False
        self._mirrors = Mirrors(settings.mirrors)
        self._mirroring: Mirroring | None = None
        self._proxies = Proxies(settings.server.trusted_proxies)
        self._certificates: list[Certificate] = []
        self._reading = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()
        # The first worker speaks for all.
        self._manager = Manager(os.environ if place.number == 0 else {})

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises StorageError and OSError at start."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with self._alive(), self._built():
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
            loop.add_signal_handler(signal.SIGHUP, self._begin_to_reload)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
            self._ready = True
            self._warn_of_offline()
            self._log.event("ready", version=__version__, worker=self._place.number)
            self._place.ready()
            self._manager.ready(f"serves {len(self._settings.mirrors)} mirrors")
            await stop.wait()
            self._ready = False
            self._manager.stopping()
            self._log.event("stopping", worker=self._place.number)
            for reload in tuple(self._reloads):
                await _ended(reload)

    @contextlib.asynccontextmanager
    async def _alive(self) -> AsyncIterator[None]:
        """While entered, the service manager is told that the event loop turns."""
        telling = asyncio.create_task(self._manager.run())
        try:
            yield
        finally:
            await _ended(telling)

    @contextlib.asynccontextmanager
    async def _built(self) -> AsyncIterator[None]:
        """Everything, from the log up to the listening socket; taken down the other way round."""
        settings, place = self._settings, self._place
        async with contextlib.AsyncExitStack() as stack:
            self._log = stack.enter_context(_log(settings))
            _bridge(stack, self._log)
            metrics = Metrics(CollectorRegistry())
            metrics.running(__version__)
            hearing = await self._hearing(stack)
            reporting = Reporting(metrics, self._log, hearing, requests=settings.log.requests)
            store = await self._store(stack, reporting)
            blobs = store.blobs
            self._shelf = Shelf(time.time, sized=metrics.ready)
            self._hits = Hits(metrics, self._log, requests=settings.log.requests)
            stack.callback(self._hits.settle)
            watched = Watched(store.catalog, self._shelf.changed)
            crew = None
            if place.size > 1:
                crew = Crew(place.number, place.size, place.meeting, blobs)
            upstream = self._upstream(stack, reporting)
            self._troubles = self._told_of(stack, upstream)
            ports = Ports(
                upstream=upstream,
                blobs=blobs,
                catalog=watched,
                team=crew or Solo(),
                ecosystems=ECOSYSTEMS,
                clock=time.time,
                events=reporting,
            )
            engine = Engine(ports, changed=self._shelf.clear)
            stack.push_async_callback(engine.aclose)
            stack.push_async_callback(_settled, engine)
            self._gateway = engine.gateway
            self._gateway.configure(settings.mirrors)
            await self._advise(stack, engine)
            warming = asyncio.create_task(engine.warming.run())
            stack.push_async_callback(_ended, warming)
            if crew is not None:
                await self._meet(stack, crew)
            noting = asyncio.create_task(note_uses(blobs, reporting.failed))
            stack.push_async_callback(_ended, noting)
            self._access = self._guarded(stack, metrics)
            if place.number == 0:
                self._tidy(stack, store, watched, metrics)
                self._mirror_ahead(stack, engine, reporting, store.root)
            self._content = self._answering(stack, reporting, watched)
            tls = self._tls(stack, settings.server)
            self._crowd, self._reporting = self._make_room(reporting), reporting
            await stack.enter_async_context(
                serving(
                    self._application(*self._pages(engine, upstream, metrics)),
                    self._door,
                    [(one, tls) for one in place.listening],
                    drain_timeout=settings.server.drain_timeout,
                )
            )
            admin = settings.admin
            if isinstance(hearing, Happenings) and admin.has_doors:
                administration = self._administration(engine, metrics, hearing)
                served_at = addresses(place.listening, settings.server.scheme)[0]
                tls = self._tls(stack, admin)
                await stack.enter_async_context(administration.listening(served_at, tls))
            yield

    async def _hearing(self, stack: contextlib.AsyncExitStack) -> Hearing:
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

    async def _store(self, stack: contextlib.AsyncExitStack, reporting: Reporting) -> Store:
        cache = self._settings.cache
        store = opened(
            cache.layers,
            spare=self._place.meeting / "spare",
            limit=cache.max_size,
            trouble=Trouble(reporting.trouble),
            on_loss=lambda what: self._log.event("catalog_loss", level=Level.ERROR, what=what),
        )
        stack.push_async_callback(store.aclose)
        if self._place.number == 0:
            left = await asyncio.to_thread(store.blobs.main.collect_leftovers)
            self._log.event("leftovers", level=Level.DEBUG, files=left)
        return store

    def _upstream(self, stack: contextlib.AsyncExitStack, reporting: Reporting) -> AiohttpUpstream:
        settings = self._settings
        self._credentials = Credentials(
            named=settings.credentials,
            auth_file=settings.auth_file,
            netrc_file=netrc_path(os.environ),
            refresh=refresh,
        )
        upstream = AiohttpUpstream(
            settings.upstream, authority=self._credentials, observer=reporting
        )
        stack.push_async_callback(upstream.aclose)
        return upstream

    def _told_of(self, stack: contextlib.AsyncExitStack, upstream: AiohttpUpstream) -> Troubles:
        """The hosts that fail, as this worker knows them and the others have written."""
        place = self._place
        troubles = Troubles(
            upstream.circuits, place.meeting, place.number, place.size, clock=time.time
        )
        stack.push_async_callback(_ended, asyncio.create_task(troubles.run()))
        return troubles

    async def _advise(self, stack: contextlib.AsyncExitStack, engine: Engine) -> None:
        """Nothing is served before what is known of it has been read. Raises ConfigError."""
        settings = self._settings.advisories
        places = places_of(settings)
        if places is None:
            return
        await engine.advising.read(places)
        looking = asyncio.create_task(engine.advising.run(places, settings.interval))
        stack.push_async_callback(_ended, looking)

    async def _meet(self, stack: contextlib.AsyncExitStack, crew: Crew) -> None:
        """Answer the siblings; on the way out let them read to the end what they asked for."""
        await crew.listen(self._open, self._refresh)
        stack.push_async_callback(crew.aclose)
        stack.push_async_callback(crew.drain, self._settings.server.drain_timeout)

    def _tidy(
        self,
        stack: contextlib.AsyncExitStack,
        store: Store,
        catalog: Watched,
        metrics: Metrics,
    ) -> None:
        pinned = PinnedMirrors(lambda: self._mirrors)
        janitor = Janitor(
            root=store.root,
            catalog=catalog,
            evictions=[Eviction(one, catalog, pinned) for one in store.written],
            keep_superseded=self._settings.cache.keep_superseded,
            clock=time.time,
            metrics=metrics,
            log=self._log,
        )
        stack.push_async_callback(_ended, asyncio.create_task(janitor.run()))

    def _mirror_ahead(
        self, stack: contextlib.AsyncExitStack, engine: Engine, reporting: Reporting, root: Path
    ) -> None:
        """What mirrors know and what is made of them stands in the first folder, *root* if it can
        be written.
        """
        house = Household(
            in_force=lambda: self._settings,
            read=self._read_again,
            take_over=self._reloaded,
            alone=self._place.size == 1,
        )
        place = self._settings.cache.path
        if root != place:
            self._log.event("mirroring_off", level=Level.WARNING, error=f"{place} is only read")
            return
        try:
            self._mirroring = Mirroring(house, engine, reporting)
        except (StorageError, OSError) as error:
            self._log.event("mirroring_off", level=Level.WARNING, error=error)
            return
        stack.push_async_callback(self._mirroring.aclose)
        self._mirroring.start()

    def _guarded(self, stack: contextlib.AsyncExitStack, metrics: Metrics) -> Access:
        """Raises StorageError and ConfigError where the file of tokens cannot be read."""
        settings = self._settings.access
        access = Access(
            time.time,
            public=settings.public,
            failures=settings.failures,
            refused=metrics.access_refused,
        )
        watch = TokenWatch(TokenFile(self._settings.token_file), access, self._log)
        watch.read()
        stack.push_async_callback(_ended, asyncio.create_task(watch.run()))
        return access

    def _answering(
        self, stack: contextlib.AsyncExitStack, reporting: Reporting, catalog: Watched
    ) -> Content:
        self._outlet = Outlet()
        stack.callback(self._outlet.close)
        return Content(
            gateway=self._gateway,
            ecosystems=ECOSYSTEMS,
            mirrors=self._mirrors,
            outlet=self._outlet,
            requests=reporting,
            keeping=Keeping(self._shelf, catalog, self._hits),
            access=self._access,
        )

    def _pages(
        self, engine: Engine, upstream: AiohttpUpstream, metrics: Metrics
    ) -> tuple[Pages, Verdicts]:
        """What is served besides the mirrors."""

        def exposition() -> bytes:
            self._hits.settle()  # who has been answered here is counted when it is looked up
            return metrics.exposition()

        pages = Pages(
            lambda: self._mirrors,
            exposition,
            lambda: self._ready,
            lambda: self._troubles,
            self._access,
        )
        verdicts = Verdicts(lambda: self._mirrors, engine.explain, self._access)
        return pages, verdicts

    def _administration(
        self, engine: Engine, metrics: Metrics, happenings: Happenings
    ) -> Administration:
        # One worker of a server has it, and that only where it has doors: for its pages and forms
        # 100 modules are imported, a tenth of a second.
        from proxy.app.administration import Administration  # noqa: PLC0415

        return Administration(
            settings=lambda: self._settings,
            mirrors=lambda: self._mirrors,
            engine=engine,
            metrics=metrics,
            happenings=happenings,
            troubles=lambda: self._troubles,
            access=self._access,
            desk=None if self._mirroring is None else self._mirroring.desk,
            log=self._log,
        )

    def _application(self, pages: Pages, verdicts: Verdicts) -> web.Application:
        proxies = self._proxies
        application = web.Application(middlewares=[proxies.middleware] if proxies else [])
        application.router.add_get("/", pages.front)
        application.router.add_get("/healthz", pages.healthz)
        application.router.add_get("/readyz", pages.readyz)
        application.router.add_get("/upstreams", pages.upstreams)
        application.router.add_get("/metrics", pages.metrics)
        application.router.add_get(verdicts.path, verdicts.explain)
        application.router.add_route("*", "/{path:.+}", self._content.handle)
        return application

    def _door(self, behind: web.Server) -> Door:
        return Door(
            behind,
            self._shelf,
            self._hits,
            self._outlet,
            crowd=self._crowd,
            proxies=self._proxies,
            failed=self._reporting.unanswered,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE,
        )

    def _make_room(self, reporting: Reporting) -> Crowd:
        """For as many clients as the system lets in; fewer than configured is told."""
        most, wanted = room(self._settings), self._settings.server.max_connections
        if most < wanted:
            self._log.event("few_connections", level=Level.WARNING, most=most, wanted=wanted)
        return Crowd(
            most,
            clock=asyncio.get_running_loop().time,
            counted=reporting.connected,
            crowded=reporting.crowded,
        )

    def _tls(
        self, stack: contextlib.AsyncExitStack, door: Server | AdminSettings
    ) -> ssl.SSLContext | None:
        """What *door* speaks TLS with. Raises ConfigError where certificate and key do not fit."""
        if door.tls_certificate is None or door.tls_key is None:
            return None
        certificate = Certificate(door.tls_certificate, door.tls_key)
        self._certificates.append(certificate)
        watching = asyncio.create_task(certificate.run(self._log))
        stack.push_async_callback(_ended, watching)
        return certificate.context

    # -- what siblings ask ---------------------------------------------------------------

    async def _open(self, resource: Resource, want: Want) -> Answer:
        return await self._gateway.open(resource, self._mirror(resource), want)

    async def _refresh(self, resource: Resource) -> None:
        await self._gateway.refresh(resource, self._mirror(resource))

    def _mirror(self, resource: Resource) -> Mirror:
        mirror = self._mirrors.get(resource.mirror)
        if mirror is None:
            raise UnknownMirror(f"no mirror {resource.mirror} is served (any more)")
        return mirror

    # -- what the operator asks, and is told ---------------------------------------------

    def _warn_of_offline(self) -> None:
        offline = [mirror.key for mirror in self._mirrors if mirror.offline]
        if offline:
            self._log.event("offline", level=Level.WARNING, mirrors=",".join(offline))

    def _begin_to_reload(self) -> asyncio.Task[None]:
        reload = asyncio.get_running_loop().create_task(self._reload())
        self._reloads.add(reload)
        reload.add_done_callback(self._reloads.discard)
        return reload

    async def _reloaded(self) -> None:
        """Reload, to the end even if whoever waits for it leaves."""
        await asyncio.shield(self._begin_to_reload())

    async def _reload(self) -> None:
        """Take over a changed configuration; a bad one changes nothing and says why.

        Clients do not wait while it is read: an index is looked up, policies may need libraries.
        """
        async with self._reading:
            self._manager.reloading()
            for certificate in self._certificates:
                certificate.look(self._log)
            try:
                self._take_over(await asyncio.to_thread(self._read_again, None))
            except ConfigError as error:
                self._log.event("reload_failed", level=Level.ERROR, error=error)
            self._manager.ready(f"serves {len(self._settings.mirrors)} mirrors")

    def _take_over(self, settings: Settings) -> None:
        old = self._settings
        for name in ("server", "cache", "upstream", "log", "admin"):
            if getattr(settings, name) != getattr(old, name):
                self._log.event("reload_needs_restart", level=Level.WARNING, section=name)
        if settings.token_file != old.token_file:
            self._log.event("reload_needs_restart", level=Level.WARNING, section="access.tokens")
        self._settings = settings
        self._access.configure(settings.access.public, settings.access.failures)
        self._mirrors = Mirrors(settings.mirrors)
        self._content.mirrors = self._mirrors
        self._gateway.configure(settings.mirrors)
        self._credentials.configure(named=settings.credentials, auth_file=settings.auth_file)
        if self._mirroring is not None:
            self._mirroring.schedule.configure(settings.mirrors)
        self._warn_of_offline()
        self._log.event("reloaded", mirrors=len(settings.mirrors))


def _log(settings: Settings) -> Log:
    level = Level[settings.log.level.upper()]
    return Log(sys.stderr.buffer, style=Style(settings.log.format), level=level)


def _bridge(stack: contextlib.AsyncExitStack, log: Log) -> None:
    """What libraries log becomes lines like all others, also what a client made them log."""
    bridge = Bridge(log)
    logging.getLogger().addHandler(bridge)
    stack.callback(logging.getLogger().removeHandler, bridge)


async def _settled(engine: Engine) -> None:
    """Have what clients got a moment ago written down; what still comes is given up."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SETTLE):
            await engine.drain(SETTLE)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
