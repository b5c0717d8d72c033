"""Requests come in: doors on every socket, and what is behind them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence

from aiohttp import web

from proxy.web.connection import Connection

BACKLOG = 1024
"""Connections that the kernel may hold for us: a herd of installs starts all at once."""

HANDSHAKE = 10.0
"""Seconds for TLS to begin: until then a connection is none that could be counted."""


@contextlib.asynccontextmanager
async def serving(
    application: web.Application,
    door: Callable[[web.Server], Connection],
    listening: Sequence[tuple[socket.socket, ssl.SSLContext | None]],
    *,
    drain_timeout: float,
) -> AsyncIterator[None]:
    """Accept requests on sockets, over TLS where a context is beside one; on the way out stop
    accepting and let the last ones end.
    """
    runner = web.AppRunner(
        application,
        handle_signals=False,
        shutdown_timeout=drain_timeout,
        handler_cancellation=True,
    )
    await runner.setup()
    behind = runner.server
    assert behind is not None
    loop = asyncio.get_running_loop()
    servers: list[asyncio.Server] = []
    try:
        for one, tls in listening:
            make = loop.create_server
            if one.family == socket.AF_UNIX:
                make = loop.create_unix_server  # type: ignore[assignment]
            server = await make(
                lambda: door(behind),
                sock=one,
                backlog=BACKLOG,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else HANDSHAKE,
            )
            servers.append(server)
        yield
    finally:
        for server in servers:
            server.close()
        await runner.cleanup()
