"""The catalog on disk: what is remembered of every response and view, in SQLite by diskcache.

Values are msgpack of a tagged union and nothing else: diskcache's own serialiser falls back on
pickle, which would make a writable cache folder a way to run code (CVE-2025-69872), so a row
that is not plain bytes is never decoded. Several worker processes share the file; what one of
them has read or written last is also kept in its memory for `peek`.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import diskcache
from diskcache.core import MODE_RAW

from proxy.core.model import Digest
from proxy.errors import StorageError
from proxy.storage.ports import Remembered
from proxy.storage.rows import decoded, encoded, keys_in, named_in

R = TypeVar("R")

IN_MEMORY = 20_000
"""Values kept in memory, about 1 kB each: the hot part of a busy server's catalog."""

BUSY = 30.0
"""Seconds that SQLite waits for another process's write before it gives up."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
_CACHED = 2 << 10  # SQLite pages of 4 kB kept per connection: 8 MB
_INLINE = 1 << 20  # bytes of a value that stay within SQLite: all do


class _Plain(diskcache.Disk):  # type: ignore[misc]  # diskcache is untyped
    """Text keys and byte values, and never anything that has to be unpickled."""

    def put(self, key: str) -> tuple[str, bool]:
        return key, True

    def get(self, key: object, raw: object) -> str:
        return str(key) if raw else ""

    def store(self, value: bytes, read: bool, key: object = None) -> tuple[Any, ...]:  # noqa: FBT001
        return 0, MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: object, value: object, read: bool) -> bytes:  # noqa: FBT001
        if mode != MODE_RAW or filename is not None or not isinstance(value, bytes):
            return b""  # which no value is: it counts as one that cannot be read
        return value

    def remove(self, file_path: str) -> None:
        """Nothing: no value is a file of its own, and a row that names one was planted."""


class DiskCatalog:
    """See `proxy.storage.ports.Catalog`."""

    def __init__(self, folder: Path, *, on_loss: Callable[[str], None] = lambda _: None) -> None:
        """Open or create the catalog in *folder*. A damaged file is moved aside.

        *on_loss* hears of whatever had to be given up. Raises StorageError.
        """
        self._folder = folder
        self._on_loss = on_loss
        self._recent: OrderedDict[str, Remembered] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog")
        try:
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            with _alone(folder.parent):
                # Not before: a sibling may be about to move a damaged one aside.
                folder.mkdir(exist_ok=True, mode=0o750)
                self._cache = self._opened()
        except (sqlite3.Error, diskcache.Timeout, OSError) as error:
            raise StorageError(f"the catalog in {folder} cannot be opened: {error}") from error

    def __repr__(self) -> str:
        return f"<DiskCatalog {self._folder}>"

    def peek(self, key: str) -> Remembered | None:
        return self._recent.get(key)

    async def get(self, key: str) -> Remembered | None:
        # On the event loop: reading takes 30 µs and never waits for a writer (SQLite's WAL), a
        # turn in a thread takes ten times that.
        with _as_storage_error():
            data = self._get(key)
        if data is None:
            self._recent.pop(key, None)
            return None
        try:
            value = decoded(data)
        except ValueError as error:
            self._on_loss(f"the catalog's value of {key!r} cannot be read: {error}")
            await self.forget([key])
            return None
        self.keep(value, key)
        return value

    async def put(self, value: Remembered) -> None:
        await self._run(self._put, value.key, encoded(value))
        self.keep(value)

    async def forget(self, keys: Iterable[str]) -> None:
        doomed = list(keys)
        await self._run(self._delete, doomed)
        # Afterwards: who read one of them in the meantime has put it back here.
        for key in doomed:
            self._recent.pop(key, None)

    async def count(self) -> int:
        return await self._run(len, self._cache)

    async def keys(self, prefix: str = "") -> list[str]:
        return await self._run(self._keys, prefix)

    async def digests(self, prefix: str = "") -> set[Digest]:
        # Not in the thread that writes: reading all of a large catalog takes seconds.
        with _as_storage_error():
            return await asyncio.to_thread(lambda: {one for _, one in self._named(prefix)})

    async def naming(self, digests: Collection[Digest]) -> list[str]:
        if not digests:
            return []
        with _as_storage_error():
            return await asyncio.to_thread(
                lambda: [key for key, one in self._named("") if one in digests]
            )

    async def aclose(self) -> None:
        """Close the file."""
        self._cache.close()  # each thread has a connection of its own
        await self._run(self._cache.close)
        await asyncio.to_thread(self._thread.shutdown)

    def keep(self, value: Remembered, key: str = "") -> None:
        """Have `peek` answer *value*, until it is not asked for in a while."""
        key = key or value.key
        self._recent[key] = value
        self._recent.move_to_end(key)
        if len(self._recent) > IN_MEMORY:
            self._recent.popitem(last=False)

    # -- in the thread -------------------------------------------------------------------

    def _get(self, key: str) -> bytes | None:
        found: bytes | None = self._cache.get(key, retry=True)
        return found

    def _put(self, key: str, data: bytes) -> None:
        self._cache.set(key, data, retry=True)

    def _delete(self, keys: list[str]) -> None:
        with self._cache.transact(retry=True):
            for key in keys:
                self._cache.delete(key, retry=True)

    def _keys(self, prefix: str) -> list[str]:
        with contextlib.closing(self._connected()) as connection:
            return list(keys_in(connection, prefix))

    def _named(self, prefix: str) -> Iterator[tuple[str, Digest]]:
        with contextlib.closing(self._connected()) as connection:
            yield from named_in(connection, prefix)

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(self._folder / "cache.db", timeout=BUSY)

    async def _run(self, work: Callable[..., R], *arguments: object) -> R:
        loop = asyncio.get_running_loop()
        with _as_storage_error():
            return await loop.run_in_executor(self._thread, work, *arguments)

    def _opened(self) -> Any:
        try:
            return _opened(self._folder)
        except sqlite3.DatabaseError as error:
            # A full disk or a lock is no reason to lose what is remembered.
            code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            if code & 0xFF not in _DAMAGED:
                raise
            aside = self._moved_aside()
            self._on_loss(f"the catalog was damaged ({error}) and lies in {aside} now")
            return _opened(self._folder)

    def _moved_aside(self) -> Path:
        aside = next(
            path
            for number in range(1, 10_000)
            if not (path := self._folder.with_name(f"{self._folder.name}.broken-{number}")).exists()
        )
        self._folder.rename(aside)
        self._folder.mkdir(mode=0o750)
        return aside


@contextlib.contextmanager
def _as_storage_error() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, diskcache.Timeout, OSError) as error:
        raise StorageError(f"the catalog failed: {error}") from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of *folder*: of several workers one makes, or mends, the catalog."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _opened(folder: Path) -> Any:
    # Only an explicit `forget` removes anything: no eviction, no culling, no expiry.
    return diskcache.Cache(
        str(folder),
        timeout=BUSY,
        disk=_Plain,
        disk_min_file_size=_INLINE,
        eviction_policy="none",
        cull_limit=0,
        statistics=0,
        size_limit=1 << 62,
        sqlite_cache_size=_CACHED,
        sqlite_mmap_size=0,
    )
