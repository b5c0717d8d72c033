"""aiohttp's side of a connection, but for what it says and logs of requests that make no sense.

It would repeat the bytes that it could not read, a header with a credential among them, in its
answer and in several lines of the log. Here the answer is one of ours, and whoever listens hears
from whom it came and nothing of what it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from proxy.errors import ProxyError, RequestError
from proxy.web.errors import refusal

Failed = Callable[[str, int, BaseException | None], None]
"""Hears the client's address, the status that it got, and our own failure where it was one."""


class Connection(web.RequestHandler):
    """One connection."""

    __slots__ = ("_tell_failed",)

    def __init__(self, server: web.Server, *, failed: Failed | None = None, **rest: Any) -> None:
        """*rest* is what aiohttp's own takes."""
        super().__init__(server, loop=asyncio.get_running_loop(), **rest)
        self._tell_failed = failed

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
