"""A server on 127.0.0.1 that says exactly what a test tells it to, down to the bytes.

Each path has a script: canned answers in order, the last one again and again. An answer may stop
in the middle, reset the connection or wait for an event; a function may do anything else. What
each request looked like is recorded, head and all.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Self


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came; header names are lower-case, each with its last value."""

    method: str
    target: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer. Content-Length is that of `body` unless `headers` or `chunked` say otherwise.

    `stop_at`: the connection is closed after that many bytes of the body (reset: `reset`).
    `hold`: waited for after that many bytes of the body (`hold_at`), before the head if that is
    None.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunked: bool = False
    stop_at: int | None = None
    reset: bool = False
    hold: asyncio.Event | None = None
    hold_at: int | None = None

    def head(self) -> bytes:
        """The status line and the fields."""
        fields = {name.lower(): value for name, value in self.headers.items()}
        if self.chunked:
            fields["transfer-encoding"] = "chunked"
        elif self.status != 304:
            fields.setdefault("content-length", str(len(self.body)))
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the way to answer it."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, raw: bytes) -> None:
        """Send these very bytes."""
        self.writer.write(raw)
        await self.writer.drain()

    async def left(self) -> None:
        """Wait until the client has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1024):
                pass

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Act = Callable[[Exchange], Awaitable[None]]
Step = Answer | bytes | Act
"""What to do with a request: a canned answer, raw bytes and then the end, or a function."""


class Scripted:
    """The server: an async context manager. A path without a script answers 404."""

    def __init__(self) -> None:
        self.seen: list[Request] = []
        self.connections = 0
        self._scripts: dict[str, list[Step]] = {}
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0

    def play(self, path: str, *steps: Step) -> None:
        """Answer requests for *path* (with its query) with these, the last for all further."""
        self._scripts[path] = list(steps)

    def url(self, path: str = "", host: str = "127.0.0.1") -> str:
        """The address of *path* under one of this machine's names."""
        return f"http://{host}:{self.port}{path}"

    @property
    def targets(self) -> list[str]:
        """What was asked for, in order."""
        return [request.target for request in self.seen]

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

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        try:
            # Cancelled by our own exit only; asyncio would log it.
            with contextlib.suppress(
                ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
            ):
                while await self._answered(reader, writer):
                    pass
        finally:
            self._serving.discard(task)
            writer.close()

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether another may follow on the connection."""
        request = _parsed(await reader.readuntil(b"\r\n\r\n"))
        self.seen.append(request)
        script = self._scripts.get(request.target, [Answer(status=404)])
        step = script.pop(0) if len(script) > 1 else script[0]
        exchange = Exchange(request, reader, writer)
        match step:
            case Answer():
                return await _answer(exchange, step)
            case bytes():
                await exchange.send(step)
                return False
            case _:
                await step(exchange)
                return False


async def _answer(exchange: Exchange, answer: Answer) -> bool:
    if answer.hold is not None and answer.hold_at is None:
        await answer.hold.wait()
    await exchange.send(answer.head())
    if exchange.request.method == "HEAD" or answer.status == 304:
        return True
    position = 0
    ends = {end for end in (answer.hold_at, answer.stop_at, len(answer.body)) if end is not None}
    for end in sorted(ends):
        piece = answer.body[position:end]
        if piece:
            await exchange.send(b"%x\r\n%b\r\n" % (len(piece), piece) if answer.chunked else piece)
        position = end
        if answer.hold is not None and end == answer.hold_at:
            await answer.hold.wait()
        if end == answer.stop_at:
            if answer.reset:
                exchange.reset()
            return False
    if answer.chunked:
        await exchange.send(b"0\r\n\r\n")
    return True


def _parsed(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    fields = (line.split(":", 1) for line in lines if line)
    return Request(method, target, {name.lower(): value.strip() for name, value in fields})
