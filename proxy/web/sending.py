"""Bytes from a descriptor to a client's socket, without passing through this process's memory.

uvloop has no `loop.sendfile`, so the kernel's is called on a duplicate of the socket's
descriptor: on the event loop, whenever the socket drains, for bytes that are in the page cache,
which takes a fifth of a millisecond at a time; in a thread for bytes that must come from a disk.
Neither ever waits for the client: a slow one holds its own descriptor and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aiohttp import web

from proxy.gateway.fill import Growing

STALLED = 120.0
"""Seconds in which a client must take at least something, else its connection is dropped."""

WINDOW = 2 << 20
"""Bytes that are moved at a time, so that clients take turns and the event loop is never long
away: a fifth of a millisecond. A socket that drains takes 1 to 2.7 MB on loopback, where a smaller
window meant twice as many turns; nginx's `sendfile_max_chunk` is the same."""

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

    def __init__(self, threads: int = 8, *, patience: float = STALLED) -> None:
        """*patience*: seconds in which a client must take at least something."""
        self._patience = patience
        self._threads = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="send")

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
        if way.response.chunked or is_wrapped(transport):
            await self._copied(way, descriptor, span)
        else:
            await self.moved(transport, way.meter, descriptor, span)

    async def moved(
        self, transport: asyncio.Transport, meter: Meter, descriptor: int, span: range
    ) -> None:
        """Send the bytes of *descriptor* in *span* behind what *transport* has in its buffer.

        It must not be `is_wrapped`, and is given nothing else meanwhile. Raises ConnectionError
        where the client is gone or does not read.
        """
        # The transport's own descriptor is its own business; a duplicate may be watched.
        socket = os.dup(transport.get_extra_info("socket").fileno())
        try:
            await _flushed(transport, socket, self._patience)
            offset = span.start
            while offset < span.stop:
                if is_cached(descriptor, offset):
                    left = range(offset, span.stop)
                    offset = await _pumped(meter, socket, descriptor, left, self._patience)
                else:
                    count = min(span.stop - offset, WINDOW)
                    sent = await self._turn(meter, socket, descriptor, offset, count)
                    offset += sent
                    if sent == 0:
                        await _writable(socket, self._patience)
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
        turn = loop.run_in_executor(self._threads, _moved, socket, descriptor, offset, count)
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

    async def _copied(self, way: Way, descriptor: int, span: range) -> None:
        loop = asyncio.get_running_loop()
        for offset in range(span.start, span.stop, _PIECE):
            count = min(_PIECE, span.stop - offset)
            piece = await loop.run_in_executor(self._threads, os.pread, descriptor, count, offset)
            async with asyncio.timeout(self._patience):
                await way.response.write(piece)
            way.meter.sent += len(piece)


def is_wrapped(transport: asyncio.Transport) -> bool:
    """Whether what goes out is encrypted on the way, so that only memory can be sent."""
    return transport.get_extra_info("sslcontext") is not None


def at_once(transport: asyncio.Transport, head: bytes, descriptor: int, span: range) -> int:
    """Send *head*, and as much of *span* of *descriptor* as the socket takes in one turn.

    Returns how many bytes of the span that were; what is missing of the head is in the transport's
    buffer, which must have been empty. Raises ConnectionError.
    """
    socket: int = transport.get_extra_info("socket").fileno()
    try:
        written = os.write(socket, head)
    except BlockingIOError:
        written = 0
    except OSError as error:
        if error.errno in _GONE:
            raise ConnectionResetError("the client has left") from error
        raise
    if written < len(head):
        transport.write(head[written:])
        return 0
    return _moved(socket, descriptor, span.start, min(WINDOW, len(span)))


async def _pumped(meter: Meter, socket: int, descriptor: int, span: range, patience: float) -> int:
    """Send from the page cache whenever the socket drains; returns the offset reached.

    That is the end of *span*, or where the bytes are no longer in memory.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    offset = span.start

    def drained() -> None:
        nonlocal offset
        if done.done():
            return
        try:
            moved = _moved(socket, descriptor, offset, min(WINDOW, span.stop - offset))
        except OSError as error:
            done.set_exception(error)
            return
        offset += moved
        meter.sent += moved
        if offset >= span.stop or not is_cached(descriptor, offset):
            done.set_result(None)

    # Whoever waited for this has room: a herd that reads along is spared a turn of the loop each.
    drained()
    if done.done():
        done.result()
        return offset
    loop.add_writer(socket, drained)
    try:
        before = -1
        while not done.done():
            if before == offset:
                raise ConnectionAbortedError("the client has stopped reading")
            before = offset
            await asyncio.wait((done,), timeout=patience)
    finally:
        loop.remove_writer(socket)
        if done.done():
            done.exception()  # seen, even if we are cancelled just now
    done.result()
    return offset


def _moved(socket: int, descriptor: int, offset: int, count: int) -> int:
    """What one sendfile moves: 0 where the socket is full. Raises ConnectionError."""
    try:
        moved = os.sendfile(socket, descriptor, offset, count)
    except BlockingIOError:
        return 0
    except OSError as error:
        if error.errno in _GONE:
            raise ConnectionResetError("the client has left") from error
        raise
    if moved == 0:
        raise ConnectionAbortedError("the file is shorter than was announced")
    return moved


def is_cached(descriptor: int, offset: int) -> bool:
    """Whether the byte at *offset* can be had without waiting for a disk."""
    try:
        return os.preadv(descriptor, (bytearray(1),), offset, os.RWF_NOWAIT) == 1
    except OSError:  # not in memory, or a file system that cannot tell
        return False


async def _flushed(transport: asyncio.Transport, socket: int, patience: float) -> None:
    """Wait until the transport has nothing buffered: what follows must not overtake it."""
    while transport.get_write_buffer_size() and not transport.is_closing():
        await _writable(socket, patience)
        await asyncio.sleep(0)  # the loop writes before it comes back here


async def _writable(descriptor: int, patience: float) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, _settle, ready)
    try:
        async with asyncio.timeout(patience):
            await ready
    except TimeoutError as error:
        raise ConnectionAbortedError("the client has stopped reading") from error
    finally:
        loop.remove_writer(descriptor)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
