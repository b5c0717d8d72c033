"""Requests for files: from a path to bytes on the socket.

This is the hot path. It splits the path, negotiates the form, asks the gateway for an answer,
decides by the client's conditions and ranges what of it to send, and sends it. It reads no
body and knows no ecosystem by name.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from aiohttp import hdrs, web

from proxy.core.conditional import (
    Decision,
    NotModified,
    Part,
    Parts,
    PreconditionFailed,
    Representation,
    Unsatisfiable,
    Whole,
    decide,
    plan_multipart,
)
from proxy.core.model import Mirror
from proxy.ecosystems.base import Ecosystem
from proxy.errors import (
    MethodNotAllowed,
    ProxyError,
    StorageError,
)
from proxy.gateway.answer import Answer, Nothing, Passing, Slice
from proxy.gateway.basis import gathered
from proxy.gateway.fill import HELD_BACK, Growing
from proxy.gateway.gateway import Gateway
from proxy.gateway.resuming import within
from proxy.web.access import ANYBODY, Access
from proxy.web.asking import wanted
from proxy.web.errors import SERVER, explained, problem
from proxy.web.exchange import (
    CLIENT_LEFT,
    Exchange,
    begun,
    empty,
    heading,
    led,
    private,
    redirect,
    small,
    status_of,
)
from proxy.web.keeping import Given, Keeping
from proxy.web.paths import Asked, Mirrors
from proxy.web.sending import SMALL, Outlet, Way

_OPEN_END = sys.maxsize


class Requests(Protocol):
    """Hears of every request that is over."""

    def finished(self, exchange: Exchange, seconds: float) -> None: ...
    def crashed(self, exchange: Exchange, error: Exception) -> None: ...


class Content:
    """The handler of everything below `/<type>/`."""

    def __init__(
        self,
        *,
        gateway: Gateway,
        ecosystems: Mapping[str, Ecosystem],
        mirrors: Mirrors,
        outlet: Outlet,
        requests: Requests,
        keeping: Keeping | None = None,
        access: Access,
    ) -> None:
        """*keeping*: what is told of answers that may be given again; None: nobody."""
        self._keeping = keeping
        self._gateway = gateway
        self._ecosystems = ecosystems
        self._outlet = outlet
        self._requests = requests
        self._access = access
        self.mirrors = mirrors

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, whatever happens, and have it recorded."""
        asked = self.mirrors.find(request.path)
        exchange = Exchange(
            method=request.method,
            path=asked.shown,
            started=time.perf_counter(),
            client=request.remote or "",
            agent=request.headers.get("User-Agent", ""),
        )
        try:
            response = await self._answered(request, asked, exchange)
        except ProxyError as error:
            response = await self._failed(request, exchange, error)
        except (ConnectionError, TimeoutError):
            exchange.status = CLIENT_LEFT
            _abort(request)
            response = exchange.response or web.Response(status=400)
        except Exception as error:  # noqa: BLE001 - the supervisor of this request
            self._requests.crashed(exchange, error)
            response = await self._failed(request, exchange, ProxyError("internal error"))
        except BaseException:  # cancelled: the client has left, or the server is stopping
            if exchange.meter.sent != exchange.promised:
                exchange.status = CLIENT_LEFT
            self._requests.finished(exchange, time.perf_counter() - exchange.started)
            raise
        self._requests.finished(exchange, time.perf_counter() - exchange.started)
        return response

    async def _answered(
        self, request: web.Request, asked: Asked, exchange: Exchange
    ) -> web.StreamResponse:
        mirror = self._admitted(request, asked, exchange)
        ecosystem = self._ecosystems[mirror.type]
        canonical = ecosystem.canonical(asked.path)
        if canonical is not None:
            return redirect(request, asked.path, canonical, exchange)
        resource = ecosystem.classify(mirror.key, asked.path)
        want, vary = wanted(request, resource)
        # What was for one client only is not given again unasked.
        keeping = None if exchange.is_private else self._keeping
        mark = None if keeping is None else keeping.mark(mirror.key)
        with gathered() as basis:
            answer = await self._gateway.open(resource, mirror, want)
        try:
            answer.vary = (*answer.vary, *vary)
            if exchange.is_private:
                answer.cache_control = private(answer.cache_control)
            response = await self._sent(request, answer, exchange)
            if keeping is not None and mark is not None:
                given = Given(
                    request=request,
                    path=exchange.path,
                    response=response,
                    resource=resource,
                    answer=answer,
                    span=exchange.span,
                    sent=exchange.meter.sent,
                )
                await keeping.keep(given, basis, mark)
            return response
        finally:
            await answer.close()

    def _admitted(self, request: web.Request, asked: Asked, exchange: Exchange) -> Mirror:
        """The mirror, where whoever asks may read it. Raises what `Access.reader` does, and
        MethodNotAllowed.
        """
        exchange.is_private = not self._access.is_open
        exchange.visitor = self._access.reader(asked, request)
        mirror = asked.mirror
        assert mirror is not None
        exchange.is_private = exchange.visitor is not ANYBODY
        exchange.mirror = mirror.key
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            raise MethodNotAllowed(f"{request.method} does not read a mirror; use GET or HEAD")
        return mirror

    async def _sent(
        self, request: web.Request, answer: Answer, exchange: Exchange
    ) -> web.StreamResponse:
        representation = Representation(
            etag=answer.etag, last_modified=answer.last_modified, length=answer.length
        )
        if answer.content_range is not None:
            decision: Decision = Whole()
        else:
            decision = decide(request.method, request.headers, representation)
        exchange.cache = answer.status
        headers = heading(answer)
        match decision:
            case NotModified():
                return empty(304, headers, exchange)
            case PreconditionFailed():
                return empty(412, headers, exchange)
            case Unsatisfiable():
                headers["Content-Range"] = decision.content_range
                return empty(416, headers, exchange)
            case Parts() if isinstance(answer.body, Slice) and answer.length is not None:
                return await self._multipart(request, answer, decision, headers, exchange)
            case Part() if answer.length is not None:
                headers["Content-Range"] = decision.content_range(answer.length)
                span = range(decision.first, decision.last + 1)
                return await self._span(request, answer, headers, span, exchange)
            case _:
                end = _OPEN_END if answer.length is None else answer.length
                return await self._span(request, answer, headers, range(end), exchange)

    async def _span(
        self,
        request: web.Request,
        answer: Answer,
        headers: dict[str, str],
        span: range,
        exchange: Exchange,
    ) -> web.StreamResponse:
        """Send the bytes in *span* of the body, under these headers."""
        exchange.span = span
        status = 206 if "Content-Range" in headers else 200
        headers["Content-Type"] = answer.media_type
        known = span.stop != _OPEN_END
        if known:
            headers["Content-Length"] = str(len(span))
        body = answer.body
        if request.method == hdrs.METH_HEAD or isinstance(body, Nothing):
            return empty(status, headers, exchange, keep_length=known)
        if isinstance(body, Slice) and len(span) <= SMALL:
            piece = os.pread(body.blob.fileno(), len(span), body.start + span.start)
            return await small(request, status, headers, piece, exchange)
        is_short = answer.length is not None and 0 < answer.length <= HELD_BACK
        if is_short and not isinstance(body, Slice | Passing):
            landed = await _landed(body, span)
            if landed is not None:
                return await small(request, status, headers, landed, exchange)
        exchange.promised = len(span) if known else None
        way = await begun(request, status, headers, exchange, chunked=not known)
        match body:
            case Slice(blob=blob, start=start):
                where = range(start + span.start, start + span.stop)
                await self._outlet.file(way, blob.fileno(), where)
            case Passing(chunks=chunks):
                # Upstream may have sent all of what a range was asked of.
                await _passed(way, within(chunks, span))
            case _:
                await self._grown(way, answer, body, span)
        await way.response.write_eof()
        return way.response

    async def _grown(self, way: Way, answer: Answer, body: Growing, span: range) -> None:
        """Send of a body while it is stored, and past the store where that fails."""
        try:
            await self._outlet.growing(way, body, span)
        except StorageError:
            if answer.rest is None:
                raise
            offset = span.start + way.meter.sent
            async with answer.rest(offset) as chunks:
                await _passed(way, within(chunks, range(span.stop - offset)))

    async def _multipart(
        self,
        request: web.Request,
        answer: Answer,
        parts: Parts,
        headers: dict[str, str],
        exchange: Exchange,
    ) -> web.StreamResponse:
        """Several ranges in one body (RFC 9110 section 14.6)."""
        assert isinstance(answer.body, Slice)
        assert answer.length is not None
        plan = plan_multipart(
            parts.ranges,
            length=answer.length,
            media_type=answer.media_type,
            boundary=secrets.token_hex(16),
        )
        headers["Content-Type"] = plan.content_type
        headers["Content-Length"] = str(plan.content_length)
        way = await begun(request, 206, headers, exchange, chunked=False)
        descriptor, start = answer.body.blob.fileno(), answer.body.start
        for header, part in plan.parts:
            await way.response.write(header)
            span = range(start + part.first, start + part.last + 1)
            await self._outlet.file(way, descriptor, span)
        await way.response.write(plan.closing)
        await way.response.write_eof()
        return way.response

    async def _failed(
        self, request: web.Request, exchange: Exchange, error: ProxyError
    ) -> web.StreamResponse:
        """Say what went wrong; if the body is on its way already, end it short."""
        exchange.error = error
        if exchange.response is not None:
            _abort(request)
            return exchange.response
        ecosystem = exchange.mirror.partition("/")[0]
        told = problem(error, ecosystem=ecosystem)
        where = explained(error, ecosystem=ecosystem, agent=exchange.agent)
        if where is not None and not request.query_string:
            return led(where, error, exchange)
        exchange.status = told.status
        exchange.cache = status_of(error)
        kept = told.headers["Cache-Control"]
        response = web.Response(
            status=told.status,
            reason=told.reason,
            body=told.body,
            headers={
                **told.headers,
                "Cache-Control": private(kept) if exchange.is_private else kept,
                "Content-Type": "application/problem+json",
                "Cache-Status": str(exchange.cache),
                "Server": SERVER,
            },
        )
        exchange.meter.sent = len(told.body)
        return response


async def _landed(body: Growing, span: range) -> bytes | None:
    """What *span* names of a body so short that it is released as a whole: it needs no head that
    goes ahead, and where it fails the client can be told why. None: the store failed.
    """
    try:
        await body.wait_past(span.stop - 1)
    except StorageError:
        return None
    piece = os.pread(body.fileno(), len(span), span.start)  # just written, so that it is in memory
    return piece if len(piece) == len(span) else None


async def _passed(way: Way, chunks: AsyncIterator[bytes]) -> None:
    async for chunk in chunks:
        await way.response.write(chunk)
        way.meter.sent += len(chunk)


def _abort(request: web.Request) -> None:
    """End the connection without the end of the body: the client must see that it is short."""
    if request.transport is not None:
        request.transport.abort()
