"""Where connections come in: what lies ready is given at once, the rest goes to aiohttp.

A door is aiohttp's own connection with one thing put before its parser: the bytes that came in
are compared with requests that were answered before. It may answer only while aiohttp owes the
client nothing, which it can tell as long as everything that it passed on were whole requests
without a body; after anything else (a body, half a head, several requests at once) aiohttp alone
has the connection, to its end. So the two never read the same stream differently.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from aiohttp import web

from proxy.web.connection import Connection
from proxy.web.heads import is_plain
from proxy.web.proxies import Proxies
from proxy.web.ready import Block, Ready, Shelf
from proxy.web.sending import STALLED


class Hits(Protocol):
    """Hears of requests that were answered from what lay ready."""

    def words(self, **fields: str) -> Any:
        """What is said of every request of one client, or agent."""
        ...

    def add(self, told: Any, client: Any, agent: Any, now: float, seconds: float) -> None:
        """One request, answered at *now*, in *seconds*."""
        ...


class Door(Connection):
    """One connection."""

    __slots__ = (
        *("_client", "_hits", "_is_clean", "_is_proxy", "_owed", "_patience", "_peer", "_proxies"),
        *("_shelf", "_watch", "asked"),
    )

    def __init__(
        self,
        server: web.Server,
        shelf: Shelf,
        hits: Hits,
        *,
        proxies: Proxies | None = None,
        patience: float = STALLED,
        **rest: Any,
    ) -> None:
        """*rest* is what `Connection` takes.

        *proxies* are believed when they say whom they speak for.
        *patience*: seconds in which a client must take something of what is on its way to it.
        """
        super().__init__(server, **rest)
        self._patience = patience
        self._shelf = shelf
        self._hits = hits
        self._is_clean = True  # whether aiohttp was given nothing but whole requests
        self._owed = 0  # answers that it has not given yet
        self._client: Any = None  # what is said of whoever has connected
        self._peer = ""
        self._is_proxy = False
        self._proxies = Proxies(()) if proxies is None else proxies
        self._watch: asyncio.TimerHandle | None = None
        # The line and the block of the one request that aiohttp is answering, if that is clear.
        self.asked: tuple[bytes, Block] | None = None

    def data_received(self, data: bytes) -> None:
        """Answer what came in, or have aiohttp answer it."""
        if data and self._is_clean:  # aiohttp itself calls with nothing, to go on parsing
            end = data.find(b"\r\n")
            line, rest = data[:end], data[end:]
            block = self._shelf.blocks.get(rest) or self._shelf.met(rest)
            if block is not None and self._may_answer():
                ready = block.answers.get(line) or block.own.get(line)
                if ready is not None and self._gave(ready, block):
                    return
            self._note(line, block)
        super().data_received(data)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send *resp* to its end: what aiohttp does last for a request."""
        response, is_gone = await super().finish_response(request, resp, start_time)
        if response.keep_alive and not is_gone:
            self._owed -= 1
        return response, is_gone

    def _may_answer(self) -> bool:
        return not (self._owed or self._paused or self._close or self._force_close)

    def _note(self, line: bytes, block: Block | None) -> None:
        """Remember what aiohttp is about to be given."""
        self._is_clean = block is not None and is_plain(line)
        # While another request is being answered, this is not the one that is answered next.
        is_next = block is not None and self._is_clean and not self._owed
        self.asked = (line, block) if block is not None and is_next else None
        self._owed += 1

    def _gave(self, ready: Ready, block: Block) -> bool:
        """Send *ready*; False where its time is over."""
        started = time.perf_counter()
        shelf = self._shelf
        now = shelf.clock()
        if not (ready.since <= now < ready.until or ready.renew(now)):
            shelf.drop(ready)
            return False
        transport = self.transport
        assert transport is not None
        ready.given = True
        if ready.body:
            transport.writelines((ready.wire, ready.body))
        else:
            transport.write(ready.wire)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._client is None:
            peer = transport.get_extra_info("peername")
            # A Unix socket's other end has no address.
            self._peer = peer[0] if isinstance(peer, tuple) else ""
            self._client = self._hits.words(client=self._peer)
            self._is_proxy = self._proxies.trusts(self._peer)
        client = self._client
        if self._is_proxy:
            named = self._proxies.client(self._peer, block.forwarded)
            client = self._hits.words(client=named)
        if block.words is None:
            block.words = self._hits.words(agent=block.agent)
        self._hits.add(ready.told, client, block.words, now, time.perf_counter() - started)
        return True

    # -- clients that do not read --------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.transport is not None:
            self._look_again(self.transport, -1)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._look_no_more()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._look_no_more()
        super().connection_lost(exc)

    def _look_again(self, transport: asyncio.Transport, before: int) -> None:
        """A client that takes nothing for too long is dropped, also while closing."""
        left = transport.get_write_buffer_size()
        if left == before:
            transport.abort()
        else:
            self._watch = self._loop.call_later(self._patience, self._look_again, transport, left)

    def _look_no_more(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
