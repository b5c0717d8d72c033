"""A request and the answer to it: what is known of the two, and what every answer begins with."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from urllib.parse import quote

from aiohttp import HttpVersion11, hdrs, web

from proxy.core.cache_status import CacheStatus
from proxy.core.http_date import format_http_date
from proxy.ecosystems.paths import checked
from proxy.errors import Denied, ProxyError, UnknownPath, UpstreamError, UpstreamMissing
from proxy.gateway.answer import Answer
from proxy.web.access import ANYBODY, Visitor
from proxy.web.errors import SERVER
from proxy.web.sending import Meter, Way

CLIENT_LEFT = 499
"""nginx's word, in logs and metrics only, for a client that closed before it was answered."""


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


def heading(answer: Answer) -> dict[str, str]:
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


def empty(
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


async def small(
    request: web.Request, status: int, headers: dict[str, str], piece: bytes, exchange: Exchange
) -> web.Response:
    """Send a body with its head, now: what is said of it in the log and counted comes after."""
    exchange.status = status
    exchange.promised = len(piece)
    response = web.Response(status=status, headers=headers, body=piece)
    await response.prepare(request)
    await response.write_eof()
    exchange.meter.sent = len(piece)
    exchange.first_byte = time.perf_counter() - exchange.started
    return response


async def begun(
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


def redirect(request: web.Request, path: str, canonical: str, exchange: Exchange) -> web.Response:
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
        "Cache-Control": private(kept) if exchange.is_private else kept,
        "Cache-Status": str(exchange.cache),
        "Server": SERVER,
    }
    return web.Response(status=301, headers=headers)


def led(where: str, error: ProxyError, exchange: Exchange) -> web.Response:
    """To the same file with the reason in its address, which is refused there."""
    exchange.status = 307
    exchange.cache = status_of(error)
    exchange.error = None  # counted where it is refused
    headers = {
        "Location": where,
        "Cache-Control": "no-store",
        "Cache-Status": str(exchange.cache),
        "Server": SERVER,
    }
    return web.Response(status=307, headers=headers)


def private(cache_control: str) -> str:
    """What may be kept by this client but by no cache that others share (RFC 9111 §5.2.2.7)."""
    return cache_control.replace("public", "private", 1)


def status_of(error: ProxyError) -> CacheStatus:
    """What the cache had to do with it that a request failed."""
    match error:
        case Denied(rule=rule):
            return CacheStatus.refused(rule)
        case UpstreamMissing():
            return CacheStatus.negative()
        case UpstreamError():
            return CacheStatus.forwarded("uri-miss", detail=type(error).__name__)
        case _:
            return CacheStatus.none()
