"""Long bodies that lie ready in their files: every byte, in order, and nothing is left open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.core.model import Bounds
from proxy.web.door import Door
from proxy.web.ready import FILES, Answers, Part, Ready, Shelf
from tests.gateway.world import HOST
from tests.lab.fake_upstream import FakeFile
from tests.web.test_ready import Clock, basis, entry, template
from tests.web.twins import Twins, request, twins

LONG = os.urandom(1 << 20) * 8  # more than a socket takes from a client that does not read
PATH, SMALL = "/files/f/long.bin", "/files/f/a.txt"
TREE: dict[str, FakeFile | bytes] = {
    f"{HOST}/tree/long.bin": FakeFile(body=LONG, etag='"long"'),
    f"{HOST}/tree/a.txt": b"some bytes",
}
ALWAYS = Bounds(fresh_default=1e6, fresh_max=1e6)
CLOSE = {"Connection": "close"}


def visit(folder: Path, script: Callable[[Twins], Awaitable[None]], **options: Any) -> None:
    """Run *script* when both files lie ready; afterwards nothing may be open that was not."""

    async def main() -> None:
        async with twins(folder, TREE, bounds=ALWAYS, **options) as doors, asyncio.timeout(60):
            for path in (PATH, SMALL):
                for headers in (None, CLOSE):
                    for _ in range(3):
                        await doors.ask("GET", path, headers)
                assert await doors.is_ready("GET", path)
            await doors.fast.close()
            await _until(doors, lambda: not doors.server.connections)
            before = _open()
            await script(doors)
            await doors.fast.close()
            await _until(doors, lambda: not doors.server.connections and _open() == before)
            doors.shelf.clear()
            assert _open() == before - 2  # of the long body, with and without an end

    asyncio.run(main())


def _open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _until(doors: Twins, holds: Callable[[], bool]) -> None:
    """Turn until *holds*; the test's deadline bounds it."""
    while True:
        await doors.slow.ask("GET", SMALL)
        if holds():
            return


