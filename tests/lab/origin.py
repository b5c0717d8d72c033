"""An upstream for end-to-end tests: serves a folder over HTTP and writes down what was asked.

It runs in a thread with an event loop of its own, so that blocking clients and subprocesses can
be driven from the test. Validators, ranges, negotiated Simple pages and authentication behave
as RFC 9110 and PEP 691 say; `Behaviour` takes them away, `fail` breaks bodies, `hold` stops them
half-way, `stop` and `start` take the server down and bring it back on the same port.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import enum
import fnmatch
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import unquote

from aiohttp import web

from tests.lab.simple_index import HTML_PAGE, JSON_PAGE

CHUNK = 256 * 1024  # bytes; at 50 MB/s one sleep of 5 ms each
BURST = 0.02  # seconds of unused rate that may be caught up, so that late timers lose none
PATIENCE = 30.0  # seconds a test may take to reach or release a held body

T = TypeVar("T")

_PAGE_TYPES = {JSON_PAGE: "application/vnd.pypi.simple.v1+json", HTML_PAGE: "text/html"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Basic:
    """Wants `Authorization: Basic`."""

    user: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearer:
    """Wants `Authorization: Bearer`."""

    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PathToken:
    """Serves only below `/t/<token>/`, as Anaconda's servers do."""

    token: str


Auth = Basic | Bearer | PathToken


