"""A wheel's core metadata (PEP 658) where upstream has none beside it: read out of the wheel.

A few ranges of the wheel are enough: the end of the archive with its directory, and the one
member. Where upstream knows no ranges, or the archive is odd, the wheel is fetched whole, as if a
client had asked for it. What was read is stored and served like any other file.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import struct
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from proxy.core.model import Artifact, Entry, Expected, Mirror, Source, Validators
from proxy.core.rows import Row
from proxy.errors import IntegrityError, StorageError, UpstreamRefused
from proxy.gateway.addresses import address
from proxy.gateway.fetching import Fetching, Filling, Order
from proxy.gateway.fill import Fill, Landed
from proxy.gateway.flights import Flights
from proxy.gateway.ports import Ports
from proxy.upstream.port import Ask

TAIL = 32 << 10
"""Bytes from the end of a wheel that are asked for first: most directories fit in."""

MOST = 8 << 20
"""Bytes of a wheel that are fetched in ranges; beyond that it is fetched whole."""

LARGEST = 16 << 20
"""Bytes of metadata that are accepted."""

ENDING = ".metadata"

_SPAN = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_MEMBER = re.compile(r"[^/]+\.dist-info/METADATA")


_ODD = (NotImplementedError, RuntimeError, EOFError, OSError, ValueError, struct.error)
"""What the zip reader raises for archives that are none."""


class _Unranged(Exception):
    """The wheel cannot be read in ranges."""


@dataclass
class _Wanted(Exception):
    """Bytes that are not here yet."""

    start: int
    end: int


class Deriving:
    """Reads the metadata of wheels, of each once at a time."""

    def __init__(self, ports: Ports, fetching: Fetching) -> None:
        self._upstream = ports.upstream
        self._blobs = ports.blobs
        self._catalog = ports.catalog
        self._team = ports.team
        self._clock = ports.clock
        self._fetching = fetching
        self._flights: Flights[str, Entry] = Flights(ports.events.failed)

    async def fetch(self, artifact: Artifact, mirror: Mirror, row: Row) -> Entry:
        """Read the metadata that *artifact* is, of the wheel that *row* describes; store it.

        Raises upstream's errors, IntegrityError where the wheel has none, and Elsewhere.
        """
        self._team.claim(artifact.key)
        boarded = await self._flights.join(artifact.key, partial(self._fly, artifact, mirror, row))
        return boarded.value

    async def drain(self, seconds: float) -> None:
        """Let running work end for up to *seconds*."""
        await self._flights.drain(seconds)

    async def aclose(self) -> None:
        await self._flights.aclose()

    async def _fly(
        self, artifact: Artifact, mirror: Mirror, row: Row, publish: Callable[[Entry], None]
    ) -> None:
        body = await self._from_store(artifact)
        if body is None:
            try:
                body = await self._in_ranges(artifact, mirror, row)
            except (_Unranged, zipfile.BadZipFile):
                body = await self._from_whole(artifact, mirror, row)
        spool = await self._blobs.needed(len(body))
        expected = Expected(size=len(body))
        stored = await Fill(spool, expected=expected, length=len(body)).run(_once(body))
        entry = Entry(
            key=artifact.key,
            digest=stored.digest,
            size=stored.size,
            media_type=artifact.media_type,
            source=artifact.path,
            url="",
            validators=Validators(),
            checked_at=self._clock(),
            fresh_for=0.0,
            headers={"derived": origin(row)},
        )
        await self._catalog.put(entry)
        publish(entry)

    async def _from_store(self, artifact: Artifact) -> bytes | None:
        """Out of the wheel, if that is here already."""
        held = await self._catalog.get(artifact.key.removesuffix(ENDING))
        if not isinstance(held, Entry) or "verified" not in held.headers:
            return None
        blob = await self._blobs.open(held.digest, held.size)
        if blob is None:
            return None
        try:
            return await asyncio.to_thread(_read_file, blob.fileno())
        except zipfile.BadZipFile as error:
            raise _without(artifact, error) from error
        finally:
            blob.close()

    async def _from_whole(self, artifact: Artifact, mirror: Mirror, row: Row) -> bytes:
        """Fetch the wheel, as for a client, and read it."""
        order = Order(
            key=artifact.key.removesuffix(ENDING),
            mirror=mirror,
            source=Source(path=row.url or artifact.path.removesuffix(ENDING)),
            expected=row.expected,
        )
        with self._team.alone():
            boarded = await self._fetching.fetch(order)
        if isinstance(boarded.value, Filling):
            fill = boarded.value.fill
            with fill.reader():
                offset = 0
                while (end := await fill.wait_past(offset)) > offset:
                    offset = end
                try:
                    return await asyncio.to_thread(_read_file, fill.fileno())
                except zipfile.BadZipFile as error:
                    raise _without(artifact, error) from error
        if isinstance(boarded.value, Entry):
            raise Landed
        raise StorageError(f"{artifact.path}: the wheel cannot be stored to be read")

    # -- ranges --------------------------------------------------------------------------

    async def _in_ranges(self, artifact: Artifact, mirror: Mirror, row: Row) -> bytes:
        """Raises _Unranged and BadZipFile where that is not possible."""
        source = Source(path=row.url or artifact.path.removesuffix(ENDING))
        ask = partial(self._range, mirror, address(mirror, source))
        size, start, tail = await ask(f"bytes=-{TAIL}")
        if row.size is not None and size != row.size:
            raise _Unranged
        file = _Sparse(size)
        file.add(start, tail)
        spent = len(tail)
        while True:
            try:
                return await asyncio.to_thread(_read_archive, file)
            except _Wanted as wanted:
                spent += wanted.end - wanted.start
                if spent > MOST:
                    raise _Unranged from wanted
                same, start, piece = await ask(f"bytes={wanted.start}-{wanted.end - 1}")
                if same != size or start > wanted.start or start + len(piece) < wanted.end:
                    raise _Unranged from wanted
                file.add(start, piece)

    async def _range(self, mirror: Mirror, url: str, span: str) -> tuple[int, int, bytes]:
        """The file's size, where the bytes start, the bytes."""
        ask = Ask(mirror=mirror, url=url, byte_range=span)
        try:
            async with self._upstream.open(ask) as reply:
                found = _SPAN.fullmatch(reply.headers.get("content-range", ""))
                if reply.status != 206 or found is None:
                    raise _Unranged
                pieces, size = [], 0
                async for chunk in reply.chunks:
                    pieces.append(chunk)
                    size += len(chunk)
                    if size > MOST:
                        raise _Unranged
        except UpstreamRefused as error:  # 416 among others: some know no suffix ranges
            raise _Unranged from error
        return int(found[3]), int(found[1]), b"".join(pieces)


