"""The mirrors served within this machine to this very process, which asks as a client does.

Solvers and resolvers speak HTTP. They get a port of their own on the loopback interface, and a
token that is made up for the occasion: whatever the configuration says of access, addresses and
certificates is for clients, and what is asked here is not counted as theirs.
"""

from __future__ import annotations

import contextlib
import secrets
import string
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

from aiohttp import web

from proxy.app.apart import Inside
from proxy.app.supervisor import bind
from proxy.core.model import Mirror
from proxy.core.tokens import (
    ID_LENGTH,
    SECRET_LENGTH,
    Action,
    Scope,
    Token,
    Tokens,
    hashed,
    spelt,
)
from proxy.ecosystems import ECOSYSTEMS
from proxy.observe.log import Log
from proxy.web.access import Access
from proxy.web.content import Content
from proxy.web.exchange import Exchange
from proxy.web.pages import Pages
from proxy.web.paths import Mirrors
from proxy.web.sending import Outlet
from proxy.web.verdicts import Verdicts

HOST = "127.0.0.1"

_KINDS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Indoors:
    """Where the mirrors are to be had, and the token that lets in there."""

    url: str
    token: str = field(repr=False)


class _Unheard:
    """Requests that are nobody's; only our own mistakes are told."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def finished(self, exchange: Exchange, seconds: float) -> None: ...

    def crashed(self, exchange: Exchange, error: Exception) -> None:
        self._log.crash("request_crashed", error, path=exchange.path)


@contextlib.asynccontextmanager
async def indoors(within: Inside, configured: Iterable[Mirror]) -> AsyncIterator[Indoors]:
    """Serve the mirrors while entered. Raises OSError."""
    text, token = _minted()
    outlet = Outlet()
    access = Access(time.time, public=(), tokens=Tokens([token]))
    runner = web.AppRunner(
        _application(within, Mirrors(tuple(configured)), access, outlet),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=0,
        handler_cancellation=True,
    )
    await runner.setup()
    try:
        site = web.SockSite(runner, bind(HOST, 0, shared=False))
        await site.start()
        port = runner.addresses[0][1]
        yield Indoors(url=f"http://{HOST}:{port}", token=text)
    finally:
        await runner.cleanup()
        outlet.close()


def _application(
    within: Inside, mirrors: Mirrors, access: Access, outlet: Outlet
) -> web.Application:
    engine = within.engine
    known: Callable[[], Mirrors] = lambda: mirrors  # noqa: E731 - given to two
    pages = Pages(known, lambda: b"", lambda: True, tuple, access)
    verdicts = Verdicts(known, engine.explain, access)
    content = Content(
        gateway=engine.gateway,
        ecosystems=ECOSYSTEMS,
        mirrors=mirrors,
        outlet=outlet,
        requests=_Unheard(within.log),
        access=access,
    )
    made = web.Application()
    made.router.add_get("/", pages.front)
    made.router.add_get(verdicts.path, verdicts.explain)
    made.router.add_get("/{path:.+}", content.handle)
    return made


def _minted() -> tuple[str, Token]:
    """A token that may read everything, for as long as this process lives."""
    id_ = _random(ID_LENGTH)
    text = spelt(id_, _random(SECRET_LENGTH))
    scopes = (Scope(action=Action.READ),)
    token = Token(name="indoors", id=id_, digest=hashed(text), scopes=scopes, created=time.time())
    return text, token


def _random(length: int) -> str:
    return "".join(secrets.choice(_KINDS) for _ in range(length))
