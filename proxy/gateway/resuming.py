"""The rest of a body whose fill our own store has failed, from upstream and past the store.

A disk that fills up in the middle of a download costs the cache and not the client: each client
that follows the fill gets what it lacks by a range. Two answers are joined only where they are of
the same file, by the digest that its index gives or by upstream's own validators, and a whole file
that an index vouches for is complete only if all of it has that digest.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from proxy.core.http_date import parse_http_date
from proxy.core.model import Expected, Mirror, Resource
from proxy.errors import IntegrityError, StorageError, UpstreamFailed
from proxy.gateway.answer import Answer, Nothing, Passing, Slice, Want
from proxy.gateway.fill import HELD_BACK

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")
_PIECE = 256 * 1024  # bytes read at a time of what is here

_END = 1 << 62  # beyond every file

Open = Callable[[Resource, Mirror, Want], Awaitable[Answer]]


class Digesting:
    """The digests of a body, as far as it is known, and what they must be."""

    def __init__(self, promised: Expected) -> None:
        self._promised = promised
        known = hashlib.algorithms_available
        self._hashes = {
            name: hashlib.new(name, usedforsecurity=False)
            for name in promised.hashes
            if name in known
        }

    def update(self, chunk: bytes) -> None:
        for hashed in self._hashes.values():
            hashed.update(chunk)

    def read(self, descriptor: int, end: int) -> bool:
        """Take the bytes of *descriptor* up to *end*; False where it has fewer.

        Waits for the disk. Raises OSError.
        """
        if os.fstat(descriptor).st_size < end:
            return False
        for offset in range(0, end, _PIECE):
            self.update(os.pread(descriptor, min(_PIECE, end - offset), offset))
        return True

    def check(self) -> None:
        """Raises IntegrityError where the body is another one than was promised."""
        for name, hashed in self._hashes.items():
            got, wanted = hashed.hexdigest(), self._promised.hashes[name].lower()
            if got != wanted:
                raise IntegrityError(f"got {name} {got}, was promised {wanted}")


async def checked(chunks: AsyncIterator[bytes], digesting: Digesting) -> AsyncIterator[bytes]:
    """*chunks*, of which the last bytes come only when all of the body was right.

    Raises IntegrityError.
    """
    held, waiting = deque[bytes](), 0
    async for chunk in chunks:
        digesting.update(chunk)
        held.append(chunk)
        waiting += len(chunk)
        while waiting - len(held[0]) >= HELD_BACK:
            waiting -= len(held[0])
            yield held.popleft()
    digesting.check()
    for chunk in held:
        yield chunk


@contextlib.asynccontextmanager
async def rest(
    open_: Open, resource: Resource, mirror: Mirror, want: Want, *, before: Answer, offset: int
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The bytes from *offset* on of what *before* answered, whose body is still held.

    Raises upstream's errors, and UpstreamFailed where upstream has another file by now; the bytes
    raise IntegrityError where they do not make what the index promised.
    """
    byte_range = f"bytes={offset}-" if offset else None
    again = await open_(resource, mirror, replace(want, byte_range=byte_range, unstored=True))
    try:
        match again.body:
            case Slice() as body if before.etag is not None and again.etag == before.etag:
                yield _read(body, offset)
            case Passing() as body:
                yield await _joined(before, again, body, offset)
            case _:
                raise UpstreamFailed(f"{resource.path} has changed while it was fetched")
    finally:
        await again.close()


async def _read(body: Slice, offset: int) -> AsyncIterator[bytes]:
    """Of what somebody has stored meanwhile."""
    for start in range(offset, body.length, _PIECE):
        count = min(_PIECE, body.length - start)
        yield await asyncio.to_thread(os.pread, body.blob.fileno(), count, body.start + start)


async def _joined(
    before: Answer, again: Answer, body: Passing, offset: int
) -> AsyncIterator[bytes]:
    """Raises UpstreamFailed where the two answers are not of the same file."""
    start, length = _extent(again)
    known = None not in (length, before.length)
    is_same = _is_same(before, again, body) and not (known and length != before.length)
    if not is_same or start not in (0, offset):
        raise UpstreamFailed("upstream has another file by now")
    # From another place: it knows no ranges.
    chunks = body.chunks if start == offset else within(body.chunks, range(offset, _END))
    if not body.promised or not offset:  # from the start on it is checked already
        return chunks
    digesting = Digesting(body.promised)
    assert not isinstance(before.body, Slice | Passing | Nothing)
    try:
        is_here = await asyncio.to_thread(digesting.read, before.body.fileno(), offset)
    except OSError as error:
        raise StorageError(f"the store failed: {error}") from error
    # A client that asked for a part beyond what was written gets no whole file to be checked.
    return checked(chunks, digesting) if is_here else chunks


def _extent(again: Answer) -> tuple[int, int | None]:
    """Where its bytes begin, and the length of the whole file. Raises UpstreamFailed."""
    if again.content_range is None:
        return 0, again.length
    found = _CONTENT_RANGE.fullmatch(again.content_range)
    if found is None:
        raise UpstreamFailed("upstream answered a range that makes no sense")
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _is_same(before: Answer, again: Answer, body: Passing) -> bool:
    if body.promised:
        return before.etag is not None and again.etag == before.etag
    if before.etag is not None:  # strong: others are not told of what is on its way
        return body.validators.etag == before.etag
    when = parse_http_date(body.validators.last_modified or "")
    return before.length is not None and when is not None and when == before.last_modified


async def within(chunks: AsyncIterator[bytes], span: range) -> AsyncIterator[bytes]:
    """Those of the bytes whose offsets are in *span*; no more are read than that takes.

    What the end of *chunks* raises is raised where *span* reaches it.
    """
    offset = 0
    async for chunk in chunks:
        end = offset + len(chunk)
        piece = chunk[max(0, span.start - offset) : max(0, span.stop - offset)]
        if piece:
            yield piece
        offset = end
        if offset > span.stop:
            return
