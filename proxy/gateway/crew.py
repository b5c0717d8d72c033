"""Worker processes of one server helping one another over Unix sockets.

A worker that meets a key it does not lead sends the resource and what is wanted to the leader
and gets the leader's answer: a slice of a blob that both can open, or a fill that grows in a
file of the shared store. Of a fill only the progress travels (how far one may read, and how it
ended); the bytes are read from the file. If the leader dies its followers see the connection
end, which fails the fill as any broken fetch does.

Messages are msgpack values behind a four-byte length. The sockets lie in a private folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from proxy import errors
from proxy.core.cache_status import CacheStatus
from proxy.core.model import Artifact, Digest, Index, Member, Plain, Resource
from proxy.errors import Abandoned, ProxyError
from proxy.gateway.answer import Answer, Nothing, Passing, Slice, Want
from proxy.gateway.fill import Fill, Growing, Landed, Whereabouts
from proxy.gateway.tallies import Tallies
from proxy.gateway.team import Place
from proxy.storage.ports import Blobs

Open = Callable[[Resource, Want], Awaitable[Answer]]
Refresh = Callable[[Resource], Awaitable[None]]

ANSWER_WITHIN = 600.0
"""Seconds that a leader may take to answer: it bounds a hung sibling, not an upstream, whose own
deadlines are far shorter."""

BACKLOG = 1024
"""Siblings' requests that may wait to be accepted: a herd comes all at once, and one that is turned
away is fetched twice."""

MOST_HOPS = 3
"""Workers that a request goes through at the most. A file, its index and the file again may have
different leaders; where workers do not see what the others write (a full disk), it would never end.
"""

_hops: ContextVar[int] = ContextVar("hops", default=0)
_LENGTH = struct.Struct("<I")
_LARGEST = 1 << 20  # bytes of a message; a resource or an answer takes a few hundred
_KINDS: dict[str, type[Resource]] = {
    "index": Index,
    "artifact": Artifact,
    "member": Member,
    "plain": Plain,
}
_M = TypeVar("_M")
_encode = msgspec.msgpack.Encoder().encode


class _Ask(msgspec.Struct, frozen=True):
    verb: str  # "open" or "refresh"
    kind: str
    resource: msgspec.Raw
    want: Want
    hops: int = 0  # workers that the request has come through


class _Head(msgspec.Struct, frozen=True):
    """An answer without its body."""

    length: int | None
    media_type: str
    etag: str | None
    last_modified: float | None
    cache_control: str
    coding: str
    vary: tuple[str, ...]
    headers: dict[str, str]
    status: Any


class _Reply(msgspec.Struct, frozen=True):
    """What became of an ask: an answer with one of the bodies, or an error."""

    head: _Head | None = None
    blob: tuple[str, int, int, int] | None = None  # digest, size, start, length
    growing: tuple[Whereabouts, int | None] | None = None  # and its length
    empty: bool = False
    own: bool = False  # the asker must do it itself: such a body cannot be shared
    error: tuple[str, dict[str, Any], str] | None = None


class _Progress(msgspec.Struct, frozen=True):
    released: int
    done: bool = False
    error: tuple[str, dict[str, Any], str] | None = None


class RemoteFill:
    """A body that a sibling is filling: the file is read here, the progress told from there."""

    def __init__(
        self, where: Whereabouts, length: int | None, progress: asyncio.StreamReader
    ) -> None:
        """Raises Landed where the file has been committed meanwhile and is no longer there."""
        self._descriptor = _opened(where)
        self._progress = progress
        self._pulse: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._error: ProxyError | None = None
        self._done = False
        self._released = 0
        self.length = length
        self._listening = asyncio.create_task(self._listen())

    def fileno(self) -> int:
        return self._descriptor

    @contextlib.contextmanager
    def reader(self) -> Iterator[None]:
        """One client reads it: the end of the context is the end of it."""
        try:
            yield
        finally:
            self._listening.cancel()
            os.close(self._descriptor)

    async def wait_past(self, offset: int) -> int:
        """See `Growing.wait_past`."""
        while self._released <= offset:
            if self._error is not None:
                raise self._error
            if self._done:
                break
            await asyncio.shield(self._pulse)
        return self._released

    async def _listen(self) -> None:
        try:
            while not self._done and self._error is None:
                self._hear(await _receive(self._progress, _Progress))
        except (OSError, EOFError, msgspec.MsgspecError):
            self._error = Abandoned("the worker that fetched this file has gone")
            self._beat()

    def _hear(self, progress: _Progress) -> None:
        self._released = progress.released
        self._done = progress.done
        if progress.error is not None:
            self._error = _raised(progress.error)
        self._beat()

    def _beat(self) -> None:
        pulse, self._pulse = self._pulse, asyncio.get_running_loop().create_future()
        pulse.set_result(None)


class Crew(Place):
    """One worker of several: leads its keys and asks the others for theirs."""

    def __init__(self, number: int, size: int, folder: Path, blobs: Blobs) -> None:
        """Raises OSError where nothing can be written in *folder*."""
        super().__init__(number, size)
        self._folder = folder
        self._blobs = blobs
        self._server: asyncio.Server | None = None
        self._nudges: set[asyncio.Task[None]] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._tallies = Tallies(folder / "under-way", number, size)
        self._own = 0  # files on their way to this worker

    @contextlib.contextmanager
    def fetching(self) -> Iterator[None]:
        """See `Team.fetching`."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    @property
    def under_way(self) -> int:
        """See `Team.under_way`."""
        return self._tallies.total()

    def _count(self, change: int) -> None:
        self._own += change
        self._tallies.set(self._own)

    async def listen(self, open_: Open, refresh: Refresh) -> None:
        """Answer the siblings from now on."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._serving.add(task)
            try:
                with contextlib.suppress(OSError, EOFError, msgspec.MsgspecError):
                    await self._serve(reader, writer, open_, refresh)
            finally:
                self._serving.discard(task)
                writer.close()

        path = self._socket(self.number)
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(serve, path, backlog=BACKLOG)
        path.chmod(0o600)

    async def drain(self, seconds: float) -> None:
        """Let siblings read to the end what they have asked for, for up to *seconds*."""
        if self._serving:
            await asyncio.wait(self._serving, timeout=seconds)

    async def aclose(self) -> None:
        """Stop answering; siblings see their connections end."""
        if self._server is not None:
            self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for task in self._nudges:
            task.cancel()
        await asyncio.gather(*self._nudges, return_exceptions=True)

    def nudge(self, leader: int, resource: Resource) -> None:
        """See `Team.nudge`. A leader that cannot be reached refreshes when it is asked again."""

        async def send() -> None:
            with contextlib.suppress(OSError, EOFError):
                _, writer = await asyncio.open_unix_connection(self._socket(leader))
                await _send(writer, _ask("refresh", resource, Want()))
                writer.close()

        task = asyncio.create_task(send())
        self._nudges.add(task)
        task.add_done_callback(self._nudges.discard)

    async def ask(self, leader: int, resource: Resource, want: Want) -> Answer | None:
        """See `Team.ask`."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket(leader))
        except OSError:
            return None
        holding = contextlib.AsyncExitStack()
        holding.callback(writer.close)
        try:
            await _send(writer, _ask("open", resource, want))
            async with asyncio.timeout(ANSWER_WITHIN):
                reply = await _receive(reader, _Reply)
            answer = await self._understood(reply, reader, holding)
        except (OSError, EOFError, msgspec.MsgspecError):
            await holding.aclose()
            return None
        except BaseException:
            await holding.aclose()
            raise
        return answer

    async def _understood(
        self, reply: _Reply, reader: asyncio.StreamReader, holding: contextlib.AsyncExitStack
    ) -> Answer | None:
        if reply.error is not None:
            raise _raised(reply.error)
        if reply.own or reply.head is None:
            await holding.aclose()
            return None
        body: Slice | Growing | Nothing = Nothing()
        if reply.blob is not None:
            digest, size, start, length = reply.blob
            blob = await self._blobs.open(Digest(digest), size)
            if blob is None:
                raise Landed
            holding.callback(blob.close)
            body = Slice(blob, start, length)
        elif reply.growing is not None:
            fill = RemoteFill(*reply.growing, reader)
            holding.enter_context(fill.reader())
            body = fill
        head = msgspec.structs.asdict(reply.head)
        head["status"] = msgspec.convert(head["status"], CacheStatus)
        return Answer(body=body, holding=holding, **head)

    async def _serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        open_: Open,
        refresh: Refresh,
    ) -> None:
        ask = await _receive(reader, _Ask)
        resource = msgspec.msgpack.decode(ask.resource, type=_KINDS[ask.kind])
        if ask.verb == "refresh":
            with contextlib.suppress(ProxyError):  # told by whoever asked upstream
                await refresh(resource)
            return
        _hops.set(ask.hops)  # of this connection's task
        try:
            with self.alone() if ask.hops >= MOST_HOPS else contextlib.nullcontext():
                answer = await open_(resource, ask.want)
        except ProxyError as error:
            await _send(writer, _Reply(error=_told(error)))
            return
        try:
            await _send(writer, _replied(answer))
            if isinstance(answer.body, Fill):
                await _report(writer, answer.body)
            elif not isinstance(answer.body, Nothing | Passing):
                await reader.read()  # hold the blob open until the asker has opened it
        finally:
            await answer.close()

    def _socket(self, number: int) -> Path:
        return self._folder / f"worker-{number}.sock"


