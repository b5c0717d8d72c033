"""The catalog on disk: what is remembered of every response and view, in SQLite by diskcache.

Values are msgpack of a tagged union and nothing else: diskcache's own serialiser falls back on
pickle, which would make a writable cache folder a way to run code (CVE-2025-69872), so a row
that is not plain bytes is never decoded. Several worker processes share the file; what one of
them has read or written last is also kept in its memory for `peek`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import diskcache

from proxy.core.model import Digest
from proxy.errors import StorageError
from proxy.storage.catalog_file import BUSY, is_damage, mark_damaged, opened, writing
from proxy.storage.ports import Remembered
from proxy.storage.rows import decoded, delete_in, encoded, keys_in, named_in, put_in

R = TypeVar("R")

IN_MEMORY = 20_000
"""Values kept in memory, about 1 kB each: the hot part of a busy server's catalog."""


class DiskCatalog:
    """See `proxy.storage.ports.Catalog`."""

    def __init__(
        self,
        folder: Path,
        *,
        on_loss: Callable[[str], None] = lambda _: None,
        alone: bool = True,
        in_memory: int = IN_MEMORY,
    ) -> None:
        """Open or create the catalog in *folder*, mended if nobody else uses it: *alone*.

        *on_loss* hears of whatever had to be given up; *in_memory* values are kept for `peek`.
        Raises StorageError.
        """
        self._in_memory = in_memory
        self._folder = folder
        self._on_loss = on_loss
        self._recent: OrderedDict[str, Remembered] = OrderedDict()
        self._writer: sqlite3.Connection | None = None  # of the thread below
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="catalog")
        try:
            self._cache = opened(folder, on_loss, alone=alone)
        except (sqlite3.Error, diskcache.Timeout, OSError) as error:
            raise StorageError(f"the catalog in {folder} cannot be opened: {error}") from error

    def __repr__(self) -> str:
        return f"<DiskCatalog {self._folder}>"

    def peek(self, key: str) -> Remembered | None:
        return self._recent.get(key)

    async def get(self, key: str) -> Remembered | None:
        # On the event loop: reading takes 30 µs and never waits for a writer (SQLite's WAL), a
        # turn in a thread takes ten times that.
        with self._as_storage_error():
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
        with self._as_storage_error():
            return await asyncio.to_thread(lambda: {one for _, one in self._named(prefix)})

    async def naming(self, digests: Collection[Digest]) -> list[str]:
        if not digests:
            return []
        with self._as_storage_error():
            return await asyncio.to_thread(
                lambda: [key for key, one in self._named("") if one in digests]
            )

    async def is_sound(self) -> bool:
        """Read the file through; where it is damaged, have it mended when it is opened next."""
        sound = await asyncio.to_thread(self._is_sound)
        if not sound:
            mark_damaged(self._folder)
        return sound

    async def aclose(self) -> None:
        """Close the file."""
        self._cache.close()  # each thread has a connection of its own
        await self._run(self._closed)
        await asyncio.to_thread(self._thread.shutdown)

    def keep(self, value: Remembered, key: str = "") -> None:
        """Have `peek` answer *value*, until it is not asked for in a while."""
        key = key or value.key
        self._recent[key] = value
        self._recent.move_to_end(key)
        if len(self._recent) > self._in_memory:
            self._recent.popitem(last=False)

    @contextlib.contextmanager
    def _as_storage_error(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, diskcache.Timeout, OSError) as error:
            if is_damage(error):
                mark_damaged(self._folder)
            raise StorageError(f"the catalog failed: {error}") from error

    # -- in the thread -------------------------------------------------------------------

    def _get(self, key: str) -> bytes | None:
        found: bytes | None = self._cache.get(key, retry=True)
        return found

    def _put(self, key: str, data: bytes) -> None:
        put_in(self._writing(), key, data)

    def _delete(self, keys: list[str]) -> None:
        delete_in(self._writing(), keys)

    def _writing(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = writing(self._folder)
        return self._writer

    def _keys(self, prefix: str) -> list[str]:
        with contextlib.closing(self._connected()) as connection:
            return list(keys_in(connection, prefix))

    def _named(self, prefix: str) -> Iterator[tuple[str, Digest]]:
        with contextlib.closing(self._connected()) as connection:
            yield from named_in(connection, prefix)

    def _closed(self) -> None:
        self._cache.close()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _is_sound(self) -> bool:
        with contextlib.closing(self._connected()) as connection:
            try:
                (word,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            except sqlite3.DatabaseError:
                return False
        return bool(word == "ok")

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(self._folder / "cache.db", timeout=BUSY)

    async def _run(self, work: Callable[..., R], *arguments: object) -> R:
        loop = asyncio.get_running_loop()
        with self._as_storage_error():
            return await loop.run_in_executor(self._thread, work, *arguments)
