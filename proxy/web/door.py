"""Where connections come in: what lies ready is given at once, the rest goes to aiohttp.

A door is aiohttp's own connection with one thing put before its parser: the bytes that came in
are compared with requests that were answered before. It may answer only while aiohttp owes the
client nothing, which it can tell as long as everything that it passed on were whole requests
without a body; after anything else (a body, half a head, several requests at once) aiohttp alone
has the connection, to its end. So the two never read the same stream differently.

A long body is sent out of its file. What the socket does not take at once follows in a task, and
until that is done whatever comes in waits.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from aiohttp import web

from proxy.web.connection import Connection
from proxy.web.heads import is_plain
from proxy.web.proxies import Proxies
from proxy.web.ready import Block, Part, Ready, Shelf
from proxy.web.sending import STALLED, Meter, Outlet, at_once, is_cached, is_wrapped

COPIED = 1 << 20
"""Bytes of a body that are read into memory at once where they have to be encrypted."""

HELD = 16 << 10
"""Bytes that may wait here while a body is sent; more stay with the kernel, and the client."""


class Hits(Protocol):
    """Hears of requests that were answered from what lay ready."""

    def words(self, **fields: str) -> Any:
        """What is said of every request of one client, or agent."""
        ...

    def add(self, told: Any, client: Any, agent: Any, now: float, seconds: float) -> None:
        """One request, answered at *now*, in *seconds*."""
        ...

    def over(
        self, told: Any, client: Any, agent: Any, now: float, *, seconds: float, first: float
    ) -> None:
        """One request, whose answer began after *first* seconds and was complete after *seconds*,
        at *now*.
        """
        ...

    def broken(
        self,
        told: Any,
        client: Any,
        agent: Any,
        now: float,
        *,
        seconds: float,
        first: float,
        sent: int,
    ) -> None:
        """The same of one of which the client got *sent* bytes and no more."""
        ...


@dataclass(slots=True)
class _Sending:
    """A body on its way, and what is to be said of it."""

    ready: Ready
    client: Any
    agent: Any
    started: float  # perf_counter
    first: float  # seconds from there to the first byte
    meter: Meter
    closes: bool
    descriptor: int  # its own
    task: asyncio.Task[None] | None = None
    held: bytes = b""  # what came in meanwhile


class Door(Connection):
    """One connection."""

    __slots__ = (
        *("_client", "_hits", "_is_clean", "_is_proxy", "_outlet", "_owed", "_patience", "_peer"),
        *("_proxies", "_sending", "_shelf", "_watch", "asked"),
    )

    def __init__(
        self,
        server: web.Server,
        shelf: Shelf,
        hits: Hits,
        outlet: Outlet,
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
        self._outlet = outlet
        self._sending: _Sending | None = None
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
        if self._sending is not None:
            self._hold(self._sending, data)
            return
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
        sent = -1
        if ready.part is not None:
            sent = self._began(ready.wire, ready.part, transport)
            if sent < 0:
                return False
        elif ready.body:
            transport.writelines((ready.wire, ready.body))
        else:
            transport.write(ready.wire)
        ready.given = True
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        client = self._named(block, transport)
        seconds = time.perf_counter() - started
        if ready.part is not None and sent < len(ready.part):
            self._send(ready, client, block, started=started, seconds=seconds, sent=sent)
            return True
        self._hits.add(ready.told, client, block.words, now, seconds)
        if block.closes:
            self.force_close()
        return True

    def _named(self, block: Block, transport: asyncio.Transport) -> Any:
        """What is said of whoever has asked."""
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
        return client

    # -- bodies out of files -------------------------------------------------------------

    def _began(self, head: bytes, part: Part, transport: asyncio.Transport) -> int:
        """Send *head* and the beginning of *part*, or leave both to the flow (-1).

        Returns how many bytes of it the socket took.
        """
        if transport.get_write_buffer_size() or not is_cached(part.descriptor, part.span.start):
            return -1
        if is_wrapped(transport):
            if len(part) > COPIED:
                return -1
            body = os.pread(part.descriptor, len(part), part.span.start)
            if len(body) < len(part):
                return -1
            transport.writelines((head, body))
            return len(part)
        try:
            return at_once(transport, head, part.descriptor, part.span)
        except ConnectionError:
            return 0  # which the rest will meet, too

    def _send(
        self, ready: Ready, client: Any, block: Block, *, started: float, seconds: float, sent: int
    ) -> None:
        """Send the rest of what `_began`."""
        assert self.transport is not None
        assert ready.part is not None
        sending = _Sending(
            ready=ready,
            client=client,
            agent=block.words,
            started=started,
            first=seconds,
            meter=Meter(sent),
            closes=block.closes,
            descriptor=os.dup(ready.part.descriptor),  # the answer may be forgotten meanwhile
        )
        rest = self._outlet.moved(
            self.transport, sending.meter, sending.descriptor, ready.part.span[sent:]
        )
        self._sending = sending
        sending.task = self._loop.create_task(rest)
        sending.task.add_done_callback(partial(self._sent, sending))

    def _hold(self, sending: _Sending, data: bytes) -> None:
        """Keep what came in until the body is out."""
        sending.held += data
        if len(sending.held) > HELD and self.transport is not None:
            self.transport.pause_reading()

    def _sent(self, sending: _Sending, task: asyncio.Task[None]) -> None:
        """The rest is out, or will never be."""
        self._sending = None
        os.close(sending.descriptor)
        self._tell(sending)
        error = None if task.cancelled() else task.exception()
        if not isinstance(error, ConnectionError | None) and self._tell_failed is not None:
            self._tell_failed(self._peer, 500, error)
        transport = self.transport
        if transport is None:
            return
        if task.cancelled() or error is not None:
            transport.abort()
        elif sending.closes or self._close or self._force_close:
            self.force_close()
        else:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            if len(sending.held) > HELD:
                transport.resume_reading()
            if sending.held:
                self.data_received(sending.held)

    def _tell(self, sending: _Sending) -> None:
        """Say of it what the flow would."""
        ready, meter = sending.ready, sending.meter
        assert ready.part is not None
        who = (ready.told, sending.client, sending.agent, self._shelf.clock())
        seconds = time.perf_counter() - sending.started
        if meter.sent == len(ready.part):
            self._hits.over(*who, seconds=seconds, first=sending.first)
        else:
            self._hits.broken(*who, seconds=seconds, first=sending.first, sent=meter.sent)

    @property
    def idle_since(self) -> float | None:
        """See `Guest`."""
        return None if self._sending is not None else super().idle_since

    def _process_keepalive(self) -> None:
        if self._sending is not None:  # aiohttp takes the connection for idle
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's
        """Let what is on its way arrive within *timeout* seconds, then end."""
        sending = self._sending
        if sending is not None and sending.task is not None:
            await asyncio.wait((sending.task,), timeout=timeout)
        await super().shutdown(timeout)

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
        if self._sending is not None and self._sending.task is not None:
            self._sending.task.cancel()
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
