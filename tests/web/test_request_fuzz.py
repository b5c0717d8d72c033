"""Whatever a client sends, it gets an answer of HTTP's or none, and never a crash."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.web.test_content import FILES, Heard, served

PATIENCE = 10.0  # seconds


@dataclass
class Target:
    """A door to knock at, in a thread of its own, and what was heard behind it."""

    port: int = 0
    heard: Heard | None = None
    crashes: list[BaseException] = field(default_factory=list)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One server for all examples."""
    made, up, loop = Target(), threading.Event(), asyncio.new_event_loop()
    down = asyncio.Event()
    thread = threading.Thread(
        target=loop.run_until_complete,
        args=(_serve(tmp_path_factory.mktemp("fuzz"), made, up, down),),
    )
    thread.start()
    assert up.wait(PATIENCE)
    yield made
    loop.call_soon_threadsafe(down.set)
    thread.join(PATIENCE)
    loop.close()
    assert made.crashes == []


async def _serve(folder: Path, made: Target, up: threading.Event, down: asyncio.Event) -> None:
    async with served(folder, FILES) as door:
        door.heard.crashed = lambda exchange, error: made.crashes.append(error)  # type: ignore[method-assign]
        made.port, made.heard = door.port, door.heard
        up.set()
        await down.wait()


def sent(target: Target, raw: bytes) -> bytes:
    """All that comes back on a connection that sent *raw* and then no more."""
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", target.port), PATIENCE) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(1 << 16):
            answer += piece
    return answer


def checked(target: Target, raw: bytes) -> None:
    answer = sent(target, raw)
    assert target.crashes == []
    if not answer:
        return
    head = answer.partition(b"\r\n\r\n")[0].lower()
    first = head.split(b"\r\n")[0]
    assert first.startswith(b"http/1."), answer[:100]
    assert int(first.split()[1]) not in (500, 501), answer[:300]
    assert b"\ninjected" not in head


_PATHS = st.sampled_from(
    [
        b"/conda/c/linux-64/repodata.json",
        b"/conda/c/linux-64/thing-1.0-0.conda",
        b"/conda/c/noarch/repodata_shards.msgpack.zst",
        b"/pypi/p/simple/demo/",
        b"/pypi/p/simple/",
        b"/pypi/p/packages/00/11/22/demo-1.0.tar.gz",
        b"/files/f/big.bin",
        b"/t/token/conda/c/channeldata.json",
    ]
)
_BITS = st.sampled_from(
    rb".. %2e%2e / // %2f %00 %0d%0ainjected:1 ? # % %zz ;x * http://h.example.org/ %c0%ae".split()
) | st.sampled_from([b"\\", b"\xff", b"\xc3\xa9", b" ", b"\t"])
_NAMES = st.sampled_from(
    b"Range If-Range If-None-Match If-Match If-Modified-Since Accept Accept-Encoding Host Cookie "
    b"X-Forwarded-Host Transfer-Encoding Content-Length Connection Expect Upgrade User-Agent "
    b"X-HTTP-Method-Override".split()
)
_TEXTS = st.sampled_from(
    b"bytes=0-1|bytes=-1|bytes=9-1|bytes=0-0,2-3|bytes=99999999999999999999-|*|W/|chunked|0|-1|1e9|"
    b"text/html;q=2|gzip;q=0, *|100-continue|h2c|close|Thu, 01 Jan 1970 00:00:00 GMT|\xff\xfe|"
    b"a\rinjected: 1||".split(b"|")
) | st.sampled_from([b"bytes=" + b"0-0," * 500, b"a/b;q=" + b"9" * 999, b"x" * 9000])
_METHODS = st.just(b"GET") | st.sampled_from(b"HEAD POST OPTIONS TRACE PURGE get".split())
_HIDING = st.sampled_from(
    [
        b"GET /files/f/big.bin HTTP/1.1\r\nHost: h\r\n",
        b"\r\n",
        b"\r",
        b"Content-Length: 30\r\n",
        b"Content-Length: +1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"0\r\n\r\n",
        b"5\r\nabcde\r\n",
        b" folded\r\n",
    ]
)
_FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_FUZZ
@given(
    _METHODS,
    st.lists(_PATHS | _BITS, min_size=1, max_size=4).map(b"".join),
    st.lists(st.tuples(_NAMES, _TEXTS | st.binary(max_size=20)), max_size=4),
)
@example(
    b"GET", b"/files/f/big.bin", [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"5")]
)
@example(b"GET", b"/files/f/big.bin%0d%0ainjected:1", [])
@example(b"GET", b"/files/f/../../../../etc/passwd", [])
@example(b"GET", b"/files/f/%2e%2e/%2e%2e/etc/passwd", [])
@example(b"GET", b"/" + b"a/" * 3000, [])
def test_any_request(
    target: Target, method: bytes, path: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    lines = [method + b" " + path + b" HTTP/1.1", b"Host: p.example.org"]
    lines += [name + b": " + value for name, value in headers]
    checked(target, b"\r\n".join([*lines, b"Connection: close", b"", b""]))


@_FUZZ
@given(st.binary(max_size=300))
@example(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")  # TLS
@example(b"GET / HTTP/9.9\r\n\r\n")
@example(b"GET /" + b"x" * 100_000)
@example(b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000 + b"\r\n")
@example(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
def test_any_bytes(target: Target, raw: bytes) -> None:
    checked(target, raw)


@_FUZZ
@given(st.lists(_HIDING, max_size=9))
def test_requests_that_would_hide_others(target: Target, pieces: list[bytes]) -> None:
    checked(target, b"".join(pieces))
