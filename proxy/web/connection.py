"""aiohttp's side of a connection, but for what it says and logs of requests that make no sense.

It would repeat the bytes that it could not read, a header with a credential among them, in its
answer and in several lines of the log. Here the answer is one of ours, and whoever listens hears
from whom it came and nothing of what it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web

from proxy.errors import MethodNotAllowed, ProxyError, RequestError, UnknownPath
from proxy.web.crowd import Crowd, cut_short, turn_away
from proxy.web.errors import refusal

LONGEST_HEAD = 64 << 10
"""Bytes of a request's head: real ones stay below a tenth, and each connection may hold half of one
in memory. aiohttp's own bounds, of a line and of their number, come to a megabyte."""

Failed = Callable[[str, int, BaseException | None], None]
"""Hears the client's address, the status that it got, and our own failure where it was one."""


class Connection(web.RequestHandler):
    """One connection."""

    __slots__ = ("_crowd", "_half", "_tell_failed")

    def __init__(
        self,
        server: web.Server,
        *,
        crowd: Crowd | None = None,
        failed: Failed | None = None,
        **rest: Any,
    ) -> None:
        """It is one of the *crowd*. *rest* is what aiohttp's own takes."""
        # Bodies are of no use here, or JSON: nobody is to have them unpacked.
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, auto_decompress=False, **rest)
        self._crowd = crowd
        self._half = 0  # bytes of a head that has not come to its end
        self._tell_failed = failed

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.idle_since is None:
            self._half = 0
        elif self._half + len(data) > LONGEST_HEAD:
            self._cut_short()
        else:
            self._half += len(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._crowd is None or self._crowd.admit(self):
            super().connection_made(transport)
        else:
            turn_away(cast("asyncio.Transport", transport), self._crowd)

    @property
    def idle_since(self) -> float | None:
        """See `Guest`. Half a request is none."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            return None
        return self._next_keepalive_close_time - self._keepalive_timeout

    def leave(self) -> None:
        """See `Guest`."""
        self.force_close()

    def _cut_short(self) -> None:
        """Have the connection taken over by who says that there is no end to the head."""
        transport, self.transport = self.transport, None
        if transport is None:
            return
        if self._tell_failed is not None:
            peer = transport.get_extra_info("peername")
            self._tell_failed(peer[0] if isinstance(peer, tuple) else "", 431, None)
        self.connection_lost(None)  # to aiohttp it is over
        cut_short(transport, LONGEST_HEAD)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._crowd is not None:
            self._crowd.left(self)
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send *resp*; what aiohttp says where no handler is meant, in our words."""
        if isinstance(resp, web.HTTPNotFound):
            resp = refusal(UnknownPath("there is nothing here"))
        elif isinstance(resp, web.HTTPMethodNotAllowed):
            resp = refusal(MethodNotAllowed("this can only be read"))
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be read, or that no handler coped with."""
        is_ours = status >= 500
        if self._tell_failed is not None:
            self._tell_failed(request.remote or "", status, exc if is_ours else None)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun, and cannot become another one")
        error = ProxyError("internal error") if is_ours else RequestError("this is no request")
        response = refusal(error)
        response.force_close()
        return response
