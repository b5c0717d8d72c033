"""The administration of a running server: put together, and listened for at its own doors."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from urllib.parse import urlsplit

from aiohttp import web

from proxy.app.listening import addresses, unix
from proxy.app.prefetching import prefetches
from proxy.app.relaying import Relay
from proxy.app.serving import serving
from proxy.app.supervisor import bind
from proxy.app.verifying import Verifying
from proxy.config import Settings
from proxy.config.admin import Address, AdminSettings
from proxy.core.policy import Policy
from proxy.core.tokens import Action, Token
from proxy.errors import ConfigError
from proxy.gateway.engine import Engine
from proxy.gateway.upkeep import Upkeep
from proxy.mirror import port
from proxy.observe.happenings import Happenings
from proxy.observe.history import History
from proxy.observe.log import Log
from proxy.observe.metrics import Metrics
from proxy.storage.token_file import TokenFile
from proxy.upstream.circuits import Trouble
from proxy.web.access import Access
from proxy.web.admin.application import application
from proxy.web.admin.cache import CacheDesk
from proxy.web.admin.guard import Guard
from proxy.web.admin.mirror_pages import MirrorPages
from proxy.web.admin.mirrors import MirrorDesk
from proxy.web.admin.overview import Watch
from proxy.web.admin.pages import AdminPages
from proxy.web.admin.policies import PolicyDesk
from proxy.web.admin.policy_pages import PolicyPages
from proxy.web.admin.prefetch import PrefetchDesk
from proxy.web.admin.shell import Shell
from proxy.web.admin.tokens import TokenDesk
from proxy.web.connection import Connection
from proxy.web.crowd import Crowd
from proxy.web.paths import Mirrors

MOST = 256
"""Connections, idle ones among them: a browser keeps half a dozen."""

KEEP_ALIVE = 75.0
"""Seconds that an idle one is kept, as clients' are."""

SHUTDOWN = 2.0
"""Seconds that requests have to end when the server stops: all of them are short."""

_ANY = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound to


