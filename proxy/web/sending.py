"""Bytes from a descriptor to a client's socket, without passing through this process's memory.

uvloop has no `loop.sendfile`, so the kernel's is called in a thread, on a duplicate of the
socket's descriptor, and never blocks there: when the socket is full the event loop waits for it
to drain. A slow client therefore holds neither a thread nor memory, only its own descriptor.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aiohttp import web

from proxy.gateway.fill import Growing

STALLED = 120.0
"""Seconds in which a client must take at least something, else its connection is dropped."""

BURST = 8 << 20
"""Bytes that one turn in a thread moves at the most, so that turns are shared fairly."""

LINGER = 0.02
"""Seconds that a thread waits for a full socket to drain, while no other client wants a thread.
A client that reads fast is then served without a round trip through the event loop for every
buffer-full, which is half of what it costs."""

SMALL = 64 * 1024
"""Bytes up to which copying through memory is cheaper than a turn in a thread."""

_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.ETIMEDOUT)
_PIECE = 256 * 1024  # read at a time where sendfile cannot be used (TLS, chunked coding)


@dataclass(slots=True)
class Meter:
    """How many body bytes have gone out; right even if sending is broken off."""

    sent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The way to one client: its request, the response that has been begun, and a meter."""

    request: web.Request
    response: web.StreamResponse
    meter: Meter


class Outlet:
    """Sends parts of open files on prepared responses. Owns the threads that do it."""

    def __init__(self, threads: int = 8) -> None:
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="send")
        self._size = threads
        self._turns = 0

    def close(self) -> None:
        """End the threads; nothing is being sent any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def file(self, way: Way, descriptor: int, span: range) -> None:
        """Send the bytes of *descriptor* at the offsets in *span*.

        Raises ConnectionError where the client is gone or does not read.
        """
        transport = way.request.transport
        if transport is None:
            raise ConnectionResetError("the client has left")
        if way.response.chunked or transport.get_extra_info("sslcontext") is not None:
            await self._copied(way, descriptor, span)
            return
        # The transport's own descriptor is its own business; a duplicate may be watched.
        socket = os.dup(transport.get_extra_info("socket").fileno())
        try:
            await _flushed(transport, socket)
            offset = span.start
            while offset < span.stop:
                count = min(span.stop - offset, BURST)
                sent = await self._turn(way.meter, socket, descriptor, offset, count)
                offset += sent
                if sent < count:
                    await _writable(socket)
        finally:
            os.close(socket)

    async def growing(self, way: Way, body: Growing, span: range) -> None:
        """Send what *span* names of a body that is still growing, as it grows.

        A *span* that ends at `sys.maxsize` is the rest. Raises what made the body fail.
        """
        offset = span.start
        while offset < span.stop:
            end = min(await body.wait_past(offset), span.stop)
            if end <= offset:
                return
            await self.file(way, body.fileno(), range(offset, end))
            offset = end

    async def _turn(
        self, meter: Meter, socket: int, descriptor: int, offset: int, count: int
    ) -> int:
        loop = asyncio.get_running_loop()
        self._turns += 1
        turn = loop.run_in_executor(
            self._threads, self._sendfile, socket, descriptor, offset, count
        )
        turn.add_done_callback(self._turn_ended)
        try:
            sent = await asyncio.shield(turn)
        except asyncio.CancelledError:
            # The thread must be done with the descriptors before they are closed. It does not
            # block, so this is no wait; and the client may have left because it has it all.
            with contextlib.suppress(OSError):
                meter.sent += await turn
            raise
        meter.sent += sent
        return sent

    def _turn_ended(self, turn: asyncio.Future[int]) -> None:
        self._turns -= 1

    def _sendfile(self, socket: int, descriptor: int, offset: int, count: int) -> int:
        """Move up to *count* bytes until the socket stays full; returns how many went."""
        sent = 0
        while sent < count:
            try:
                moved = os.sendfile(socket, descriptor, offset + sent, count - sent)
            except BlockingIOError:
                if self._turns >= self._size or not _drains(socket):
                    break
                continue
            except OSError as error:
                if error.errno in _GONE:
                    raise ConnectionResetError("the client has left") from error
                raise
            if moved == 0:
                raise ConnectionAbortedError("the file is shorter than was announced")
            sent += moved
        return sent

    async def _copied(self, way: Way, descriptor: int, span: range) -> None:
        loop = asyncio.get_running_loop()
        for offset in range(span.start, span.stop, _PIECE):
            count = min(_PIECE, span.stop - offset)
            piece = await loop.run_in_executor(self._threads, os.pread, descriptor, count, offset)
            async with asyncio.timeout(STALLED):
                await way.response.write(piece)
            way.meter.sent += len(piece)


def _drains(socket: int) -> bool:
    """Whether the full socket takes more within LINGER."""
    poll = select.poll()
    poll.register(socket, select.POLLOUT)
    return bool(poll.poll(LINGER * 1000))


async def _flushed(transport: asyncio.Transport, socket: int) -> None:
    """Wait until the transport has nothing buffered: what follows must not overtake it."""
    while transport.get_write_buffer_size() and not transport.is_closing():
        await _writable(socket)
        await asyncio.sleep(0)  # the loop writes before it comes back here


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, _settle, ready)
    try:
        async with asyncio.timeout(STALLED):
            await ready
    except TimeoutError as error:
        raise ConnectionAbortedError("the client has stopped reading") from error
    finally:
        loop.remove_writer(descriptor)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
