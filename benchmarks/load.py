"""Clients that cost almost nothing: one epoll loop that compares every byte with a local file.

Run as `python -m benchmarks.load`, with a `Load` as JSON on standard input and an `Outcome` as
JSON on standard output, so that it can be pinned to a core of its own. Comparing with the file
itself is stricter than a digest, and cheap enough (memcmp) that the server stays the bottleneck.
"""

from __future__ import annotations

import selectors
import socket
import sys
import time
from pathlib import Path

import msgspec

# Bytes per recv: few calls for few clients; for many, short turns, so that one turn for each of
# 500 takes some 15 ms and a client that joins does not wait much longer for its first byte.
BUFFER = 1 << 20
TURN = 1 << 16
COUNTED = 1 << 23  # bytes that are counted at a time, none of which is copied
CROWD = 32  # clients
HEADER_LIMIT = 1 << 16  # bytes
DEADLINE = 600.0  # seconds for the whole load


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """*clients* ask for *path*, *times* each; at first they connect over *join_over* seconds."""

    port: int
    path: str
    expected: str  # the file that every body must equal
    clients: int = 1
    times: int = 1
    join_over: float = 0.0
    comparing: int | None = None  # clients whose bytes are compared; others' are counted: None: all


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it, per request. `first_byte` is in seconds from connecting, in that order."""

    wall: float
    received: int  # bytes of bodies
    right: int  # bodies that were complete and equal
    first_byte: list[float]
    failures: list[str]  # the first few, as text


class _Client:
    """One request over one connection."""

    def __init__(self, load: Load, expected: bytes, *, compares: bool) -> None:
        self.first_byte = 0.0
        self.received = 0
        self.failure: str | None = None
        self._expected = expected
        self._compares = compares
        self._header = bytearray()
        self._length: int | None = None
        self._began = time.monotonic()
        self.socket = socket.create_connection(("127.0.0.1", load.port))
        request = f"GET {load.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
        self.socket.sendall(request.encode())
        self.socket.settimeout(0.0)

    def count(self, buffer: memoryview) -> bool | None:
        """Take what is there without looking at it, as `feed` does.

        None where it has to be looked at: a header is not over yet, or all are compared.
        """
        if self._compares or self._length is None:
            return None
        # As much as there can be: what would come behind it is a mistake that is to be seen.
        size = self.socket.recv_into(buffer, len(buffer), socket.MSG_TRUNC)
        if not size:
            return self.feed(buffer[:0])
        self._begun()
        self.received += size
        if self.received > self._length:
            self.failure = f"{self.received} bytes of {self._length}"
        return self.received >= self._length

    def feed(self, piece: memoryview) -> bool:
        """Take what was received; True when there is nothing more to come."""
        if not piece:
            self.failure = f"the body ended after {self.received} bytes"
            return True
        if self._length is None:
            self._header += piece
            head, separator, rest = self._header.partition(b"\r\n\r\n")
            if not separator:
                if len(head) > HEADER_LIMIT:
                    self.failure = "no end of the header"
                return self.failure is not None
            self._length = _content_length(bytes(head))
            if self._length is None:
                self.failure = bytes(head[:60]).decode(errors="replace")
                return True
            piece = memoryview(rest)
        return self._take(piece) or self.received == self._length

    def _begun(self) -> None:
        if not self.received:
            self.first_byte = time.monotonic() - self._began

    def _take(self, piece: memoryview) -> bool:
        if piece:
            self._begun()
        if not self._expected.startswith(piece, self.received):  # memcmp, without a copy
            self.failure = f"a wrong byte after {self.received}"
            return True
        self.received += len(piece)
        return False


def _content_length(head: bytes) -> int | None:
    """Of a response with status 200; else None."""
    status, *lines = head.split(b"\r\n")
    if status.split(b" ")[1:2] != [b"200"]:
        return None
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return None


def run(load: Load) -> Outcome:
    """Put *load* on the server and wait for its end. Raises TimeoutError after `DEADLINE`."""
    expected = Path(load.expected).read_bytes()
    began = time.monotonic()
    clients: list[_Client] = []
    with selectors.DefaultSelector() as selector:
        buffer = memoryview(bytearray(BUFFER if load.clients <= CROWD else TURN))
        unread = buffer if load.comparing is None else memoryview(bytearray(COUNTED))
        while len(clients) < load.clients * load.times or selector.get_map():
            now = time.monotonic() - began
            if now > DEADLINE:
                raise TimeoutError(f"{len(selector.get_map())} clients are not served")
            while _joins(load, begun=len(clients), running=len(selector.get_map()), now=now):
                compares = _compares(load, len(clients))
                clients.append(_Client(load, expected, compares=compares))
                selector.register(clients[-1].socket, selectors.EVENT_READ, clients[-1])
            for key, _ in selector.select(timeout=0.005):
                _receive(selector, key.data, buffer, unread)
    sizes_right = [one for one in clients if one.failure is None and one.received == len(expected)]
    return Outcome(
        wall=time.monotonic() - began,
        received=sum(one.received for one in clients),
        right=len(sizes_right),
        first_byte=[one.first_byte for one in clients],
        failures=[one.failure for one in clients if one.failure is not None][:5],
    )


def _joins(load: Load, *, begun: int, running: int, now: float) -> bool:
    """Whether it is time for one more connection."""
    in_time = load.join_over * begun / load.clients <= now
    return begun < load.clients * load.times and running < load.clients and in_time


def _compares(load: Load, number: int) -> bool:
    """Whether that client compares what it gets: as many as asked for, all over the herd."""
    wanted = load.clients if load.comparing is None else load.comparing
    return number * wanted // load.clients != (number + 1) * wanted // load.clients


def _receive(
    selector: selectors.BaseSelector, client: _Client, buffer: memoryview, unread: memoryview
) -> None:
    try:
        over = client.count(unread)
        if over is None:
            over = client.feed(buffer[: client.socket.recv_into(buffer)])
    except OSError as error:
        client.failure = str(error)
        over = True
    if over:
        selector.unregister(client.socket)
        client.socket.close()


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Load)
    sys.stdout.buffer.write(msgspec.json.encode(run(asked)))