def origin(row: Row) -> str:
    """What the metadata were read from: the wheel's digests, else its address."""
    return ",".join(f"{name}={row.hashes[name]}" for name in sorted(row.hashes)) or str(row.url)


class _Sparse(io.RawIOBase):
    """A file of which parts are here; reading another raises _Wanted."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._parts: list[tuple[int, bytes]] = []
        self._at = 0

    def add(self, start: int, piece: bytes) -> None:
        """These bytes are here now."""
        self._parts.append((start, piece))

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise zipfile.BadZipFile("the archive points before its beginning")
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._size - self._at if size is None or size < 0 else size
        end = min(self._at + wanted, self._size)
        if end <= self._at:
            return b""
        for start, piece in self._parts:
            if start <= self._at and end <= start + len(piece):
                found = piece[self._at - start : end - start]
                self._at = end
                return found
        # A little more than was asked for: what comes next is usually asked for as well.
        raise _Wanted(self._at, min(max(end, self._at + TAIL), self._size))


def _read_file(descriptor: int) -> bytes:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        return _read_archive(file)


def _read_archive(file: io.RawIOBase | io.BufferedReader) -> bytes:
    """The metadata in a wheel. Raises BadZipFile for every way in which it can be odd."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            found = [one for one in archive.infolist() if _MEMBER.fullmatch(one.filename)]
            if len(found) != 1 or found[0].file_size > LARGEST:
                raise zipfile.BadZipFile("there is no one METADATA of a fitting size")
            with archive.open(found[0]) as member:
                body = member.read(LARGEST + 1)
    except (*_ODD, zlib.error) as error:
        raise zipfile.BadZipFile(f"{type(error).__name__}: {error}") from error
    if len(body) > LARGEST:
        raise zipfile.BadZipFile("METADATA is too long")
    return body


def _without(artifact: Artifact, error: Exception) -> IntegrityError:
    return IntegrityError(f"{artifact.path}: the wheel has no metadata that can be read: {error}")


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
