"""What fetches ahead while a server may be killed: a run of an active mirror, and a prefetch.

The run is the server's own, begun over its administration; the prefetch is a client, as the command
of that name is. Both end when they are cancelled; that the server goes away is no fault of theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from yarl import URL

from proxy.errors import ProxyError
from proxy.mirror.wanted.closing import closing
from proxy.mirror.wanted.fetching import fetch
from proxy.mirror.wanted.places import Places
from proxy.mirror.wanted.reading import read
from proxy.mirror.wanted.targets import targets_of
from proxy.upstream.running import RunningProxy
from tests.faults.content import Content
from tests.lab.server import MirrorConfig, free_port

MIRROR = "pypi/ahead"
"""The active mirror."""


@dataclass(slots=True)
class Done:
    """How often something came of it."""

    runs: int = 0
    prefetched: int = 0


class Ahead:
    """Both of them, against one server after the other at the same addresses."""

    def __init__(self, content: Content, folder: Path) -> None:
        """*folder* is for what a prefetch wants, and works in."""
        self._folder = folder
        self._folder.mkdir()
        self._wish = folder / "wish.txt"
        names = [name.partition("-")[0] for name in content.packages]
        self._wish.write_text("\n".join(f"conda: {name}" for name in names))
        self._specs = list(content.projects)
        self._port = free_port()
        self.done = Done()

    @property
    def tables(self) -> dict[str, dict[str, str]]:
        """What the server's configuration needs for it."""
        return {"admin": {"listen": f"127.0.0.1:{self._port}"}}

    def mirror(self, like: MirrorConfig) -> MirrorConfig:
        """The active mirror of the upstream that *like*, a passive one, has."""
        kind, _, name = MIRROR.partition("/")
        options = {**like.options, "mode": "active", "specs": self._specs}
        return MirrorConfig(type=kind, name=name, source=like.source, options=options)

    async def go(self, url: str) -> None:
        """Begin a run, and prefetch from the server at *url* over and over, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run())
            group.create_task(self._prefetch(url))

    async def _prefetch(self, url: str) -> None:
        while True:
            # Its index may be one that upstream breaks just now: then the next try is soon.
            with contextlib.suppress(ProxyError, aiohttp.ClientError, ExceptionGroup):
                await self._prefetched(url)
            await asyncio.sleep(0.1)

    async def _run(self) -> None:
        path = f"/api/v1/mirrors/{MIRROR.replace('/', '%2F')}/run"
        url = URL(f"http://127.0.0.1:{self._port}{path}", encoded=True)
        async with aiohttp.ClientSession() as session:
            while True:
                # The worker that has the administration may be ready after the others.
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.post(url) as answer:
                        # 409: the one that the kill cut off goes on already.
                        assert answer.status in (202, 409), await answer.text()
                        self.done.runs += 1
                        return
                await asyncio.sleep(0.02)

    async def _prefetched(self, url: str) -> None:
        targets = targets_of(["linux-64"], ["3.12"])
        wanted = read(self._wish, targets, form="specs")
        async with RunningProxy(url, connections=4) as server:
            places = Places(await server.mirrors(), ("conda/lab",))
            async with closing(
                server, places, targets, workspace=self._folder, hear=lambda _: None
            ) as one:
                closure = await one.close(wanted)
            found = await fetch(closure.files, server, jobs=4, hear=lambda _: None)
            self.done.prefetched += sum(one.failure is None for one in found)
