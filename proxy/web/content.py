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
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import quote

from aiohttp import HttpVersion11, hdrs, web

from proxy.core.cache_status import CacheStatus
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
from proxy.core.http_date import format_http_date
from proxy.core.model import Artifact, Form, Index, Plain, Resource
from proxy.core.negotiation import choose, choose_coding
from proxy.core.r_agent import USER_AGENT
from proxy.ecosystems.base import Ecosystem
from proxy.ecosystems.paths import checked
from proxy.errors import (
    Denied,
    MethodNotAllowed,
    ProxyError,
    UnknownPath,
    UpstreamError,
    UpstreamMissing,
)
from proxy.gateway.answer import Answer, Nothing, Passing, Slice, Want
from proxy.gateway.basis import gathered
from proxy.gateway.gateway import Gateway
from proxy.gateway.render import CODINGS
from proxy.web.access import ANYBODY, Access, Visitor
from proxy.web.errors import SERVER, explained, problem
from proxy.web.keeping import Given, Keeping
from proxy.web.paths import Asked, Mirrors
from proxy.web.sending import SMALL, Meter, Outlet, Way

CLIENT_LEFT = 499
"""nginx's word, in logs and metrics only, for a client that closed before it was answered."""

_OPEN_END = sys.maxsize


@dataclass(slots=True)
class Exchange:
    """What is known of one request when it is over."""

    method: str
    path: str  # without a token
    started: float  # perf_counter
    mirror: str = ""
    visitor: Visitor = ANYBODY
    is_private: bool = False  # whether the answer is for this client only
    status: int = 0
    promised: int | None = None  # body bytes that the headers announced
    meter: Meter = field(default_factory=Meter)
    first_byte: float = 0.0  # seconds from the start, 0 if nothing was sent
    cache: CacheStatus | None = None
    client: str = ""
    agent: str = ""
    error: ProxyError | None = None
    response: web.StreamResponse | None = None
    span: range | None = None  # what of the body is sent


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
        exchange.is_private = not self._access.is_open
        exchange.visitor = self._access.reader(asked, request)
        mirror = asked.mirror
        assert mirror is not None
        exchange.is_private = exchange.visitor is not ANYBODY
        exchange.mirror = mirror.key
        if request.method not in (hdrs.METH_GET, hdrs.METH_HEAD):
            raise MethodNotAllowed(f"{request.method} does not read a mirror; use GET or HEAD")
        ecosystem = self._ecosystems[mirror.type]
        canonical = ecosystem.canonical(asked.path)
        if canonical is not None:
            return _redirect(request, asked.path, canonical, exchange)
        resource = ecosystem.classify(mirror.key, asked.path)
        want, vary = _wanted(request, resource)
        # What was for one client only is not given again unasked.
        keeping = None if exchange.is_private else self._keeping
        mark = None if keeping is None else keeping.mark(mirror.key)
        with gathered() as basis:
            answer = await self._gateway.open(resource, mirror, want)
        if exchange.is_private:
            answer.cache_control = _private(answer.cache_control)
        try:
            answer.vary = (*answer.vary, *vary)
            exchange.cache = answer.status
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
        headers = _headers(answer)
        match decision:
            case NotModified():
                return _empty(304, headers, exchange)
            case PreconditionFailed():
                return _empty(412, headers, exchange)
            case Unsatisfiable():
                headers["Content-Range"] = decision.content_range
                return _empty(416, headers, exchange)
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
            return _empty(status, headers, exchange, keep_length=known)
        if isinstance(body, Slice) and len(span) <= SMALL:
            piece = os.pread(body.blob.fileno(), len(span), body.start + span.start)
            return _small(status, headers, piece, exchange)
        exchange.promised = len(span) if known else None
        way = await _begun(request, status, headers, exchange, chunked=not known)
        match body:
            case Slice(blob=blob, start=start):
                where = range(start + span.start, start + span.stop)
                await self._outlet.file(way, blob.fileno(), where)
            case Passing(chunks=chunks):
                async for chunk in chunks:
                    await way.response.write(chunk)
                    way.meter.sent += len(chunk)
            case _:
                await self._outlet.growing(way, body, span)
        await way.response.write_eof()
        return way.response

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
        way = await _begun(request, 206, headers, exchange, chunked=False)
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
            return _led(where, error, exchange)
        exchange.status = told.status
        exchange.cache = _status_of(error)
        kept = told.headers["Cache-Control"]
        response = web.Response(
            status=told.status,
            reason=told.reason,
            body=told.body,
            headers={
                **told.headers,
                "Cache-Control": _private(kept) if exchange.is_private else kept,
                "Content-Type": "application/problem+json",
                "Cache-Status": str(exchange.cache),
                "Server": SERVER,
            },
        )
        exchange.meter.sent = len(told.body)
        return response