class Reluctant:
    """A client that takes what it asks for, and has hardly any room for more."""

    def __init__(self, doors: Twins) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self._socket.setblocking(False)
        self._port = doors.fast.port

    async def ask(self, *packets: bytes) -> None:
        """Send *packets* after the first byte of an answer to the first has come."""
        await self._loop.sock_connect(self._socket, ("127.0.0.1", self._port))
        first, *rest = packets
        await self._loop.sock_sendall(self._socket, first)
        assert await self.take(1) == b"H"
        for packet in rest:
            await self._loop.sock_sendall(self._socket, packet)

    async def take(self, count: int) -> bytes:
        """The next *count* bytes, or fewer where the connection ends before."""
        taken = bytearray()
        while len(taken) < count:
            piece = await self._loop.sock_recv(self._socket, min(count - len(taken), 1 << 18))
            if not piece:
                break
            taken += piece
        return bytes(taken)

    async def head(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = await self.take(1)
            assert piece, head
            head += piece
        return head

    def close(self) -> None:
        self._socket.close()


def test_a_slow_client_gets_every_byte_while_others_are_answered(tmp_path: Path) -> None:
    async def script(doors: Twins) -> None:
        slow, given = Reluctant(doors), doors.hits.given
        await slow.ask(request("GET", PATH))
        for _ in range(20):
            assert await doors.is_ready("GET", SMALL)
        assert doors.hits.given == given + 20, "it is under way"
        idle = [one.idle_since for one in doors.server.connections if isinstance(one, Door)]
        assert None in idle, "so that it gives way to nobody"
        doors.shelf.clear()  # it may even be forgotten meanwhile
        await slow.head()
        assert await slow.take(len(LONG)) == LONG
        await _until(doors, lambda: doors.hits.given == given + 21)
        slow.close()
        # For the end of the visit, when both are expected to lie ready.
        for headers in (None, CLOSE):
            for _ in range(2):
                await doors.ask("GET", PATH, headers)

    visit(tmp_path, script)


@pytest.mark.parametrize("together", [False, True])
def test_what_is_asked_for_meanwhile_is_answered_afterwards(tmp_path: Path, together: bool) -> None:
    async def script(doors: Twins) -> None:
        client = Reluctant(doors)
        more = [request("GET", SMALL), request("HEAD", PATH), request("GET", SMALL)]
        # More than is held while a body is on its way.
        more += [request("GET", SMALL, {"Cookie": "x" * 1000})] * 40
        packets = [b"".join(more)] if together else more
        await client.ask(request("GET", PATH), *packets)
        await client.head()
        assert await client.take(len(LONG)) == LONG
        for asked in more:
            assert b"TTP/1.1 200 OK" in await client.head()
            if asked.startswith(b"GET"):
                assert await client.take(10) == b"some bytes"
        client.close()

    visit(tmp_path, script)


def test_a_client_that_leaves_is_reported_with_what_it_got(tmp_path: Path) -> None:
    async def script(doors: Twins) -> None:
        doors.hits.settle()
        before = doors.quick.samples()
        client = Reluctant(doors)
        await client.ask(request("GET", PATH))
        await client.take(1000)
        client.close()
        await _until(doors, lambda: not doors.server.connections)
        after = doors.quick.samples()
        changed = {key: after[key] - before.get(key, 0.0) for key in after}
        (sent,) = (
            value
            for key, value in changed.items()
            if key[0] == "pkgproxy_response_bytes_total" and value
        )
        assert 1000 <= sent < len(LONG)
        left = [v for k, v in changed.items() if k[0] == "pkgproxy_requests_total" and v]
        assert left == [1]
        doors.hits.settle()
        said = doors.quick.lines()[-1]
        assert (said["status"], said["bytes"], said["path"]) == (499, sent, PATH)

    visit(tmp_path, script)


def test_a_client_that_takes_nothing_is_dropped(tmp_path: Path) -> None:
    async def script(doors: Twins) -> None:
        client = Reluctant(doors)
        await client.ask(request("GET", PATH))
        await _until(doors, lambda: not doors.server.connections)
        with contextlib.suppress(ConnectionResetError):
            assert len(await client.take(len(LONG))) < len(LONG)
        client.close()

    visit(tmp_path, script, patience=0.2)


@pytest.mark.parametrize("path", [PATH, SMALL])
def test_the_last_answer_of_a_connection_is_whole_and_then_it_ends(
    tmp_path: Path, path: str
) -> None:
    async def script(doors: Twins) -> None:
        given = doors.hits.given
        client = Reluctant(doors)
        await client.ask(request("GET", path, CLOSE), request("GET", SMALL))
        assert b"Connection: close" in await client.head()
        body = LONG if path == PATH else b"some bytes"
        with contextlib.suppress(ConnectionResetError):  # the second request is never read
            assert await client.take(len(LONG) + 100) == body
        client.close()
        await _until(doors, lambda: not doors.server.connections)
        assert doors.hits.given == given + 1

    visit(tmp_path, script)


@pytest.mark.parametrize("reads", [True, False])
def test_a_server_that_stops_lets_bodies_arrive_for_a_while(tmp_path: Path, reads: bool) -> None:
    async def script(doors: Twins) -> None:
        client = Reluctant(doors)
        await client.ask(request("GET", PATH))
        doors.server.pre_shutdown()
        stopping = asyncio.create_task(doors.server.shutdown(30.0 if reads else 0.1))
        if reads:
            await client.head()
            assert await client.take(len(LONG)) == LONG
        await stopping
        assert await client.take(1) == b"" if reads else True
        client.close()

    visit(tmp_path, script)


def test_open_files_are_bounded_and_closed_with_their_answers(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    before, shelf = _open(), Shelf(Clock())

    def kept(line: bytes) -> Ready:
        part = Part(os.open(tmp_path / "f", os.O_RDONLY), range(2, 5))
        ready = Ready(line, Answers(), template(), part, None)
        shelf.put(ready, basis(entry(f"m {line.decode()}")))
        return ready

    popular = kept(b"popular")
    for number in range(FILES + 10):
        popular.given = True
        kept(b"%d" % number)
    assert _open() == before + FILES
    assert len(shelf) == FILES
    assert popular.among
    shelf.drop(popular)
    assert _open() == before + FILES - 1
    shelf.clear()
    assert _open() == before
    ended = Ready(
        b"x", Answers(), template(), Part(os.open(tmp_path / "f", os.O_RDONLY), range(1)), None
    )
    shelf.put(ended, basis(entry("m x"), until=0.0))
    assert (_open(), len(shelf)) == (before, 0)
