"""The two ports of storage: bytes by digest, and what is remembered about them.

Implementations: `disk.py` and `catalog.py` (diskcache) for servers, `memory.py` for tests.
All pass the suites in `tests/storage/`. Methods that touch a disk are async and run off the
event loop; their failures are StorageError.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from proxy.core.model import Absence, Digest, Entry, Expected, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a committed spool became."""

    digest: Digest
    size: int


class Spool(Protocol):
    """One body being written aside: append-only, readable at any offset while it grows.

    `fileno` is a descriptor for reading (pread, sendfile) that stays valid over `commit` and
    `discard` until `close`.
    """

    @property
    def path(self) -> Path: ...
    def fileno(self) -> int: ...
    async def write(self, chunks: list[bytes]) -> None:
        """Append and hash *chunks*. Raises StorageError (a full disk among others)."""
        ...

    async def check(self, expected: Expected) -> Stored:
        """All of it is written: what it is. Raises IntegrityError where that is not *expected*."""
        ...

    async def place(self, checked: Stored) -> None:
        """Rename into place what has been *checked*. Raises StorageError."""
        ...

    async def commit(self, expected: Expected) -> Stored:
        """Check size and digests, then rename into place. Raises IntegrityError."""
        stored = await self.check(expected)
        await self.place(stored)
        return stored

    async def discard(self) -> None:
        """Forget it. Called at most once, instead of `place` and `commit` or after they failed."""
        ...

    def close(self) -> None:
        """Give the descriptor back."""
        ...


class OpenBlob(Protocol):
    """A blob held open for reading: it outlives its removal from the store."""

    @property
    def digest(self) -> Digest: ...
    @property
    def size(self) -> int: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class Blobs(Protocol):
    """Immutable bytes named by their SHA-256."""

    async def spool(self, reserve: int | None = None) -> Spool:
        """Start a body; *reserve* bytes must be available. Raises StorageError if not."""
        ...

    async def needed(self, reserve: int | None = None) -> Spool:
        """Like `spool`, for what nothing can be served without (an index).

        Where there is no room, such a body may go to another place, for as long as the server runs.
        """
        ...

    async def open(self, digest: Digest, size: int) -> OpenBlob | None:
        """Open a blob; None where it is absent, or not *size* bytes long (then it is removed)."""
        ...

    async def check(self, digest: Digest) -> Stored | None:
        """Read the blob through; None where it is absent, or damaged (then it is removed)."""
        ...

    def path(self, digest: Digest) -> Path:
        """Where the blob is, or would be (for renderers, which are given paths)."""
        ...

    def used(self, digest: Digest) -> None:
        """Note that the blob is in use, where it is read without being opened (a map of it)."""
        ...

    @property
    def workspace(self) -> Path:
        """A folder on the blobs' filesystem for files being made that `adopt` will take."""
        ...

    async def adopt(self, path: Path, stored: Stored) -> None:
        """Take a finished file, hashed by whoever made it, into the store by renaming it."""
        ...

    async def remove(self, digests: Iterable[Digest]) -> int:
        """Remove blobs; returns the bytes freed. Absent ones count nothing."""
        ...


Remembered = Entry | Absence | View


class Catalog(Protocol):
    """What is remembered, by key. Values are frozen; the last writer wins."""

    def peek(self, key: str) -> Remembered | None:
        """What this process last saw under *key*, from memory; perhaps no longer the newest."""
        ...

    async def get(self, key: str) -> Remembered | None:
        """What is stored under *key*; None also where it cannot be decoded (logged, removed)."""
        ...

    async def put(self, value: Remembered) -> None:
        """Remember *value* under `value.key`."""
        ...

    async def forget(self, keys: Iterable[str]) -> None: ...

    async def count(self) -> int:
        """How many keys there are, without listing them."""
        ...

    async def keys(self, prefix: str = "") -> list[str]:
        """All keys that start with *prefix*, in no order."""
        ...

    async def digests(self, prefix: str = "") -> set[Digest]:
        """The blobs named by values whose keys start with *prefix*."""
        ...

    async def naming(self, digests: Collection[Digest]) -> list[str]:
        """The keys of all values that name one of *digests*, in no order."""
        ...


class Pinned(Protocol):
    """What must stay, however long nobody has asked for it."""

    def prefixes(self) -> Iterable[str]:
        """Beginnings of catalog keys: no blob that a value under one of them names is evicted."""
        ...


class NothingPinned:
    """Everything may go."""

    def prefixes(self) -> Iterable[str]:
        return ()