def _wanted(request: web.Request, resource: Resource) -> tuple[Want, tuple[str, ...]]:
    """What the request asks for, and the headers that decided it. Raises NotAcceptable."""
    headers = request.headers
    form: Form | None = None
    coding = "identity"
    vary: list[str] = []
    if isinstance(resource, Index):
        form = resource.forms[0]
        if len(resource.forms) > 1:
            vary.append("Accept")
            offered = tuple(one.media_type for one in resource.forms)
            chosen = choose(headers.get("Accept"), offered, wanted=request.query.get("format"))
            form = resource.forms[offered.index(chosen)]
        if form.compressible:
            vary.append("Accept-Encoding")
            coding = choose_coding(headers.get("Accept-Encoding"), (*CODINGS, "identity"))
    want = Want(
        form=form,
        coding=coding,
        head=request.method == hdrs.METH_HEAD,
        headers=_forwardable(resource, headers),
        # With If-Range the whole file may have to be sent, which only a validator can tell.
        byte_range=None if "If-Range" in headers else headers.get("Range"),
    )
    return want, tuple(vary)


def _forwardable(resource: Resource, headers: Mapping[str, str]) -> dict[str, str]:
    """Those of the client's headers that the file may vary by; no others go any further."""
    match resource:
        case Plain(forward=names, by_platform=by_platform):
            wanted = (*names, USER_AGENT) if by_platform else names
        case Artifact(by_platform=True):
            wanted = (USER_AGENT,)
        case _:
            return {}
    return {name: headers[name] for name in wanted if name in headers}


def _headers(answer: Answer) -> dict[str, str]:
    """What every answer says of its representation; a 304 repeats it all (RFC 9110 §15.4.5)."""
    headers = {
        "Cache-Control": answer.cache_control,
        "Cache-Status": str(answer.status),
        "Accept-Ranges": "bytes",
        "Server": SERVER,
        **answer.headers,
    }
    if answer.etag is not None:
        headers["ETag"] = answer.etag
    if answer.last_modified is not None:
        headers["Last-Modified"] = format_http_date(answer.last_modified)
    if answer.coding != "identity":
        headers["Content-Encoding"] = answer.coding
    if answer.vary:
        headers["Vary"] = ", ".join(answer.vary)
    if answer.content_range is not None:
        headers["Content-Range"] = answer.content_range
    return headers


def _empty(
    status: int, headers: dict[str, str], exchange: Exchange, *, keep_length: bool = False
) -> web.Response:
    """Headers alone: the answer to a HEAD, or a status that has no body."""
    exchange.status = status
    if status in (304, 412, 416):
        headers.pop("Content-Encoding", None)
    response = web.Response(status=status, headers=headers)
    if not keep_length and status == 200:
        response.headers.popall(hdrs.CONTENT_LENGTH, None)
    return response


def _small(status: int, headers: dict[str, str], piece: bytes, exchange: Exchange) -> web.Response:
    exchange.status = status
    exchange.meter.sent = exchange.promised = len(piece)
    exchange.first_byte = time.perf_counter() - exchange.started
    return web.Response(status=status, headers=headers, body=piece)


async def _begun(
    request: web.Request,
    status: int,
    headers: dict[str, str],
    exchange: Exchange,
    *,
    chunked: bool,
) -> Way:
    """Send the head; what follows is the body."""
    response = web.StreamResponse(status=status, headers=headers)
    if chunked and request.version >= HttpVersion11:
        response.enable_chunked_encoding()
    exchange.status = status
    exchange.response = response
    await response.prepare(request)
    exchange.first_byte = time.perf_counter() - exchange.started
    return Way(request=request, response=response, meter=exchange.meter)


def _redirect(request: web.Request, path: str, canonical: str, exchange: Exchange) -> web.Response:
    """To the one spelling of a path.

    By a reference that is relative to the request (RFC 9110 section 10.2.2), so that whatever
    came before, a token or a prefix, stays with the client and is not repeated here. Raises
    UnknownPath where the path's own slashes are encoded, so that relative would mean another one.
    """
    if "%2f" in request.rel_url.raw_path.lower():
        raise UnknownPath("a path has an encoded slash")
    checked(canonical)
    exchange.status = 301
    query = request.rel_url.raw_query_string
    location = "../" * path.count("/") + quote(canonical) + (f"?{query}" if query else "")
    exchange.cache = CacheStatus.none()
    kept = "public, max-age=86400"
    headers = {
        "Location": location,
        "Cache-Control": _private(kept) if exchange.is_private else kept,
        "Cache-Status": str(exchange.cache),
        "Server": SERVER,
    }
    return web.Response(status=301, headers=headers)


def _led(where: str, error: ProxyError, exchange: Exchange) -> web.Response:
    """To the same file with the reason in its address, which is refused there."""
    exchange.status = 307
    exchange.cache = _status_of(error)
    exchange.error = None  # counted where it is refused
    headers = {
        "Location": where,
        "Cache-Control": "no-store",
        "Cache-Status": str(exchange.cache),
        "Server": SERVER,
    }
    return web.Response(status=307, headers=headers)


def _private(cache_control: str) -> str:
    """What may be kept by this client but by no cache that others share (RFC 9111 §5.2.2.7)."""
    return cache_control.replace("public", "private", 1)


def _status_of(error: ProxyError) -> CacheStatus:
    match error:
        case Denied(rule=rule):
            return CacheStatus.refused(rule)
        case UpstreamMissing():
            return CacheStatus.negative()
        case UpstreamError():
            return CacheStatus.forwarded("uri-miss", detail=type(error).__name__)
        case _:
            return CacheStatus.none()


def _abort(request: web.Request) -> None:
    """End the connection without the end of the body: the client must see that it is short."""
    if request.transport is not None:
        request.transport.abort()
