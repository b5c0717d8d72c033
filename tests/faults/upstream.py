"""An upstream that goes wrong on command: each request by itself, as a seeded generator decides.

It answers correctly (ranges, conditions, HEAD) but for the faults of its `Mix`. A fault says
nothing false of a plain file, whose bytes nobody can check, but for breaking it off.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import gzip
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Self

from tests.faults.content import Content, File, Role
from tests.lab.scripted import Exchange, Request

TICK = 0.05
"""Seconds between the pieces of what is sent slowly."""

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Fault(enum.StrEnum):
    """What can go wrong with one request."""

    TRUNCATED = "body cut short"
    RESET = "reset in the body"
    RESET_AT_ONCE = "reset at once"
    STALLED = "body stalls"
    SILENT = "no answer"
    TRICKLED = "slow but steady"
    DRIPPED = "byte by byte"
    HEAD_DRIPPED = "head byte by byte"
    INTERNAL = "500"
    BAD_GATEWAY = "502"
    UNAVAILABLE = "503"
    PATIENT = "503 Retry-After"
    THROTTLED = "429 Retry-After"
    ODD = "418"
    REFUSED = "401"
    FORBIDDEN = "403"
    MISSING = "404"
    LONGER = "announces more"
    SHORTER = "announces less"
    CORRUPTED = "wrong bytes"
    SWAPPED = "another file"
    PAGE = "a login page"
    EMPTY = "nothing, with 200"
    UNASKED_304 = "304 unasked"
    UNASKED_206 = "206 unasked"
    LOOP = "redirect loop"
    AWAY = "redirect to a private host"
    NOT_TLS = "TLS broken"
    RUBBISH = "no HTTP"
    HUGE_HEAD = "huge head"
    BAD_CHUNKS = "chunks malformed"
    CUT_CHUNKS = "chunks cut short"
    BAD_GZIP = "coding broken"
    BOMB = "decompression bomb"
    CHANGED = "file changed under its name"
    FLAPPING = "down every other moment"


CHANGES = frozenset({Fault.CHANGED})
"""Faults of the whole server rather than of a request."""

SAYS_MISSING = frozenset({Fault.MISSING, Fault.FORBIDDEN})
"""Faults after which an index may be said to be absent: upstream says so."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Which faults there are, and how many of the requests they hit (0 to 1)."""

    faults: tuple[Fault, ...] = ()
    rate: float = 0.0


CALM = Mix()