class Administration:
    """Built by the first worker, which alone has it."""

    def __init__(
        self,
        *,
        settings: Callable[[], Settings],
        mirrors: Callable[[], Mirrors],
        engine: Engine,
        metrics: Metrics,
        happenings: Happenings,
        troubles: Callable[[], Iterable[Trouble]],
        desk: port.Mirrors | None,
        access: Access,
        log: Log,
    ) -> None:
        """*desk*: None where the cache cannot be written, and nothing made or run."""
        ports, clock = engine.ports, engine.ports.clock
        self._admin = settings().admin
        self._happenings = happenings
        self._log = log
        self._history = History(metrics.families, clock)

        def holds(text: str) -> bool:
            token = access.tokens.find(text, clock())
            return token is not None and token.allows(Action.ADMIN, "")

        guard = Guard(self._admin.token, clock, hosts=_names(self._admin), holds=holds)

        def in_force(key: str) -> Policy | None:
            return engine.contexts.of(key).policy

        events = _no_events if desk is None else desk.events
        watch = Watch(self._history, happenings, mirrors, clock(), events=events, troubles=troubles)
        policies = PolicyDesk(
            policies=lambda: settings().policies,
            mirrors=mirrors,
            ask=engine.explain,
            families=metrics.families,
            advised=lambda: settings().advisories.osv is not None,
        )
        cache = CacheDesk(
            Upkeep(ports.catalog, ports.blobs), mirrors, Verifying(settings().cache).run
        )
        tokens = TokenDesk(
            TokenFile(settings().token_file),
            clock,
            # A socket alone is for those whom its file's mode lets in.
            may_change=guard.asks or self._admin.listen is None,
            told=self._token_told,
        )
        shell = Shell(guard, has_mirrors=desk is not None)
        operations = [*watch.operations(), *cache.operations(), *policies.operations()]
        operations += tokens.operations()
        pages = AdminPages(
            shell, guard, watch=watch, mirrors=mirrors, address=self._address
        ).routes()
        pages += PolicyPages(shell, guard, policies=policies, mirrors=mirrors).routes()
        self._prefetches = prefetches(engine, settings, Relay(metrics, happenings))
        if desk is not None:
            operations += MirrorDesk(desk).operations()
            operations += PrefetchDesk(self._prefetches).operations()
            pages += MirrorPages(
                shell,
                guard,
                mirrors=desk,
                policy_desk=policies,
                policies=lambda: settings().policies,
                in_force=in_force,
            ).routes()
        self._served_at = ""
        self._crowd = Crowd(MOST, clock=asyncio.get_running_loop().time)
        self._application = application(
            guard=guard,
            operations=operations,
            pages=pages,
            shell=shell,
            happenings=happenings,
            crashed=lambda path, error: log.crash("admin_crashed", error, path=path),
        )

    @contextlib.asynccontextmanager
    async def listening(self, served_at: str, tls: ssl.SSLContext | None) -> AsyncIterator[None]:
        """Answer while entered; clients are served at *served_at*.

        Over TCP with *tls*, where there is one. Raises ConfigError.
        """
        self._served_at = served_at
        sampling = asyncio.create_task(self._history.run())
        doors = self._doors(tls)
        try:
            async with serving(self._application, self._connection, doors, drain_timeout=SHUTDOWN):
                for door, context in doors:
                    (at,) = addresses([door], "http" if context is None else "https")
                    self._log.event("administration", at=at)
                yield
                await self._prefetches.aclose()  # which ends the streams about them
        finally:
            sampling.cancel()
            await asyncio.gather(sampling, return_exceptions=True)
            if self._admin.socket is not None:
                self._admin.socket.unlink(missing_ok=True)

    def _doors(
        self, tls: ssl.SSLContext | None
    ) -> list[tuple[socket.socket, ssl.SSLContext | None]]:
        """Raises ConfigError."""
        doors: list[tuple[socket.socket, ssl.SSLContext | None]] = []
        if self._admin.listen is not None:
            doors.append((_tcp(self._admin.listen), tls))
        if self._admin.socket is not None:
            doors.append((unix(self._admin.socket, "admin.socket"), None))
        return doors

    def _connection(self, behind: web.Server) -> Connection:
        return Connection(
            behind,
            crowd=self._crowd,
            failed=self._unanswered,
            access_log=None,
            keepalive_timeout=KEEP_ALIVE,
        )

    def _unanswered(self, client: str, status: int, error: BaseException | None) -> None:
        """A request was not one, or *error* came of it that nobody foresaw."""
        if error is None:
            self._log.event("bad_request", client=client, status=status)
        else:
            self._log.crash("admin_crashed", error, client=client)

    def _token_told(self, what: str, token: Token) -> None:
        scopes = " ".join(str(scope) for scope in token.scopes)
        self._log.event(what, name=token.name, scopes=scopes)

    def _address(self, asked: str) -> str:
        """Where clients reach the server: if at any address, then at the one *asked* for here."""
        parts = urlsplit(self._served_at)
        if not asked or parts.hostname not in _ANY:
            return self._served_at
        name = f"[{asked}]" if ":" in asked else asked
        return f"{parts.scheme}://{name}:{parts.port}"


async def _no_events() -> AsyncIterator[port.Event]:
    """Those of no mirrors: none, ever."""
    return
    yield


def _names(admin: AdminSettings) -> frozenset[str]:
    return frozenset() if admin.listen is None else frozenset({admin.listen.host})


def _tcp(listen: Address) -> socket.socket:
    """A socket at that address. Raises ConfigError."""
    try:
        return bind(listen.host, listen.port, shared=False)
    except OSError as error:
        problem = f"admin.listen: cannot listen on {listen}: {error.strerror or error}"
        raise ConfigError(problem) from error
