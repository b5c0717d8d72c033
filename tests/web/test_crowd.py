"""Whoever holds connections open keeps nobody out, and nobody is left without an answer."""

from __future__ import annotations

import asyncio
import contextlib
import io
import resource
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from proxy.app.hits import Hits
from proxy.app.room import EACH, FEWEST, room
from proxy.config import load
from proxy.observe.log import Log
from proxy.observe.metrics import Metrics
from proxy.web import crowd as crowds
from proxy.web.connection import LONGEST_HEAD
from proxy.web.crowd import Crowd
from proxy.web.door import Door
from proxy.web.ready import Shelf
from proxy.web.sending import Outlet
from tests.lab.server import MirrorConfig, ProxyServer, eventually
from tests.web.hostile import Says, upstream
from tests.web.twins import Client, Reply, request

ASKED = request("GET", "/")


@dataclass(eq=False)
class Guest:
    """`idle_since` None: it is being served."""

    idle_since: float | None
    has_left: bool = False

    def leave(self) -> None:
        self.has_left = True


@dataclass
class Told:
    """What a crowd tells, at a time of the test's."""

    now: float = 1000.0
    here: int = 0
    crowded: list[tuple[str, int]] = field(default_factory=list)

    def crowd(self, most: int) -> Crowd:
        def counted(change: int) -> None:
            self.here += change

        def crowded(what: str, count: int) -> None:
            self.crowded.append((what, count))

        return Crowd(most, clock=lambda: self.now, counted=counted, crowded=crowded)


def test_whoever_was_idle_for_longest_gives_way() -> None:
    told = Told()
    crowd = told.crowd(3)
    served, older, newer = Guest(None), Guest(900.0), Guest(950.0)
    for guest in (served, newer, older):
        assert crowd.admit(guest)
    assert crowd.admit(Guest(None))
    assert [served.has_left, older.has_left, newer.has_left] == [False, True, False]
    assert told.crowded == [("dropped", 1)]
    assert len(crowd) == told.here == 3


def test_where_all_are_served_or_have_just_come_a_newcomer_is_refused() -> None:
    told = Told()
    crowd = told.crowd(2)
    served, young = Guest(None), Guest(told.now - crowds.YOUNG / 2)
    assert crowd.admit(served)
    assert crowd.admit(young)
    assert not crowd.admit(Guest(None))
    told.now += crowds.YOUNG
    assert crowd.admit(Guest(None)), "the young one has grown old"
    assert told.crowded == [("refused", 1), ("dropped", 1)]


def test_it_is_not_looked_for_the_idle_at_every_newcomer() -> None:
    told = Told()
    crowd = told.crowd(1)
    guest = Guest(None)
    assert crowd.admit(guest)
    assert not crowd.admit(Guest(None))
    guest.idle_since = 0.0
    assert not crowd.admit(Guest(None)), "it was looked a moment ago"
    told.now += crowds.LOOK_AGAIN
    assert crowd.admit(Guest(None))


def test_many_give_way_at_once_where_there_are_many() -> None:
    told = Told()
    crowd = told.crowd(64)
    guests = [Guest(float(number)) for number in range(64)]
    for guest in guests:
        assert crowd.admit(guest)
    assert crowd.admit(Guest(None))
    assert [guest for guest in guests if guest.has_left] == guests[:2]


def test_who_has_left_counts_no_more_and_only_once() -> None:
    told = Told()
    crowd = told.crowd(1)
    guest = Guest(0.0)
    assert crowd.admit(guest)
    for _ in range(2):
        crowd.left(guest)
    crowd.left(Guest(None))
    assert len(crowd) == told.here == 0


# -- at the door -----------------------------------------------------------------------------


