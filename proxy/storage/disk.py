"""Blobs on local disk: written aside, hashed on the way, checked, then renamed into place.

The layout is that of `folder.py`. All of it lies on one file system, so a rename is atomic and a
reader never sees half a file. Nothing here scans the store. A blob that is open is locked
(shared), and a body being written is locked by its writer, so that eviction, in whatever process,
leaves both alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from proxy.core.model import Digest
from proxy.errors import StorageError
from proxy.storage.folder import READING, blob_name, blob_path, prepared, verified
from proxy.storage.leftovers import Ahead, collect
from proxy.storage.ports import Spool, Stored
from proxy.storage.spool import SHORT, DiskSpool, ShortSpool, as_storage_error, written
from proxy.storage.tally import Tally
from proxy.storage.trouble import Trouble
from proxy.storage.uses import Uses

R = TypeVar("R")

MARGIN = 64 << 20
"""Bytes of a file system left free, at the most: the catalog must still be able to write."""

SHARE = 0.25
"""Share of the quota beyond which a body is not stored: too many others would have to go."""

SLACK = 0.1
"""Share of the quota by which it may be exceeded until eviction has made room; then bodies are
no longer stored."""


CONVINCING = 1 << 20
"""Bytes of a body that is kept after which a store that failed counts as well again: smaller ones
may still find room where larger ones do not."""


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


class DiskBlobs:
    """A store of blobs below one folder; several processes may share it."""

    def __init__(
        self,
        root: Path,
        *,
        limit: int | None = None,
        threads: int = 8,
        trouble: Trouble | None = None,
    ) -> None:
        """*limit* is the quota in bytes, which eviction keeps (`eviction.py`). *trouble* hears of
        bodies that cannot be written to their end.

        Raises StorageError where *root* cannot be used.
        """
        self.root = root
        self.limit = limit
        self._folder = f"{root}/"
        self._spools = root / "spool"
        self.reserved = 0  # bytes that running spools have claimed and not yet written
        self._guard = threading.Lock()  # over `reserved`
        self._trouble = trouble or Trouble()
        self._failed = 0  # bytes of the longest body that could not be written to its end
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="blobs")
        self._uses = Uses(self.path)
        self.workspace = root / "work"
        prepared(root)
        with as_storage_error():
            self.tally = Tally(root / "tally")
        self._ahead = Ahead(self._spools)
        # What is in memory has no other name by which siblings could open it.
        self._has_memory = hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir()

    def __repr__(self) -> str:
        return f"<DiskBlobs {self.root}>"

    async def aclose(self) -> None:
        """Wait for what is being written, write down what was used, then end the threads."""
        await self.write_uses()
        await asyncio.to_thread(self._threads.shutdown)
        self.tally.close()
        self._ahead.close()

    async def spool(self, reserve: int | None = None) -> Spool:
        # Like `open`, on the event loop: it takes less than a turn in a thread would.
        with as_storage_error():
            return self._spool(reserve or 0)

    async def needed(self, reserve: int | None = None) -> Spool:
        return await self.spool(reserve)

    async def open(self, digest: Digest, size: int) -> DiskBlob | None:
        # On the event loop: opening a file whose folder is cached takes four microseconds, a
        # turn in a thread ten times that, and this is done for every hit.
        try:
            descriptor = os.open(self._folder + blob_name(digest), READING)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"blob {digest} cannot be opened: {error.strerror}") from error
        found = os.fstat(descriptor).st_size
        if found != size:
            os.close(descriptor)
            await self.remove([digest])
            return None
        _share(descriptor)
        self._uses.note(digest)
        return DiskBlob(descriptor, digest, size)

    def path(self, digest: Digest) -> Path:
        return blob_path(self.root, digest)

    def used(self, digest: Digest) -> None:
        self._uses.note(digest)

    async def write_uses(self) -> int:
        """Write down which blobs were used since the last time; returns for how many."""
        return await self.run(self._uses.write) if len(self._uses) else 0

    async def check(self, digest: Digest) -> Stored | None:
        if not self.path(digest).exists():  # nearly always, and then a client waits for upstream
            return None
        found = await self.run(verified, self.path(digest))
        if found is not None and found.digest != digest:
            await self.remove([digest])
            return None
        return found

    def is_oversized(self, reserve: int) -> bool:
        """Whether a body of *reserve* bytes is too large to be stored at any time."""
        return self.limit is not None and reserve > self.limit * SHARE

    def has_room(self, reserve: int = 0) -> bool:
        """Whether *reserve* bytes can be stored."""
        try:
            self._check_room(reserve)
            return self._is_within_quota(reserve) and os.access(self.workspace, os.W_OK)
        except (OSError, StorageError):
            return False

    async def adopt(self, path: Path, stored: Stored) -> None:
        await self.run(self.place, path, stored.digest)

    async def remove(self, digests: Iterable[Digest]) -> int:
        return await self.run(self._remove, [self.path(digest) for digest in digests])

    def collect_leftovers(self) -> int:
        """Remove what crashed writers left; returns how many files. Called at start.

        Other processes may be writing meanwhile. Raises StorageError.
        """
        with as_storage_error():
            return collect(self._spools, self.workspace)

    async def run(self, work: Callable[..., R], *arguments: object) -> R:
        """Run *work* off the event loop, its operating system errors as StorageError."""
        with as_storage_error():
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def place(self, path: Path, digest: Digest) -> None:
        """Rename a finished file to its digest, over one that is there.

        The one that is there may be damaged, or old enough for a sweep that does not know yet
        that it is wanted again. Who reads it goes on reading it.
        """
        # Text, and no look at the folder before it is missed: clients wait for this.
        home, aside = self._folder + blob_name(digest), str(path)
        grown = os.stat(aside).st_size - _size(home)  # noqa: PTH116
        try:
            os.replace(aside, home)  # noqa: PTH105
        except FileNotFoundError:
            self.path(digest).parent.mkdir(exist_ok=True, mode=0o750)
            os.replace(aside, home)  # noqa: PTH105
        if grown:
            self.tally.add(grown)

    def put(self, content: bytes, digest: Digest) -> None:
        """Write a file and give it its digest for a name. Raises OSError."""
        path, descriptor = self._ahead.take()
        try:
            written(descriptor, content)
            self.place(path, digest)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        self.closing()

    def released(self, count: int) -> None:
        """*count* reserved bytes are written or given up."""
        with self._guard:
            self.reserved -= count

    def closing(self) -> None:
        """A body is done with, by its readers, too: time to think of the next one."""
        # In a thread, and nobody waits for it: it takes the file system up to a millisecond.
        with contextlib.suppress(RuntimeError):  # they have ended
            self._threads.submit(self._ahead.make)

    def failed(self, size: int, error: StorageError) -> None:
        """A body could not be written any further, having *size* bytes; told once."""
        self._failed = max(self._failed, size)
        self._trouble.raised("bodies", error)

    def kept(self, size: int) -> None:
        """A body of *size* bytes is whole: that is over, unless it was only a shorter one."""
        if size >= min(self._failed, CONVINCING):
            self._failed = 0
            self._trouble.over("bodies")

    def _spool(self, reserve: int) -> Spool:
        self._check_room(reserve)
        if not self._is_within_quota(reserve):
            # Room is made for the next one of its size.
            self.tally.ask(0 if self.is_oversized(reserve) else reserve)
            raise StorageError(
                f"{reserve} bytes wanted, {self.tally.read()} of cache.max_size, {self.limit}, "
                f"are used in {self.root}"
            )
        if 0 < reserve <= SHORT and self._has_memory:
            spool: Spool = ShortSpool(self, os.memfd_create("spool", os.MFD_CLOEXEC), reserve)
        else:
            spool = DiskSpool(self, *self._ahead.take(), reserve)
        self.released(-reserve)
        return spool

    def _check_room(self, reserve: int) -> None:
        """Raises OSError, and StorageError where *reserve* bytes must not be stored."""
        found = os.statvfs(self.root)
        free = found.f_bavail * found.f_frsize - self.reserved
        free -= margin(found.f_blocks * found.f_frsize)
        if reserve > free:
            raise StorageError(f"{reserve} bytes wanted, {max(free, 0)} free in {self.root}")

    def _is_within_quota(self, reserve: int) -> bool:
        """Eviction makes room behind us; what it cannot keep up with is not stored."""
        if self.limit is None:
            return True
        left = int(self.limit * (1 + SLACK)) - self.tally.read() - self.reserved
        return 0 < left >= reserve and not self.is_oversized(reserve)

    def _remove(self, paths: list[Path]) -> int:
        freed = 0
        for path in paths:
            try:
                size = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                continue
            freed += size
        if freed:
            self.tally.add(-freed)
        return freed


def margin(size: int) -> int:
    """Bytes left free of a file system of *size* bytes."""
    return min(MARGIN, size // 20)


def _share(descriptor: int) -> None:
    """Tell eviction that the blob is being read.

    Where somebody holds the other lock, it is the writer, whose lock says as much, or eviction,
    which then takes only the name away: what is open can be read to its end.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # held, or a file system without locks
        return


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except FileNotFoundError:
        return 0
