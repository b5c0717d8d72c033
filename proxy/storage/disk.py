"""Blobs on local disk: written aside, hashed on the way, checked, then renamed into place.

`<root>/sha256/ab/<digest>` holds the blobs, `<root>/spool/` the bodies that are being written,
`<root>/work/` files being made elsewhere that `adopt` will take. All lie on one file system, so
a rename is atomic and a reader never sees half a file. Nothing here scans the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from proxy.core.model import Digest, Expected
from proxy.errors import IntegrityError, StorageError
from proxy.storage.leftovers import collect, locked_file
from proxy.storage.ports import Stored

A = TypeVar("A")
R = TypeVar("R")

FORMAT = "1"
"""The layout's version, in `<root>/FORMAT`; another one is refused."""

MARGIN = 64 << 20
"""Bytes of a file system left free, at the most: the catalog must still be able to write."""

INLINE = 64 << 10
"""Bytes up to which hashing and writing is done on the event loop: it takes a tenth of a
millisecond, less than a turn in a thread, and most packages' first bytes wait for it."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_COPY = 1 << 20  # bytes hashed at a time when a file is read again


class DiskBlob:
    """A blob held open."""

    __slots__ = ("_descriptor", "digest", "size")

    def __init__(self, descriptor: int, digest: Digest, size: int) -> None:
        self._descriptor = descriptor
        self.digest = digest
        self.size = size

    def __repr__(self) -> str:
        return f"<DiskBlob {self.digest[:12]} {self.size}>"

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class DiskSpool:
    """One body being written. Its lock tells a later start that its writer still lives.

    A cancelled caller discards and closes while a thread may still be writing for it; the
    thread then closes the descriptor, lest its number be somebody else's file by then.
    """

    def __init__(self, blobs: DiskBlobs, path: Path, descriptor: int, reserved: int) -> None:
        self._blobs = blobs
        self._hash = hashlib.sha256()
        self._size = 0
        self._promised = self._reserved = reserved
        self._descriptor = descriptor
        self._guard = threading.Lock()  # over the two below and what is reserved
        self._busy = False
        self._closed = False
        self.path = path

    def __repr__(self) -> str:
        return f"<DiskSpool {self.path.name} {self._size}>"

    def fileno(self) -> int:
        return self._descriptor

    async def write(self, chunks: list[bytes]) -> None:
        if sum(map(len, chunks)) <= INLINE:
            with _as_storage_error():
                self._write(chunks)
        else:
            await self._blobs.run(self._held, self._write, chunks)

    async def commit(self, expected: Expected) -> Stored:
        return await self._blobs.run(self._held, self._commit, expected)

    async def discard(self) -> None:
        # Without a turn in a thread: the caller may be cancelled, and it must still be done.
        with _as_storage_error():
            self._discard()

    def close(self) -> None:
        with self._guard:
            self._closed = True
            busy = self._busy
        if not busy:
            self._release()

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
            os.close(descriptor)
        self._settle()

    def _write(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            self._hash.update(chunk)  # releases the interpreter lock for what is over 2 KiB
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            self._size += len(chunk)
        self._settle(keeping=max(0, self._promised - self._size))

    def _commit(self, expected: Expected) -> Stored:
        digest = Digest(self._hash.hexdigest())
        if expected.size is not None and expected.size != self._size:
            raise IntegrityError(f"got {self._size} bytes, was promised {expected.size}")
        for name, wanted in expected.hashes.items():
            got = digest if name == "sha256" else self._hashed(name)
            if got is not None and got != wanted.lower():
                raise IntegrityError(f"got {name} {got}, was promised {wanted}")
        self._blobs.place(self.path, digest)
        self._settle()
        return Stored(digest=digest, size=self._size)

    def _hashed(self, name: str) -> str | None:
        """Another digest of what was written; None for an algorithm that is not to be had."""
        try:
            hashed = hashlib.new(name, usedforsecurity=False)
        except ValueError:
            return None
        for offset in range(0, self._size, _COPY):
            hashed.update(os.pread(self._descriptor, _COPY, offset))
        return hashed.hexdigest()

    def _discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._settle()

    def _settle(self, *, keeping: int = 0) -> None:
        """Give back what was reserved, but for *keeping* bytes."""
        with self._guard:
            given, self._reserved = self._reserved - keeping, keeping
        self._blobs.released(given)


class DiskBlobs:
    """A store of blobs below one folder; several processes may share it."""

    def __init__(self, root: Path, *, threads: int = 8) -> None:
        """Raises StorageError where *root* cannot be used."""
        self._root = root
        self._spools = root / "spool"
        self.reserved = 0  # bytes that running spools have claimed and not yet written
        self._tally = threading.Lock()  # over `reserved`
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="blobs")
        self.workspace = root / "work"
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o750)
            self._check_format()
            for folder in (self._spools, self.workspace, root / "sha256"):
                folder.mkdir(exist_ok=True, mode=0o750)
        except OSError as error:
            raise StorageError(f"the cache folder {root} cannot be used: {error}") from error

    def __repr__(self) -> str:
        return f"<DiskBlobs {self._root}>"

    async def aclose(self) -> None:
        """Wait for what is being written, then end the threads."""
        await asyncio.to_thread(self._threads.shutdown)

    async def spool(self, reserve: int | None = None) -> DiskSpool:
        # Like `open`, on the event loop: it takes less than a turn in a thread would.
        with _as_storage_error():
            return self._spool(reserve or 0)

    async def open(self, digest: Digest, size: int) -> DiskBlob | None:
        # On the event loop: opening a file whose folder is cached takes ten microseconds, a
        # turn in a thread five times that, and this is done for every hit.
        path = self.path(digest)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"blob {digest} cannot be opened: {error.strerror}") from error
        found = os.fstat(descriptor).st_size
        if found != size:
            os.close(descriptor)
            await self.remove([digest])
            return None
        return DiskBlob(descriptor, digest, size)

    def path(self, digest: Digest) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise StorageError(f"{digest[:80]!r} is not a SHA-256 in lower-case hex")
        return self._root / "sha256" / digest[:2] / digest

    async def adopt(self, path: Path, stored: Stored) -> None:
        await self.run(self.place, path, stored.digest)

    async def remove(self, digests: Iterable[Digest]) -> int:
        return await self.run(self._remove, [self.path(digest) for digest in digests])

    def collect_leftovers(self) -> int:
        """Remove what crashed writers left; returns how many files. Called at start.

        Other processes may be writing meanwhile. Raises StorageError.
        """
        with _as_storage_error():
            return collect(self._spools, self.workspace)

    async def run(self, work: Callable[..., R], *arguments: object) -> R:
        """Run *work* off the event loop, its operating system errors as StorageError."""
        with _as_storage_error():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def place(self, path: Path, digest: Digest) -> None:
        """Rename a finished file to its digest, over one that is there.

        The one that is there may be damaged, or old enough for a sweep that does not know yet
        that it is wanted again. Who reads it goes on reading it.
        """
        home = self.path(digest)
        home.parent.mkdir(exist_ok=True, mode=0o750)
        path.replace(home)

    def released(self, count: int) -> None:
        """*count* reserved bytes are written or given up."""
        with self._tally:
            self.reserved -= count

    def _spool(self, reserve: int) -> DiskSpool:
        found = os.statvfs(self._root)
        free = found.f_bavail * found.f_frsize - self.reserved
        free -= margin(found.f_blocks * found.f_frsize)
        if reserve > free:
            raise StorageError(f"{reserve} bytes wanted, {max(free, 0)} free in {self._root}")
        path, descriptor = locked_file(self._spools)
        self.released(-reserve)
        return DiskSpool(self, path, descriptor, reserve)

    def _remove(self, paths: list[Path]) -> int:
        freed = 0
        for path in paths:
            try:
                size = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                continue
            freed += size
        return freed

    def _check_format(self) -> None:
        path = self._root / "FORMAT"
        if not path.exists():
            # Several workers start at once, and none may read it half written.
            aside = path.with_name(f"FORMAT-{os.getpid()}")
            aside.write_text(FORMAT + "\n")
            aside.replace(path)
        found = path.read_text(errors="replace").strip()[:80]
        if found != FORMAT:
            raise StorageError(
                f"{self._root} holds a store of format {found}, this version writes {FORMAT}: "
                "name another folder in cache.path, or remove this one"
            )


@contextlib.contextmanager
def _as_storage_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"the store failed: {error}") from error


def margin(size: int) -> int:
    """Bytes left free of a file system of *size* bytes."""
    return min(MARGIN, size // 20)