@dataclass
class Scene:
    """A door with a crowd behind it; requests are answered when `go` is set."""

    told: Told
    crowd: Crowd
    port: int
    go: asyncio.Event
    asked: asyncio.Semaphore
    failed: list[int]
    stack: contextlib.AsyncExitStack

    def client(self) -> Client:
        """One that closes its connection in the end."""
        made = Client(self.port)
        self.stack.push_async_callback(made.close)
        return made

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let others have their turn as long as it takes, within the bound of the whole play."""
        turn = asyncio.Event()
        while not condition():
            asyncio.get_running_loop().call_later(0.001, turn.set)
            await turn.wait()
            turn.clear()


def visit(most: int, script: Callable[[Scene], Awaitable[None]]) -> None:
    async def main() -> None:
        async with _scene(most) as scene, asyncio.timeout(30):
            await script(scene)

    asyncio.run(main())


@contextlib.asynccontextmanager
async def _scene(most: int) -> AsyncIterator[Scene]:
    go, asked, failed = asyncio.Event(), asyncio.Semaphore(0), list[int]()

    async def handle(_: web.BaseRequest) -> web.StreamResponse:
        asked.release()
        await go.wait()
        return web.Response(text="served")

    told = Told()
    crowd = told.crowd(most)
    server = web.Server(handle)
    listening = await asyncio.get_running_loop().create_server(
        lambda: Door(
            server,
            Shelf(time.time),
            Hits(Metrics(CollectorRegistry()), Log(io.BytesIO()), requests=False),
            Outlet(1),
            crowd=crowd,
            failed=lambda _client, status, _error: failed.append(status),
        ),
        "127.0.0.1",
        0,
    )
    port = listening.sockets[0].getsockname()[1]
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(server.shutdown, 1.0)
        stack.callback(listening.close)
        yield Scene(told, crowd, port, go, asked, failed, stack)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_who_comes_while_all_are_served_is_told_to_come_again(method: str) -> None:
    async def script(scene: Scene) -> None:
        first, second = scene.client(), scene.client()
        await first.send(ASKED)
        await scene.asked.acquire()
        await second.send(request(method, "/"))
        reply = await second.reply(is_head=method == "HEAD")
        assert reply.status == 503
        assert int(reply["retry-after"]) > 0
        assert reply["connection"] == "close"
        assert reply["content-type"] == "application/problem+json"
        scene.go.set()
        assert (await first.reply()).body == b"served", "who was there is served to the end"

    visit(1, script)


def test_an_idle_client_gives_way_and_comes_again() -> None:
    async def script(scene: Scene) -> None:
        scene.go.set()
        idle, half, newcomer = scene.client(), scene.client(), scene.client()
        assert (await idle.ask("GET", "/")).status == 200
        await half.send(ASKED[:20])
        await scene.until(lambda: len(scene.crowd) == 2)
        scene.told.now = asyncio.get_running_loop().time() + crowds.YOUNG
        assert (await newcomer.ask("GET", "/")).status == 200
        assert (await idle.ask("GET", "/")).status == 200, "over a new connection"
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await half.reply()

    visit(2, script)


def test_those_who_are_turned_away_are_few_and_do_not_stay() -> None:
    async def script(scene: Scene) -> None:
        first = scene.client()
        await first.send(ASKED)
        await scene.asked.acquire()
        others = [scene.client() for _ in range(3 * crowds.FEW)]
        for client in others:
            await client.send(b"G")
        refused = 0
        for client in others:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                refused += (await client.reply()).status == 503
            assert scene.crowd.turned_away <= crowds.FEW
        assert 1 <= refused <= crowds.FEW
        for client in others:
            await client.close()
        await scene.until(lambda: not scene.crowd.turned_away)

    visit(1, script)


@pytest.mark.parametrize("piece", [511, 8000])
def test_a_head_without_an_end_is_refused_before_it_fills_the_memory(piece: int) -> None:
    async def script(scene: Scene) -> None:
        client = scene.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: cache.example.org\r\n")
        line = b"X-Padding: " + b"x" * 7000 + b"\r\n"
        reply: Reply | None = None
        with contextlib.suppress(ConnectionError):
            for _ in range(LONGEST_HEAD // len(line) + 1):
                for start in range(0, len(line), piece):
                    await client.send(line[start : start + piece])
            reply = await client.reply()
        assert reply is not None
        assert reply.status == 431
        assert scene.failed == [431]
        await scene.until(lambda: not len(scene.crowd))

    visit(4, script)


# -- the whole server ------------------------------------------------------------------------


def test_a_thousand_connections_that_say_nothing_keep_nobody_out(tmp_path: Path) -> None:
    """Half of them idle, half with half a head, and descriptors for far fewer."""
    with upstream() as source:
        source.says["/a.txt"] = Says(body=b"a" * 100_000)
        source.says["/b.txt"] = Says(body=b"b" * 100_000)
        mirror = MirrorConfig(type="files", name="f", source=f"{source.url('127.0.0.1')}/")
        prefix = ["prlimit", "--nofile=600:600"]
        with (
            ProxyServer(tmp_path / "proxy", [mirror], prefix=prefix) as proxy,
            contextlib.ExitStack() as stack,
        ):
            before = proxy.rss()
            for number in range(1000):
                connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=15)
                stack.callback(connection.close)
                if number % 2:
                    with contextlib.suppress(ConnectionError):  # turned away
                        connection.sendall(b"GET /files/f/a.txt HTTP/1.1\r\nHost: x\r\n")

            eventually(lambda: _answers(proxy.port), "the idle give way")
            for name in ("a", "b", "a"):
                with socket.create_connection(("127.0.0.1", proxy.port), timeout=15) as connection:
                    connection.sendall(
                        request("GET", f"/files/f/{name}.txt", {"Connection": "close"})
                    )
                    received = b"".join(iter(lambda: connection.recv(65536), b""))
                assert received.startswith(b"HTTP/1.1 200 "), received[:200]
                assert received.endswith(name.encode() * 100_000)
            assert proxy.metric("pkgproxy_connections") < 100
            assert proxy.metric("pkgproxy_connections_refused_total", outcome="refused") > 0
            assert proxy.rss() - before < 30_000_000
            assert proxy.log.count(" few_connections ") == 1
            proxy.stop()
            assert proxy.log.count(" crowded outcome=dropped") == 1, "told once a minute"
            assert proxy.log.count(" crowded outcome=refused") == 1
            assert " library " not in proxy.log


def _answers(port: int) -> bool:
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", port), timeout=15) as connection,
    ):
        connection.sendall(request("GET", "/healthz", {"Connection": "close"}))
        return connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    return False


def test_there_is_room_for_as_many_clients_as_descriptors_allow() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = load(None, {"PKGPROXY_SERVER__MAX_CONNECTIONS": "100"}).settings
    many = load(None, {"PKGPROXY_SERVER__MAX_CONNECTIONS": "1000000"}).settings
    try:
        assert room(few) == 100
        assert FEWEST <= room(many) <= max(FEWEST, hard // EACH)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard), "as many as may be"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