class Fault(enum.Enum):
    """How a request goes wrong."""

    UNAVAILABLE = enum.auto()  # 503
    TRUNCATE = enum.auto()  # the connection breaks after half of the body
    CORRUPT = enum.auto()  # the right length, but every byte inverted


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What kind of server this is; `rate` is bytes per second over all bodies together."""

    validators: bool = True
    ranges: bool = True
    cache_control: str | None = None
    rate: float | None = None
    latency: float = 0.0  # seconds before the status line
    auth: Auth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it arrived: header names in lower case, `path` raw and with its query."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class Held:
    """A body that waits half-way: `reached` says it does, `release` lets it go on."""

    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def wait_reached(self) -> None:
        """Block until a body has come half-way. Raises AssertionError after `PATIENCE`."""
        assert self.reached.wait(PATIENCE), "no request reached the held body"

    def release(self) -> None:
        self.released.set()


@dataclass(slots=True, kw_only=True)
class _Ordered:
    """A fault and how often it is still to happen; None: until it is taken back."""

    fault: Fault
    left: int | None


class Origin:
    """A folder behind HTTP on 127.0.0.1. Use it as a context manager."""

    def __init__(self, root: Path, behaviour: Behaviour | None = None) -> None:
        self.root = root
        self.behaviour = Behaviour() if behaviour is None else behaviour
        self.seen: list[Seen] = []
        self.port = 0
        self._faults: dict[str, _Ordered] = {}
        self._holds: dict[str, Held] = {}
        self._free_at = 0.0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None

    def __repr__(self) -> str:
        return f"<Origin {self.url} {self.root.name} {len(self.seen)} requests>"

    def __enter__(self) -> Self:
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for held in self._holds.values():
            held.release()
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen: on a free port the first time, then always on that one."""
        self._run(self._start())

    def stop(self) -> None:
        """Stop listening and break all connections; nothing happens where it is stopped."""
        self._run(self._stop())

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Down inside the block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def fail(self, pattern: str, fault: Fault, *, times: int | None = None) -> None:
        """Break GETs whose path matches the glob *pattern*: the next *times*, or until `heal`."""
        self._faults[pattern] = _Ordered(fault=fault, left=times)

    def heal(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    @contextlib.contextmanager
    def holding(self, pattern: str) -> Iterator[Held]:
        """Bodies of paths that match stop half-way until released, at the latest at the end.

        One that is not released within `PATIENCE` breaks off: whoever waits for it fails.
        """
        held = self._holds[pattern] = Held()
        try:
            yield held
        finally:
            held.release()
            del self._holds[pattern]

    def asked(self, pattern: str, method: str = "GET") -> list[Seen]:
        """The requests so far with *method* and a path matching the glob *pattern*."""
        fits = fnmatch.fnmatchcase
        return [one for one in self.seen if one.method == method and fits(one.path, pattern)]

    def forget(self) -> None:
        """Empty the log of requests."""
        self.seen.clear()

    # -- the server's own thread ---------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=1024)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(method=request.method, path=request.raw_path, headers=headers))
        await asyncio.sleep(self.behaviour.latency)
        path = self._admitted(request)
        file = self._file(path, request.headers.get("Accept", "*/*"))
        fault = self._fault(request.method, path)
        if fault is Fault.UNAVAILABLE:
            raise web.HTTPServiceUnavailable
        return await self._answer(request, file, _Sender(self, path, fault))

    def _admitted(self, request: web.Request) -> str:
        """The path asked for, without its token. Raises where credentials are not right."""
        path, given = unquote(request.raw_path.partition("?")[0]), request.headers
        match self.behaviour.auth:
            case None:
                return path
            case Basic(user=user, password=password):
                token = base64.b64encode(f"{user}:{password}".encode()).decode()
                admitted = given.get("Authorization") == f"Basic {token}"
            case Bearer(token=token):
                admitted = given.get("Authorization") == f"Bearer {token}"
            case PathToken(token=token):
                admitted = path.startswith(f"/t/{token}/")
                path = path.removeprefix(f"/t/{token}")
        if not admitted:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Basic realm="lab"'})
        return path

    def _fault(self, method: str, path: str) -> Fault | None:
        ordered = _first(self._faults, path)
        if ordered is None or method != "GET" or ordered.left == 0:
            return None
        if ordered.left is not None:
            ordered.left -= 1
        return ordered.fault

    def _file(self, path: str, accept: str) -> Path:
        file = (self.root / path.lstrip("/")).resolve()
        if file.is_dir() and path.endswith("/"):
            prefer_json = "application/vnd.pypi.simple.v1+json" in accept
            names = (JSON_PAGE, HTML_PAGE) if prefer_json else (HTML_PAGE, JSON_PAGE)
            file = next((file / name for name in names if (file / name).is_file()), file)
        if not file.is_file() or not file.is_relative_to(self.root.resolve()):
            raise web.HTTPNotFound
        return file

    async def _answer(self, request: web.Request, file: Path, send: _Sender) -> web.StreamResponse:
        headers = self._headers(file)
        size = file.stat().st_size  # noqa: ASYNC240 - a local stat, in a server of tests only
        if self.behaviour.validators and _unchanged(request, headers):
            return web.Response(status=304, headers=headers)
        response = web.StreamResponse(headers=headers)
        start, stop = 0, size
        if self.behaviour.ranges and _applies(request, headers):
            asked = request.http_range
            if asked.start is not None:
                start = asked.start if asked.start >= 0 else max(0, size + asked.start)
                stop = min(size, asked.stop or size)
                if start >= size:
                    unmet = {"Content-Range": f"bytes */{size}"}
                    raise web.HTTPRequestRangeNotSatisfiable(headers=unmet)
                response.set_status(206)
                response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        response.content_length = stop - start
        await response.prepare(request)
        if request.method != "HEAD":
            await send(request, response, file, start, stop)
        return response

    def _headers(self, file: Path) -> dict[str, str]:
        content_type = _PAGE_TYPES.get(file.name) or (
            "application/json" if file.suffix == ".json" else "application/octet-stream"
        )
        headers = {"Content-Type": content_type}
        if file.name in _PAGE_TYPES:
            headers["Vary"] = "Accept"
        if self.behaviour.cache_control is not None:
            headers["Cache-Control"] = self.behaviour.cache_control
        if self.behaviour.ranges:
            headers["Accept-Ranges"] = "bytes"
        if self.behaviour.validators:
            stat = file.stat()
            headers["ETag"] = f'"{stat.st_size:x}-{stat.st_mtime_ns:x}"'
            headers["Last-Modified"] = formatdate(stat.st_mtime, usegmt=True)
        return headers

    async def pace(self, size: int) -> None:
        """Wait until *size* more bytes may leave."""
        if self.behaviour.rate is None:
            return
        now = self._loop.time()
        self._free_at = max(now - BURST, self._free_at) + size / self.behaviour.rate
        await asyncio.sleep(max(0.0, self._free_at - now))

    def held(self, path: str) -> Held | None:
        """The hold that applies to *path*."""
        return _first(self._holds, path)


class _Sender:
    """Writes one body, with what was ordered to happen to it."""

    def __init__(self, origin: Origin, path: str, fault: Fault | None) -> None:
        self._origin = origin
        self._held = origin.held(path)
        self._fault = fault

    async def __call__(
        self, request: web.Request, response: web.StreamResponse, file: Path, start: int, stop: int
    ) -> None:
        plain = self._held is None and self._fault is None and self._origin.behaviour.rate is None
        with file.open("rb") as body:
            if plain and request.transport is not None:
                loop = asyncio.get_running_loop()
                await loop.sendfile(request.transport, body, start, stop - start)
                await response.write_eof()
                return
            body.seek(start)
            await self._send(request, response, body.read, _pieces(stop - start))

    async def _send(
        self,
        request: web.Request,
        response: web.StreamResponse,
        read: Callable[[int], bytes],
        pieces: list[int],
    ) -> None:
        for number, size in enumerate(pieces):
            if number == (len(pieces) + 1) // 2 and not await self._half_way(request):
                return
            await self._origin.pace(size)
            chunk = read(size)
            if self._fault is Fault.CORRUPT:
                chunk = bytes(byte ^ 0xFF for byte in chunk)
            await response.write(chunk)
        await response.write_eof()

    async def _half_way(self, request: web.Request) -> bool:
        """Whether to go on; else the connection is broken."""
        going_on = self._fault is not Fault.TRUNCATE
        if self._held is not None:
            self._held.reached.set()
            going_on = await asyncio.to_thread(self._held.released.wait, PATIENCE)
        if not going_on and request.transport is not None:
            request.transport.close()
        return going_on


def _pieces(size: int) -> list[int]:
    """Chunk sizes that add up to *size*: two or more, unless it is one byte or none."""
    piece = max(1, min(CHUNK, (size + 1) // 2))
    full, rest = divmod(size, piece)
    return [piece] * full + ([rest] if rest else [])


def _first(table: Mapping[str, T], path: str) -> T | None:
    return next((it for pattern, it in table.items() if fnmatch.fnmatchcase(path, pattern)), None)


def _unchanged(request: web.Request, headers: Mapping[str, str]) -> bool:
    """RFC 9110 section 13.2.2: If-None-Match, and If-Modified-Since only where it is absent."""
    tags = request.headers.get("If-None-Match")
    if tags is not None:
        return headers["ETag"] in [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    return request.headers.get("If-Modified-Since") == headers["Last-Modified"]


def _applies(request: web.Request, headers: Mapping[str, str]) -> bool:
    """Whether the request's range counts (RFC 9110 section 13.1.5)."""
    condition = request.headers.get("If-Range")
    known = (headers.get("ETag"), headers.get("Last-Modified"))
    return "Range" in request.headers and (condition is None or condition in known)
