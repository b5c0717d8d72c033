"""Where clients come in: who is let in, what they are given, and how they are listened for."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from aiohttp import web

from proxy.app.beside import beside
from proxy.app.certificate import Certificates
from proxy.app.hits import Hits
from proxy.app.in_force import InForce
from proxy.app.reporting import Reporting
from proxy.app.room import room
from proxy.app.serving import serving
from proxy.app.token_watch import TokenWatch
from proxy.config import Settings
from proxy.ecosystems import ECOSYSTEMS
from proxy.gateway.basis import Watched
from proxy.gateway.engine import Engine
from proxy.observe.log import Level, Log
from proxy.observe.metrics import Metrics
from proxy.storage.token_file import TokenFile
from proxy.upstream.circuits import Trouble
from proxy.web.access import Access
from proxy.web.content import Content
from proxy.web.crowd import Crowd
from proxy.web.door import Door
from proxy.web.keeping import Keeping
from proxy.web.pages import Pages
from proxy.web.proxies import Proxies
from proxy.web.ready import Shelf
from proxy.web.sending import Outlet
from proxy.web.verdicts import Verdicts

KEEP_ALIVE = 75.0
"""Seconds that an idle client connection is kept, as nginx does."""


class Reception:
    """That of one worker, put together; open while `listening` is entered."""

    def __init__(
        self,
        stack: AsyncExitStack,
        in_force: InForce,
        engine: Engine,
        *,
        shelf: Shelf,
        catalog: Watched,
        metrics: Metrics,
        reporting: Reporting,
        log: Log,
        certificates: Certificates,
        troubles: Callable[[], Iterable[Trouble]],
    ) -> None:
        """What it opens is closed when *stack* is taken down; *catalog* is what *shelf* rests on.

        Raises StorageError and ConfigError where the file of tokens cannot be read, and ConfigError
        where a certificate cannot be used.
        """
        server = in_force.settings.server
        self._in_force = in_force
        self._engine = engine
        self._metrics = metrics
        self._reporting = reporting
        self._shelf = shelf
        self._troubles = troubles
        self._drain_timeout = server.drain_timeout
        self._hits = Hits(metrics, log, requests=in_force.settings.log.requests)
        stack.callback(self._hits.settle)
        self._outlet = Outlet()
        stack.callback(self._outlet.close)
        self.access = _guarded(stack, in_force, metrics, log)
        self._content = Content(
            gateway=engine.gateway,
            ecosystems=ECOSYSTEMS,
            mirrors=in_force.mirrors,
            outlet=self._outlet,
            requests=reporting,
            keeping=Keeping(shelf, catalog, self._hits),
            access=self.access,
        )
        self._proxies = Proxies(server.trusted_proxies)
        self._crowd = _crowd(in_force.settings, reporting, log)
        self._tls = certificates.context(stack, server)
        in_force.followed_by(self._configure)
        self.is_ready = False

    def listening(self, sockets: Sequence[socket.socket]) -> AbstractAsyncContextManager[None]:
        """Answer while entered; on the way out let requests that are under way end."""
        return serving(
            self._application(),
            self._door,
            [(one, self._tls) for one in sockets],
            drain_timeout=self._drain_timeout,
        )

    def _application(self) -> web.Application:
        in_force, proxies = self._in_force, self._proxies
        pages = Pages(
            lambda: in_force.mirrors,
            self._exposition,
            lambda: self.is_ready,
            self._troubles,
            self.access,
        )
        verdicts = Verdicts(lambda: in_force.mirrors, self._engine.explain, self.access)
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

    def _exposition(self) -> bytes:
        self._hits.settle()  # who has been answered here is counted when it is looked up
        return self._metrics.exposition()

    def _configure(self, settings: Settings) -> None:
        self.access.configure(settings.access.public, settings.access.failures)
        self._content.mirrors = self._in_force.mirrors


def _guarded(stack: AsyncExitStack, in_force: InForce, metrics: Metrics, log: Log) -> Access:
    """Raises StorageError and ConfigError where the file of tokens cannot be read."""
    settings = in_force.settings.access
    access = Access(
        time.time,
        public=settings.public,
        failures=settings.failures,
        refused=metrics.access_refused,
    )
    watch = TokenWatch(TokenFile(in_force.settings.token_file), access, log)
    watch.read()
    beside(stack, watch.run())
    return access


def _crowd(settings: Settings, reporting: Reporting, log: Log) -> Crowd:
    """For as many clients as the system lets in; fewer than configured is told."""
    most, wanted = room(settings), settings.server.max_connections
    if most < wanted:
        log.event("few_connections", level=Level.WARNING, most=most, wanted=wanted)
    return Crowd(
        most,
        clock=asyncio.get_running_loop().time,
        counted=reporting.connected,
        crowded=reporting.crowded,
    )
