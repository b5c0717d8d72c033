"""Two doors to one gateway: one gives what lies ready, through the other everything takes the flow.

Time stands still but where a test moves it, so that both are asked in the same moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from proxy.app.hits import Hits, Stencil
from proxy.app.reporting import Reporting
from proxy.core.model import Bounds
from proxy.core.policy import Policy
from proxy.ecosystems import ECOSYSTEMS
from proxy.gateway.basis import Watched
from proxy.observe.happenings import Happenings
from proxy.observe.log import Log, Style
from proxy.observe.metrics import Metrics
from proxy.storage.catalog import DiskCatalog
from proxy.web.access import Access
from proxy.web.connection import Connection
from proxy.web.content import Content
from proxy.web.door import Door
from proxy.web.keeping import Keeping
from proxy.web.paths import Mirrors
from proxy.web.ready import ROOM, Shelf
from proxy.web.sending import STALLED, Outlet
from tests.gateway.world import World, world
from tests.lab.fake_upstream import FakeFile

Headers = Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, but for the moment that its Date names."""

    head: tuple[str, ...]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head[0].split()[1])

    def __getitem__(self, name: str) -> str:
        """The header called so, in lower case."""
        return next(
            value.strip()
            for name_, _, value in (line.partition(":") for line in self.head[1:])
            if name_.lower() == name
        )


class Client:
    """One connection to a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, data: bytes) -> None:
        """Send bytes as they are, over a new connection where there is none."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        self._streams[1].write(data)
        await self._streams[1].drain()

    async def reply(self, *, is_head: bool = False) -> Reply:
        """Read one answer. Raises IncompleteReadError where the connection ends before."""
        assert self._streams is not None
        reader = self._streams[0]
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        dated = ["Date: -" if line.startswith("Date: ") else line for line in lines]
        reply = Reply(tuple(dated), b"")
        if is_head or reply.status == 304:
            return reply
        length = next((line[15:] for line in lines if line.startswith("Content-Length:")), None)
        assert length is not None, lines
        return Reply(reply.head, await reader.readexactly(int(length)))

    async def ask(self, method: str, path: str, headers: Headers = None) -> Reply:
        """Send an ordinary request and read the answer; a new connection where it was closed."""
        data = request(method, path, headers)
        try:
            await self.send(data)
            reply = await self.reply(is_head=method == "HEAD")
        except (ConnectionError, asyncio.IncompleteReadError):
            await self.close()
            await self.send(data)
            reply = await self.reply(is_head=method == "HEAD")
        return reply

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(ConnectionError):
                await self._streams[1].wait_closed()
            self._streams = None


def request(method: str, path: str, headers: Headers = None) -> bytes:
    """An ordinary request without a body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: cache.example.org"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode()


class Counted(Hits):
    """Hits that are counted here, too."""

    given = 0

    def add(self, told: Stencil, client: str, agent: str, now: float, seconds: float) -> None:
        self.given += 1
        super().add(told, client, agent, now, seconds)

    def over(self, told: Stencil, client: str, agent: str, now: float, **more: float) -> None:
        self.given += 1
        super().over(told, client, agent, now, **more)


@dataclass(slots=True)
class Side:
    """What one of the doors reports."""

    metrics: Metrics = field(default_factory=lambda: Metrics(CollectorRegistry()))
    stream: io.BytesIO = field(default_factory=io.BytesIO)
    log: Log = field(init=False)

    def __post_init__(self) -> None:
        self.log = Log(self.stream, style=Style.JSON, clock=lambda: 0.0)

    def lines(self) -> list[dict[str, Any]]:
        """The log's events, without moments and durations. To be called when all is over."""
        self.log.close()
        told = [json.loads(line) for line in self.stream.getvalue().splitlines()]
        return [{k: v for k, v in one.items() if k not in ("time", "seconds")} for one in told]

    def samples(self) -> dict[tuple[str, ...], float]:
        """What the metrics say, without sums of seconds and buckets, and what lies ready."""
        return {
            (sample.name, *(f"{name}={sample.labels[name]}" for name in sorted(sample.labels))): (
                sample.value
            )
            for family in text_string_to_metric_families(self.metrics.exposition().decode())
            for sample in family.samples
            if not sample.name.endswith(("_sum", "_bucket", "_created"))
            and not sample.name.startswith("pkgproxy_ready_")
        }


