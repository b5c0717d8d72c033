"""One body on its way into a cache folder: hashed on the way, checked, renamed into place."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from proxy.core.model import Digest, Expected
from proxy.errors import IntegrityError, StorageError
from proxy.storage.ports import Spool, Stored

A = TypeVar("A")
R = TypeVar("R")

INLINE = 64 << 10
"""Bytes up to which hashing and writing is done on the event loop: it takes a tenth of a
millisecond, less than a turn in a thread, and most packages' first bytes wait for it."""

SHORT = 64 << 10
"""Bytes up to which a body is in memory until it is whole: those of which the gateway releases
nothing before."""

_COPY = 1 << 20  # bytes hashed at a time when a file is read again


class Home(Protocol):
    """The store that a spool belongs to."""

    async def run(self, work: Callable[..., R], *arguments: object) -> R:
        """Run *work* off the event loop, its operating system errors as StorageError."""
        ...

    def place(self, path: Path, digest: Digest) -> None:
        """Rename a finished file to its digest. Raises OSError."""
        ...

    def put(self, content: bytes, digest: Digest) -> None:
        """Write a file and give it its digest for a name. Raises OSError."""
        ...

    def released(self, count: int) -> None:
        """*count* reserved bytes are written or given up."""
        ...

    def closing(self) -> None:
        """A body is done with, by its readers, too."""
        ...

    def failed(self, size: int, error: StorageError) -> None:
        """A body could not be written any further, having *size* bytes."""
        ...

    def kept(self, size: int) -> None:
        """A body of *size* bytes is whole and in its place."""
        ...


def written(descriptor: int, chunk: bytes) -> None:
    """Write all of it. Raises OSError."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


class Written:
    """What has been written to a descriptor so far: how much, and what it is."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, descriptor: int, chunks: list[bytes]) -> None:
        """Append *chunks*. Raises OSError."""
        for chunk in chunks:
            self._hash.update(chunk)  # releases the interpreter lock for what is over 2 KiB
            written(descriptor, chunk)
            self.size += len(chunk)

    def check(self, descriptor: int, expected: Expected) -> Stored:
        """See `proxy.storage.ports.Spool.check`. Raises OSError where it must be read again."""
        digest = Digest(self._hash.hexdigest())
        if expected.size is not None and expected.size != self.size:
            raise IntegrityError(f"got {self.size} bytes, was promised {expected.size}")
        for name, wanted in expected.hashes.items():
            got = digest if name == "sha256" else self._hashed(descriptor, name)
            if got is not None and got != wanted.lower():
                raise IntegrityError(f"got {name} {got}, was promised {wanted}")
        return Stored(digest=digest, size=self.size)

    def _hashed(self, descriptor: int, name: str) -> str | None:
        """Another digest of what was written; None for an algorithm that is not to be had."""
        try:
            hashed = hashlib.new(name, usedforsecurity=False)
        except ValueError:
            return None
        for offset in range(0, self.size, _COPY):
            hashed.update(os.pread(descriptor, _COPY, offset))
        return hashed.hexdigest()


