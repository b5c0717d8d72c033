"""Requests of every shape mean at the door what they mean to aiohttp, and nothing is left over."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.core.model import Bounds
from proxy.web.heads import LONGEST, MOST
from tests.gateway.world import HOST
from tests.lab.fake_upstream import FakeFile
from tests.web.twins import Client, Twins, request, twins

PATH = "/files/f/a.txt"
LARGE = "/pypi/p/simple/demo/"
ASKED = request("GET", PATH)
LAST = request("GET", PATH, {"Connection": "close"})
HEAD = request("HEAD", PATH)
PAGE = b'{"meta":{"api-version":"1.1"},"name":"demo","files":[],"x":"' + b"x" * 400_000 + b'"}'
FILES: dict[str, FakeFile | bytes] = {
    f"{HOST}/tree/a.txt": b"some bytes",
    f"{HOST}/simple/demo/": FakeFile(body=PAGE, media_type="application/vnd.pypi.simple.v1+json"),
}
ALWAYS = Bounds(fresh_default=1e6, fresh_max=1e6)


def visit(
    folder: Path, script: Callable[[Twins], Awaitable[None]], *, patience: float = 60.0
) -> None:
    async def main() -> None:
        async with twins(folder, FILES, bounds=ALWAYS, patience=patience) as doors:
            async with asyncio.timeout(30):
                await script(doors)

    asyncio.run(main())


def with_lines(*lines: str, first: str = f"GET {PATH} HTTP/1.1") -> bytes:
    return "\r\n".join([first, "Host: cache.example.org", *lines, "", ""]).encode("latin-1")


SHAPES: dict[str, tuple[tuple[bytes, ...], int]] = {
    "an ordinary request": ((ASKED,), 1),
    "one after the other": ((ASKED, ASKED, HEAD, ASKED), 4),
    "other case, other white space": ((with_lines("AcCept-LANGUAGE: \t fr  "),), 0),
    "headers of no interest": ((with_lines("Via: 1.1 x", "X-Forwarded-For: 10.0.0.1"),), 1),
    "keep-alive": ((with_lines("Connection: Keep-Alive"),), 1),
    "close": ((LAST,), 0),
    "upgrade": ((with_lines("Connection: upgrade", "Upgrade: h2c"), ASKED), 0),
    "upgrade to a socket": (
        (with_lines("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"), ASKED),
        0,
    ),
    "expect": ((with_lines("Expect: 100-continue"), ASKED), 0),
    "a body": ((with_lines("Content-Length: 5") + b"hello", ASKED), 0),
    "a body of no bytes": ((with_lines("Content-Length: 0"), ASKED), 0),
    "a body that looks like a request": (
        (with_lines(f"Content-Length: {len(ASKED)}"), ASKED, ASKED),
        0,
    ),
    "a body in chunks": (
        (with_lines("Transfer-Encoding: chunked"), b"5\r\nhello\r\n0\r\n\r\n", ASKED),
        0,
    ),
    "a chunk that looks like a request": (
        (
            with_lines("Transfer-Encoding: chunked") + f"{len(ASKED):x}\r\n".encode(),
            ASKED,
            b"\r\n0\r\n\r\n",
            ASKED,
        ),
        0,
    ),
    "both lengths": (
        (with_lines("Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n", ASKED),
        0,
    ),
    "a length that is none": ((with_lines("Content-Length: +5") + b"hello", ASKED), 0),
    "a posted body": (
        (with_lines("Content-Length: 2", first=f"POST {PATH} HTTP/1.1") + b"{}", ASKED),
        0,
    ),
    "another method": ((with_lines(first=f"DELETE {PATH} HTTP/1.1"), ASKED), 0),
    "a method in lower case": ((with_lines(first=f"get {PATH} HTTP/1.1"), ASKED), 0),
    "absolute-form": ((with_lines(first=f"GET http://other.example.org{PATH} HTTP/1.1"),), 0),
    "asterisk-form": ((with_lines(first="OPTIONS * HTTP/1.1"),), 0),
    "HTTP/1.0": ((with_lines(first=f"GET {PATH} HTTP/1.0"),), 0),
    "HTTP/1.0, kept alive": (
        (with_lines("Connection: keep-alive", first=f"GET {PATH} HTTP/1.0"), ASKED),
        0,
    ),
    "HTTP/0.9": ((f"GET {PATH}\r\n".encode(),), 0),
    "HTTP/2": ((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",), 0),
    "TLS": ((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",), 0),
    "two spaces": ((with_lines(first=f"GET  {PATH} HTTP/1.1"),), 0),
    "a space at the end": ((with_lines(first=f"GET {PATH} HTTP/1.1 "),), 0),
    "bare line feeds": ((ASKED.replace(b"\r\n", b"\n"), ASKED), 0),
    "an empty line before": ((b"\r\n" + ASKED, ASKED), 0),
    "something behind": ((ASKED + b"x",), 0),
    "a line break behind": ((ASKED + b"\r\n", ASKED), 0),
    "folded": ((with_lines("Accept: a,", " b"), ASKED), 0),
    "a space before the colon": ((with_lines("Accept : a"), ASKED), 0),
    "no colon": ((with_lines("Accept"), ASKED), 0),
    "no name": ((with_lines(": a"), ASKED), 0),
    "a bare carriage return": ((with_lines("Accept: a\rContent-Length: 5"), ASKED), 0),
    "a null": ((with_lines("Accept: a\0b"), ASKED), 0),
    "not ASCII": ((with_lines("Accept-Language: \xe9"), ASKED), 0),
    "a path that is not ASCII": ((with_lines(first="GET /files/f/\xe9.txt HTTP/1.1"), ASKED), 0),
    "two hosts": ((with_lines("Host: other.example.org"), ASKED), 0),
    "no host": ((f"GET {PATH} HTTP/1.1\r\n\r\n".encode(), ASKED), 0),
    "a host that is none": (
        (f"GET {PATH} HTTP/1.1\r\nHost: a/b@c d\r\n\r\n".encode(), ASKED),
        0,
    ),
    "two agents": ((with_lines("User-Agent: a", "User-Agent: b"), ASKED), 0),
    "two ranges": ((with_lines("Range: bytes=0-1", "Range: bytes=2-3"), ASKED), 1),
    "trailers": ((with_lines("TE: trailers"), ASKED), 0),
    "a long path": ((with_lines(first=f"GET {PATH}?{'a' * LONGEST} HTTP/1.1"), ASKED), 0),
    "a long header": ((with_lines(f"Cookie: {'a' * LONGEST}"), ASKED), 0),
    "too long a header": ((with_lines(f"Cookie: {'a' * 70000}"), ASKED), 0),
    "many headers": ((with_lines(*["Via: a"] * MOST), ASKED), 0),
    "more headers than aiohttp takes": ((with_lines(*["Via: a"] * 150), ASKED), 0),
    "two at once": ((ASKED + ASKED, ASKED), 0),
    "one and a half": ((ASKED + ASKED[:20], ASKED[20:], ASKED), 0),
    "half a line": ((ASKED[:9], ASKED[9:], ASKED), 0),
    "without the last byte": ((ASKED[:-1], ASKED[-1:], ASKED), 0),
    "a line, then the rest": ((ASKED[: ASKED.index(b"\r\n")], ASKED[ASKED.index(b"\r\n") :]), 0),
    "with a fragment": ((with_lines(first=f"GET {PATH}#x HTTP/1.1"), ASKED), 1),
    "with a query": ((with_lines(first=f"GET {PATH}?a=b HTTP/1.1"), ASKED), 1),
    "with slashes": ((with_lines(first=f"GET /{PATH} HTTP/1.1"), ASKED), 1),
    "with dots": ((with_lines(first="GET /files/x/../f/a.txt HTTP/1.1"), ASKED), 1),
    "encoded": ((with_lines(first="GET /files/f/%61.txt HTTP/1.1"), ASKED), 1),
    "what is not there": ((with_lines(first="GET /nothing HTTP/1.1"), ASKED), 1),
}
"""Packets, and how many requests in them are answered from what lies ready, at the first time."""


@pytest.mark.parametrize("shape", SHAPES)
def test_a_request_means_the_same_at_both_doors(tmp_path: Path, shape: str) -> None:
    packets, ready = SHAPES[shape]

    async def script(doors: Twins) -> None:
        for _ in range(2):
            await doors.ask("GET", PATH)
            await doors.ask("HEAD", PATH)
        assert len(doors.shelf) == 2
        given = doors.hits.given
        said = await _said(doors, doors.fast, packets)
        assert doors.hits.given - given == ready
        assert said == await _said(doors, doors.slow, packets)
        # Whatever it has left behind does no harm when it comes again.
        assert said == await _said(doors, doors.fast, packets)

    visit(tmp_path, script)


async def _said(doors: Twins, client: Client, packets: tuple[bytes, ...]) -> bytes:
    """All that a new connection answers to *packets*, each read before the next one comes."""
    loop = asyncio.get_running_loop()
    other = Client(doors.slow.port)
    said = []
    with socket.socket() as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, ("127.0.0.1", client.port))
        for packet in (*packets, LAST):
            with contextlib.suppress(ConnectionError):  # it has been closed already
                await loop.sock_sendall(connection, packet)
            # By then the server, which shares our event loop, has read what was sent.
            for _ in range(3):
                await other.ask("GET", PATH)
        with contextlib.suppress(ConnectionResetError):
            while piece := await loop.sock_recv(connection, 1 << 16):
                said.append(piece)
    await other.close()
    return re.sub(rb"\r\nDate: [^\r]*", b"", b"".join(said))


def test_a_head_cut_anywhere_is_put_together(tmp_path: Path) -> None:
    async def script(doors: Twins) -> None:
        expected = (await doors.ask("GET", PATH)).body
        await doors.ask("GET", PATH)
        for cut in range(1, len(ASKED), 7):
            await doors.fast.close()
            await doors.fast.send(ASKED[:cut])
            await doors.slow.ask("GET", PATH)
            await doors.fast.send(ASKED[cut:])
            assert (await doors.fast.reply()).body == expected

    visit(tmp_path, script)


def test_answers_keep_the_order_of_requests_that_overtake_nobody(tmp_path: Path) -> None:
    held = FakeFile(body=b"slow", head_held=True)

    async def script(doors: Twins) -> None:
        for _ in range(2):
            await doors.ask("GET", PATH)
        doors.world.upstream.files[f"{HOST}/tree/slow.txt"] = held
        given = doors.hits.given
        await doors.fast.send(request("GET", "/files/f/slow.txt"))
        await held.reached.wait()
        await doors.fast.send(ASKED)
        await doors.slow.ask("GET", PATH)
        held.release.set()
        assert (await doors.fast.reply()).body == b"slow"
        assert (await doors.fast.reply()).body == b"some bytes"
        assert doors.hits.given == given
        assert await doors.is_ready("GET", PATH)

    visit(tmp_path, script)


def test_a_client_that_does_not_read_is_dropped_and_makes_nothing_pile_up(tmp_path: Path) -> None:
    async def script(doors: Twins) -> None:
        json = {"Accept": "application/vnd.pypi.simple.v1+json"}
        for _ in range(2):
            await doors.ask("GET", LARGE, json)
        given = doors.hits.given
        await doors.fast.close()
        for _ in range(40):
            await doors.fast.send(request("GET", LARGE, json))
            await doors.slow.ask("GET", PATH)
        # What the sockets take, and one more.
        assert doors.hits.given - given < 30
        while doors.server.connections:
            await doors.slow.ask("GET", PATH)

    visit(tmp_path, script, patience=0.2)