@dataclass(slots=True)
class Twins:
    """A client of each door, and what is behind them."""

    fast: Client
    slow: Client
    world: World
    shelf: Shelf
    hits: Counted
    catalog: Watched
    sibling: DiskCatalog
    quick: Side
    plain: Side
    contents: list[Content]
    server: web.Server  # behind the fast door
    compared: int = 0

    def reload(self, policy: Policy | None, **more: Any) -> None:
        """What SIGHUP does: from now on the mirrors have *policy*, and *more* of their fields."""
        self.world.rule(policy, **more)
        for content in self.contents:
            content.mirrors = Mirrors(self.world.mirrors.values())

    async def ask(self, method: str, path: str, headers: Headers = None) -> Reply:
        """Ask the door, and the flow where the door did not, which must say the same."""
        given = self.hits.given
        reply = await self.fast.ask(method, path, headers)
        await self.world.settled()
        if self.hits.given > given:
            self.compared += 1
            assert await self.slow.ask(method, path, headers) == reply, (method, path, headers)
        return reply

    async def is_ready(self, method: str, path: str, headers: Headers = None) -> bool:
        """Whether it is answered from what lies ready now."""
        given = self.hits.given
        await self.ask(method, path, headers)
        return self.hits.given > given


@contextlib.asynccontextmanager
async def twins(
    folder: Path,
    files: Mapping[str, FakeFile | bytes],
    *,
    bounds: Bounds | None = None,
    room: int = ROOM,
    patience: float = STALLED,
    access: Access | None = None,
) -> AsyncIterator[Twins]:
    """Both doors over one world, whose catalog another process (`sibling`) writes to, too."""
    async with contextlib.AsyncExitStack() as stack:
        quick, plain = Side(), Side()
        for side in (quick, plain):
            stack.enter_context(side.log)
        shelf = Shelf(lambda: made.now, room=room, sized=quick.metrics.ready)
        catalog, sibling = (DiskCatalog(folder / "catalog") for _ in range(2))
        for one in (catalog, sibling):
            stack.push_async_callback(one.aclose)
        watched = Watched(catalog, shelf.changed)
        made = await stack.enter_async_context(
            world(folder, files, bounds or Bounds(), remembering=watched, changed=shelf.clear)
        )
        hits = Counted(quick.metrics, quick.log, requests=True)
        stack.callback(hits.settle)

        def door(server: web.Server) -> Door:
            return Door(server, shelf, hits, outlet, patience=patience, access_log=None)

        outlet = Outlet(2, patience=patience)
        stack.callback(outlet.close)
        contents = [
            _content(stack, made, quick, Keeping(shelf, watched, hits), access),
            _content(stack, made, plain, None, access),
        ]
        server, fast = await _listening(stack, contents[0], door)
        _, slow = await _listening(stack, contents[1], Connection)
        for client in (fast, slow):
            stack.push_async_callback(client.close)
        yield Twins(fast, slow, made, shelf, hits, watched, sibling, quick, plain, contents, server)


def _content(
    stack: contextlib.AsyncExitStack,
    made: World,
    side: Side,
    keeping: Keeping | None,
    access: Access | None,
) -> Content:
    outlet = Outlet(2)
    stack.callback(outlet.close)
    return Content(
        gateway=made.gateway,
        ecosystems=ECOSYSTEMS,
        mirrors=Mirrors(made.mirrors.values()),
        outlet=outlet,
        requests=Reporting(side.metrics, side.log, Happenings(time.time), requests=True),
        keeping=keeping,
        access=access or Access(lambda: made.now),
    )


async def _listening(
    stack: contextlib.AsyncExitStack,
    content: Content,
    protocol: Callable[[web.Server], asyncio.Protocol],
) -> tuple[web.Server, Client]:
    """A server that gives requests to *content*, and a client of it."""
    application = web.Application()
    application.router.add_route("*", "/{path:.+}", content.handle)
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    server = runner.server
    assert server is not None
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: protocol(server), "127.0.0.1", 0)
    stack.callback(listening.close)
    return server, Client(listening.sockets[0].getsockname()[1])