@dataclass(frozen=True, slots=True, kw_only=True)
class Honest:
    """The right answer to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    head_only: bool

    def head(self, **changed: str) -> bytes:
        """The status line and the fields; those of *changed* with `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in changed.items()}
        fields = {**self.headers, **named}
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in fields.items() if value]
        return "\r\n".join([*lines, "", ""]).encode()


class FaultyUpstream:
    """The server, on 127.0.0.1: an async context manager. `mix` may be changed at any time."""

    def __init__(self, content: Content, *, seed: int) -> None:
        self.content = content
        self.mix = CALM
        self.port = 0
        self.hit: Counter[Fault] = Counter()
        self._random = random.Random(seed)
        self._told: set[str] = set()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    async def change(self) -> None:
        """While a mix changes files: replace one, and a moment later its index."""
        while True:
            await asyncio.sleep(4 * TICK)
            if Fault.CHANGED in self.mix.faults:
                self.content.replace_package()
                self.hit[Fault.CHANGED] += 1
                await asyncio.sleep(4 * TICK)
                self.content.publish_channel()

    # -- connections ---------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        gone = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
        try:
            with contextlib.suppress(*gone, asyncio.CancelledError):
                while await self._answered(reader, writer):
                    pass
        finally:
            self._serving.discard(task)
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = parsed(await reader.readuntil(b"\r\n\r\n"))
        exchange = Exchange(request, reader, writer)
        file = self.content.files.get(request.target)
        honest = answer(request, file)
        fault = self._fault(request.target, file)
        if fault is None:
            self._told.add(_index(request.target))
            await exchange.send(honest.head() + (b"" if honest.head_only else honest.body))
            return True
        self.hit[fault] += 1
        await self._act(fault, exchange, honest)
        return False

    def _fault(self, path: str, file: File | None) -> Fault | None:
        if not self.mix.faults or self._random.random() >= self.mix.rate:
            return None
        fault = self._random.choice(self.mix.faults)
        if fault in CHANGES:
            return None
        if fault is Fault.FLAPPING and int(asyncio.get_running_loop().time() / (10 * TICK)) % 2:
            return None
        plain = file is None or file.role is Role.PLAIN
        # An empty file is an empty channel (CEP 36), unless it is known to have been another.
        unheard = fault is Fault.EMPTY and _index(path) not in self._told
        return None if fault in _LIES and (plain or unheard) else fault

    # -- faults --------------------------------------------------------------------------

    async def _act(self, fault: Fault, exchange: Exchange, honest: Honest) -> None:
        if fault in _STATUSES:
            await self._plain_status(fault, exchange)
        elif fault in _LIES:
            await exchange.send(self._lie(fault, honest))
        else:
            await self._ACTS[fault](self, exchange, honest)

    async def _plain_status(self, fault: Fault, exchange: Exchange) -> None:
        status, patience = _STATUSES[fault]
        headers = {"content-length": "0", "connection": "close", "retry-after": patience}
        failed = Honest(status=status, headers=headers, body=b"", head_only=True)
        await exchange.send(failed.head())

    def _lie(self, fault: Fault, honest: Honest) -> bytes:
        """A whole answer that is wrong."""
        body = honest.body
        match fault:
            case Fault.CORRUPTED:
                body = bytes(byte ^ 0x55 for byte in body)
            case Fault.SWAPPED:
                others = [one for one in self.content.files.values() if one.role is Role.PLAIN]
                body = self._random.choice(others).body
            case Fault.PAGE:
                body = b"<html><body>Please log in</body></html>"
            case Fault.EMPTY:
                body = b""
            case Fault.BAD_GZIP:
                return honest.head(content_encoding="gzip") + body
            case Fault.BOMB:
                body = gzip.compress(b" " * 20_000_000, 1)
                head = honest.head(content_encoding="gzip", content_length=str(len(body)))
                return head + body
            case Fault.SHORTER:
                return honest.head(content_length=str(len(body) // 2)) + body
            case _:
                raise AssertionError(fault)
        return honest.head(content_length=str(len(body))) + body

    async def _cut(self, exchange: Exchange, honest: Honest) -> None:
        end = self._random.randrange(len(honest.body) + 1) if honest.body else 0
        await exchange.send(honest.head() + honest.body[:end])

    async def _reset(self, exchange: Exchange, honest: Honest) -> None:
        await self._cut(exchange, honest)
        exchange.reset()

    async def _reset_at_once(self, exchange: Exchange, honest: Honest) -> None:
        exchange.reset()

    async def _stall(self, exchange: Exchange, honest: Honest) -> None:
        await self._cut(exchange, honest)
        await exchange.left()

    async def _silent(self, exchange: Exchange, honest: Honest) -> None:
        await exchange.left()

    async def _trickle(self, exchange: Exchange, honest: Honest) -> None:
        await exchange.send(honest.head())
        size = max(1, len(honest.body) // 8)
        for at in range(0, len(honest.body), size):
            await exchange.send(honest.body[at : at + size])
            await asyncio.sleep(TICK)

    async def _drip(self, exchange: Exchange, honest: Honest) -> None:
        await _dripped(exchange, honest.head(), honest.body)

    async def _drip_head(self, exchange: Exchange, honest: Honest) -> None:
        await _dripped(exchange, b"", honest.head())

    async def _longer(self, exchange: Exchange, honest: Honest) -> None:
        await exchange.send(honest.head(content_length=str(len(honest.body) + 5000)) + honest.body)

    async def _unasked_304(self, exchange: Exchange, honest: Honest) -> None:
        await exchange.send(replace(honest, status=304).head(content_length=""))

    async def _unasked_206(self, exchange: Exchange, honest: Honest) -> None:
        part = replace(honest, status=206)
        await exchange.send(part.head(content_range="bytes 0-1/2") + honest.body)

    async def _loop(self, exchange: Exchange, honest: Honest) -> None:
        await self._redirect(exchange, exchange.request.target)

    async def _away(self, exchange: Exchange, honest: Honest) -> None:
        # All of 127.0.0.0/8 is this machine: who follows gets an answer, and a wrong one.
        await self._redirect(exchange, f"http://127.0.0.2:{self.port}/tree/plain0")

    async def _not_tls(self, exchange: Exchange, honest: Honest) -> None:
        await self._redirect(exchange, f"https://127.0.0.1:{self.port}{exchange.request.target}")

    async def _redirect(self, exchange: Exchange, location: str) -> None:
        headers = {"location": location, "content-length": "0", "connection": "close"}
        await exchange.send(Honest(status=302, headers=headers, body=b"", head_only=True).head())

    async def _rubbish(self, exchange: Exchange, honest: Honest) -> None:
        await exchange.send(self._random.randbytes(200) + b"\r\n\r\n")

    async def _huge_head(self, exchange: Exchange, honest: Honest) -> None:
        await exchange.send(honest.head(x_huge="x" * 200_000) + honest.body)

    async def _bad_chunks(self, exchange: Exchange, honest: Honest) -> None:
        head = honest.head(content_length="", transfer_encoding="chunked")
        await exchange.send(head + b"zz\r\n" + honest.body)

    async def _cut_chunks(self, exchange: Exchange, honest: Honest) -> None:
        head = honest.head(content_length="", transfer_encoding="chunked")
        await exchange.send(head + b"%x\r\n%b\r\n" % (len(honest.body) + 1, honest.body))

    async def _down(self, exchange: Exchange, honest: Honest) -> None:
        exchange.writer.close()

    _ACTS: Mapping[Fault, Callable[[FaultyUpstream, Exchange, Honest], Awaitable[None]]] = {
        Fault.TRUNCATED: _cut,
        Fault.RESET: _reset,
        Fault.RESET_AT_ONCE: _reset_at_once,
        Fault.STALLED: _stall,
        Fault.SILENT: _silent,
        Fault.TRICKLED: _trickle,
        Fault.DRIPPED: _drip,
        Fault.HEAD_DRIPPED: _drip_head,
        Fault.LONGER: _longer,
        Fault.UNASKED_304: _unasked_304,
        Fault.UNASKED_206: _unasked_206,
        Fault.LOOP: _loop,
        Fault.AWAY: _away,
        Fault.NOT_TLS: _not_tls,
        Fault.RUBBISH: _rubbish,
        Fault.HUGE_HEAD: _huge_head,
        Fault.BAD_CHUNKS: _bad_chunks,
        Fault.CUT_CHUNKS: _cut_chunks,
        Fault.FLAPPING: _down,
    }


_STATUSES = {
    Fault.INTERNAL: (500, ""),
    Fault.BAD_GATEWAY: (502, ""),
    Fault.UNAVAILABLE: (503, ""),
    Fault.PATIENT: (503, "1"),
    Fault.THROTTLED: (429, "1"),
    Fault.ODD: (418, ""),
    Fault.REFUSED: (401, ""),
    Fault.FORBIDDEN: (403, ""),
    Fault.MISSING: (404, ""),
}
"""Statuses with their Retry-After in seconds."""

_LIES = frozenset(
    {
        Fault.CORRUPTED,
        Fault.SWAPPED,
        Fault.PAGE,
        Fault.EMPTY,
        Fault.BAD_GZIP,
        Fault.BOMB,
        Fault.SHORTER,
    }
)
"""Answers that are whole and wrong."""


def _index(path: str) -> str:
    """The index that *path* is, or that lists it."""
    is_package = path.endswith(".conda")
    return f"{path.rpartition('/')[0]}/repodata.json" if is_package else path.removesuffix(".zst")


def parsed(head: bytes) -> Request:
    """A request's head."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    fields = (line.split(":", 1) for line in lines if line)
    return Request(method, target, {name.lower(): value.strip() for name, value in fields})


def answer(request: Request, file: File | None) -> Honest:
    """What a good server says (RFC 9110 sections 13 and 14)."""
    if file is None:
        return Honest(status=404, headers={"content-length": "0"}, body=b"", head_only=True)
    headers = {"etag": file.etag, "content-type": file.media_type, "cache-control": "max-age=0"}
    if request.headers.get("if-none-match") == file.etag:
        return Honest(status=304, headers=headers, body=b"", head_only=True)
    status, body = 200, file.body
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    condition = request.headers.get("if-range", file.etag)
    if asked and body and condition == file.etag and (span := _span(asked, len(body))):
        status, body = 206, body[span[0] : span[1]]
        headers["content-range"] = f"bytes {span[0]}-{span[1] - 1}/{len(file.body)}"
    headers["content-length"] = str(len(body))
    head_only = request.method == "HEAD"
    return Honest(status=status, headers=headers, body=body, head_only=head_only)


def _span(asked: re.Match[str], size: int) -> tuple[int, int] | None:
    first, last = asked.groups()
    if not first:
        return (max(0, size - int(last)), size) if last and int(last) else None
    end = min(int(last) + 1, size) if last else size
    return (int(first), end) if int(first) < end else None


async def _dripped(exchange: Exchange, at_once: bytes, slowly: bytes) -> None:
    await exchange.send(at_once)
    for byte in slowly:
        await exchange.send(bytes([byte]))
        await asyncio.sleep(TICK)