async def _report(writer: asyncio.StreamWriter, fill: Fill) -> None:
    released = 0
    try:
        while (end := await fill.wait_past(released)) > released:
            released = end
            await _send(writer, _Progress(released=released))
    except ProxyError as error:
        await _send(writer, _Progress(released=released, error=_told(error)))
        return
    await _send(writer, _Progress(released=released, done=True))


def _replied(answer: Answer) -> _Reply:
    head = _Head(
        length=answer.length,
        media_type=answer.media_type,
        etag=answer.etag,
        last_modified=answer.last_modified,
        cache_control=answer.cache_control,
        coding=answer.coding,
        vary=answer.vary,
        headers=dict(answer.headers),
        status=msgspec.to_builtins(answer.status),
    )
    match answer.body:
        case Slice(blob=blob, start=start, length=length):
            return _Reply(head=head, blob=(blob.digest, blob.size, start, length))
        case Fill() as fill:
            return _Reply(head=head, growing=(fill.whereabouts, fill.length))
        case Nothing():
            return _Reply(head=head, empty=True)
        case _:  # passed through, or growing in a third worker: the asker goes there itself
            return _Reply(own=True)


def _opened(where: Whereabouts) -> int:
    """The very file, or Landed: a path through a descriptor may lead to another one by now."""
    try:
        descriptor = os.open(where.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Landed from error
    found = os.fstat(descriptor)
    if (found.st_dev, found.st_ino) != (where.device, where.inode):
        os.close(descriptor)
        raise Landed
    return descriptor


def _ask(verb: str, resource: Resource, want: Want) -> _Ask:
    kind = type(resource).__name__.lower()
    raw = msgspec.Raw(_encode(resource))
    return _Ask(verb=verb, kind=kind, resource=raw, want=want, hops=_hops.get() + 1)


def _told(error: ProxyError) -> tuple[str, dict[str, Any], str]:
    return type(error).__name__, dict(vars(error)), str(error)


def _raised(told: tuple[str, dict[str, Any], str]) -> ProxyError:
    """The error again: same class, message and fields, whatever its constructor takes."""
    name, fields, message = told
    kind = getattr(errors, name, ProxyError)
    error = kind.__new__(kind)
    error.args = (message,)
    vars(error).update(fields)
    assert isinstance(error, ProxyError)
    return error


async def _send(writer: asyncio.StreamWriter, message: msgspec.Struct) -> None:
    body = _encode(message)
    if writer.is_closing():  # uvloop raises no OSError for a sibling that has left
        raise ConnectionResetError("the sibling has left")
    writer.write(_LENGTH.pack(len(body)) + body)
    await writer.drain()


async def _receive(reader: asyncio.StreamReader, kind: type[_M]) -> _M:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > _LARGEST:
        raise EOFError("a message from a sibling is too long")
    return msgspec.msgpack.decode(await reader.readexactly(length), type=kind)
