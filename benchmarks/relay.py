"""Counts what crosses the wire, for clients that may cache, compress and reuse as they like.

Either in front of one server on this machine, or as the proxy that HTTPS_PROXY names: it then opens
the tunnels that it is asked for and does not look into them.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Self

_PIECE = 1 << 16  # bytes read at a time
_WITHIN = 10.0  # seconds to start and to end
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Relay:
    """Listens on 127.0.0.1 in a thread of its own. Use it as a context manager."""

    def __init__(self, target: int | None = None) -> None:
        """*target*: the port of the server behind it; None: whatever the client names."""
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0
        self.received = 0  # bytes towards the client
        self.sent = 0  # bytes from it

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(self._start(), self._loop)
        self.port = starting.result(_WITHIN)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_WITHIN)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_WITHIN)
        self._loop.close()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead a client through it, to servers that are not on this machine."""
        url = f"http://127.0.0.1:{self.port}"
        return dict.fromkeys(("HTTPS_PROXY", "https_proxy"), url)

    async def _start(self) -> int:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for one in others:
            one.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # One that is ended by `_stop` is over: as a cancelled one asyncio would print it.
        with contextlib.suppress(OSError, EOFError, ValueError, asyncio.CancelledError):
            host, port = "127.0.0.1", self._target
            if port is None:
                head = await reader.readuntil(b"\r\n\r\n")
                method, where, _ = head.decode("latin-1").split(" ", 2)
                if method != "CONNECT":
                    raise ValueError(f"{method} is not relayed")
                host, _, text = where.rpartition(":")
                port = int(text)
            behind, onward = await asyncio.open_connection(host.strip("[]"), port)
            if self._target is None:
                writer.write(_ESTABLISHED)
            with contextlib.closing(onward):  # also where `_stop` ends both
                await asyncio.gather(self._up(reader, onward), self._down(behind, writer))
        writer.close()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            self.sent += len(piece)
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            self.received += len(piece)
            writer.write(piece)
            await writer.drain()
        writer.close()
