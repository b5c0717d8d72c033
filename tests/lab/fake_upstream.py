"""An `Upstream` in memory for the gateway's tests: files by address, and a record of every ask.

It keeps the port's promises (validators, ranges, HEAD, errors in our own words) without a socket.
A file may be replaced, fail, break off or be held in the middle of its body while a test looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from proxy.core.urls import redacted
from proxy.errors import Offline, UpstreamError, UpstreamMissing
from proxy.upstream.port import Ask, Reply

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeFile:
    """What is at one address.

    `error` is raised instead of an answer. `breaks_at`: `breaking` is raised after that many bytes
    of the body. `held_at`: the body stops there until `release` is set; `reached` is set by then.
    `head_held`: the answer itself waits for `release`. `announced`: whether the length is known.
    """

    body: bytes = b""
    etag: str | None = None
    last_modified: str | None = None
    cache_control: str | None = None
    media_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    error: UpstreamError | None = None
    breaks_at: int | None = None
    breaking: UpstreamError | None = None
    held_at: int | None = None
    head_held: bool = False
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    announced: bool = True
    ranges: bool = True  # whether a range is answered as such
    moved_to: str | None = None  # the address that a redirect led to


class FakeUpstream:
    """See `proxy.upstream.port.Upstream`. `files` may be changed at any time."""

    def __init__(self, files: Mapping[str, FakeFile | bytes] | None = None, chunk: int = 1024):
        """*chunk*: the most bytes that one piece of a body has."""
        self.files: dict[str, FakeFile | bytes] = dict(files or {})
        self.asks: list[Ask] = []
        self.open_now = 0
        self.closed = False
        self._chunk = chunk

    def count(self, url: str, method: str = "GET") -> int:
        """How often *url* was asked for."""
        return sum(ask.url == url and ask.method == method for ask in self.asks)

    @contextlib.asynccontextmanager
    async def open(self, ask: Ask) -> AsyncIterator[Reply]:
        """See `proxy.upstream.port.Upstream.open`."""
        if ask.mirror.offline:
            raise Offline(f"{ask.mirror.key} is offline")
        self.asks.append(ask)
        found = self.files.get(ask.url)
        file = FakeFile(body=found) if isinstance(found, bytes) else found
        if file is None:
            raise UpstreamMissing(f"{redacted(ask.url)} does not exist (404)")
        if file.head_held:
            file.reached.set()
            await file.release.wait()
        if file.error is not None:
            raise file.error
        self.open_now += 1
        try:
            yield self._reply(ask, file)
        finally:
            self.open_now -= 1

    async def aclose(self) -> None:
        """Close; a test may ask `closed`."""
        self.closed = True

    def _reply(self, ask: Ask, file: FakeFile) -> Reply:
        headers = _headers(file)
        url = redacted(file.moved_to or ask.url)
        if _unchanged(ask, file):
            return Reply(status=304, headers=headers, url=url, length=0, chunks=_nothing())
        status, first, last = 200, 0, len(file.body)
        wants = ask.byte_range if file.ranges else None
        if wants is not None and (span := _span(wants, len(file.body))):
            status, (first, last) = 206, span
            headers["content-range"] = f"bytes {first}-{last - 1}/{len(file.body)}"
        length = last - first if file.announced else None
        if length is not None:
            headers["content-length"] = str(length)
        chunks = _nothing() if ask.method == "HEAD" else self._chunks(file, first, last)
        return Reply(status=status, headers=headers, url=url, length=length, chunks=chunks)

    async def _chunks(self, file: FakeFile, first: int, last: int) -> AsyncIterator[bytes]:
        position = first
        stops = sorted({stop for stop in (file.held_at, file.breaks_at, last) if stop is not None})
        for stop in stops:
            while position < min(stop, last):
                piece = file.body[position : min(position + self._chunk, stop, last)]
                position += len(piece)
                yield piece
            if stop == file.held_at:
                file.reached.set()
                await file.release.wait()
            if stop == file.breaks_at:
                raise file.breaking or AssertionError("breaks_at needs breaking")


def _headers(file: FakeFile) -> dict[str, str]:
    given = {
        "etag": file.etag,
        "last-modified": file.last_modified,
        "cache-control": file.cache_control,
        "content-type": file.media_type,
    }
    return {name: value for name, value in given.items() if value is not None} | dict(file.headers)


def _unchanged(ask: Ask, file: FakeFile) -> bool:
    """If-None-Match wins over If-Modified-Since (RFC 9110 section 13.2.2)."""
    asked = ask.validators
    if asked.etag is not None:
        return file.etag is not None and asked.etag.removeprefix("W/") == file.etag.removeprefix(
            "W/"
        )
    return asked.last_modified is not None and asked.last_modified == file.last_modified


def _span(value: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None where the whole file is the answer."""
    match = _RANGE.fullmatch(value)
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else None
    end = min(int(last) + 1, size) if last else size
    return (int(first), end) if int(first) < end else None


async def _nothing() -> AsyncIterator[bytes]:
    for piece in tuple[bytes, ...]():
        yield piece