class DiskSpool(Spool):
    """One body being written. Its lock tells a later start that its writer still lives.

    A cancelled caller discards and closes while a thread may still be writing for it; the
    thread then closes the descriptor, lest its number be somebody else's file by then.
    """

    def __init__(self, home: Home, path: Path, descriptor: int, reserved: int) -> None:
        self._home = home
        self._written = Written()
        self._promised = self._reserved = reserved
        self._descriptor = descriptor
        self._guard = threading.Lock()  # over the two below and what is reserved
        self._busy = False
        self._closed = False
        self._path = path

    @property
    def path(self) -> Path:
        return self._path

    def __repr__(self) -> str:
        return f"<DiskSpool {self._path.name} {self._written.size}>"

    def fileno(self) -> int:
        return self._descriptor

    async def write(self, chunks: list[bytes]) -> None:
        with self._telling():
            if sum(map(len, chunks)) <= INLINE:
                with as_storage_error():
                    self._write(chunks)
            else:
                await self._home.run(self._held, self._write, chunks)

    async def check(self, expected: Expected) -> Stored:
        with self._telling():
            # Only digests beside our own are made of all of it again.
            if self._written.size <= INLINE or not expected.hashes.keys() - {"sha256"}:
                with as_storage_error():
                    return self._check(expected)
            return await self._home.run(self._held, self._check, expected)

    async def place(self, checked: Stored) -> None:
        with self._telling():
            if self._written.size <= INLINE:  # a rename, for which the next one waits
                with as_storage_error():
                    self._held(self._place, checked.digest)
            else:
                await self._home.run(self._held, self._place, checked.digest)
        self._home.kept(checked.size)

    async def discard(self) -> None:
        # Without a turn in a thread: the caller may be cancelled, and it must still be done.
        with as_storage_error():
            self._discard()

    def close(self) -> None:
        with self._guard:
            self._closed = True
            busy = self._busy
        if not busy:
            self._release()

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            self._home.failed(self._written.size, error)
            raise

    def _held(self, work: Callable[[A], R], argument: A) -> R:
        """Run *work* in a thread with the descriptor held open."""
        with self._guard:
            self._busy = True
        try:
            return work(argument)
        finally:
            with self._guard:
                self._busy = False
                closed = self._closed
            if closed:
                self._release()

    def _release(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._home.closing()
            os.close(descriptor)
        self._settle()

    def _write(self, chunks: list[bytes]) -> None:
        self._written.write(self._descriptor, chunks)
        self._settle(keeping=max(0, self._promised - self._written.size))

    def _check(self, expected: Expected) -> Stored:
        return self._written.check(self._descriptor, expected)

    def _place(self, digest: Digest) -> None:
        self._home.place(self._path, digest)
        self._settle()

    def _discard(self) -> None:
        self._path.unlink(missing_ok=True)
        self._settle()

    def _settle(self, *, keeping: int = 0) -> None:
        """Give back what was reserved, but for *keeping* bytes."""
        with self._guard:
            given, self._reserved = self._reserved - keeping, keeping
        self._home.released(given)


class ShortSpool(Spool):
    """A body of which readers get nothing before it is checked: it is in memory until then, and has
    a file when they have it. A new file takes a file system up to a millisecond.
    """

    def __init__(self, home: Home, descriptor: int, reserved: int) -> None:
        """*descriptor*: of a file in memory, without a name."""
        self._home = home
        self._descriptor = descriptor
        self._reserved = reserved
        self._written = Written()

    def __repr__(self) -> str:
        return f"<ShortSpool {self._written.size}>"

    @property
    def path(self) -> Path:
        return Path(f"/proc/{os.getpid()}/fd/{self._descriptor}")

    def fileno(self) -> int:
        return self._descriptor

    async def write(self, chunks: list[bytes]) -> None:
        """Raises IntegrityError, too: what goes on and on is not taken into memory."""
        with as_storage_error():
            self._written.write(self._descriptor, chunks)
        if self._written.size > SHORT:
            raise IntegrityError(f"got more than {SHORT} bytes, was promised fewer")

    async def check(self, expected: Expected) -> Stored:
        with as_storage_error():
            return self._written.check(self._descriptor, expected)

    async def place(self, checked: Stored) -> None:
        try:
            with as_storage_error():
                content = os.pread(self._descriptor, checked.size, 0)
                self._home.put(content, checked.digest)
        except StorageError as error:
            self._home.failed(checked.size, error)
            raise
        self._settle()
        self._home.kept(checked.size)

    async def discard(self) -> None:
        self._settle()

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
        self._settle()

    def _settle(self) -> None:
        """Give back what was reserved."""
        given, self._reserved = self._reserved, 0
        self._home.released(given)


@contextlib.contextmanager
def as_storage_error() -> Iterator[None]:
    """Errors of the operating system become StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"the store failed: {error}") from error
