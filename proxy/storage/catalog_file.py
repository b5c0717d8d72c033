"""The catalog's file: opened, and mended where it is damaged.

A damaged file is moved aside and what can be read of it goes into a new one, so that a page that
cannot be read costs the values in it and no others. Damage found while the file is used is noted
beside it, and mended at the next start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diskcache
from diskcache.core import MODE_RAW

from proxy.storage.folder import note_loss
from proxy.storage.rows import decoded

BUSY = 30.0
"""Seconds that SQLite waits for another process's write before it gives up."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_MARKER = "damaged"  # beside the file
_CACHED = 2 << 10  # SQLite pages of 4 kB kept per connection: 8 MB
_INLINE = 1 << 20  # bytes of a value that stay within SQLite: all do
_BLOCK = 512  # rows read at a time out of a damaged file
_LEAST = 8  # rows given up together where one of them cannot be read


def opened(folder: Path, on_loss: Callable[[str], None], *, alone: bool) -> Any:
    """Open or make the catalog in *folder*, mended if need be and nobody else uses it: *alone*.

    *on_loss* hears of it. Raises sqlite3.Error, diskcache.Timeout and OSError.
    """
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    with _alone(folder.parent):
        # Not before: a sibling may be about to move a damaged one aside.
        folder.mkdir(exist_ok=True, mode=0o750)
        why = "it was found so while it was used"
        if not (alone and (folder / _MARKER).exists()):
            try:
                return _opened(folder)
            except sqlite3.DatabaseError as error:
                # A full disk or a lock is no reason to lose what is remembered; what is no
                # catalog of diskcache's at all fails with a plain error.
                if not alone or (
                    not is_damage(error) and getattr(error, "sqlite_errorcode", 1) != 1
                ):
                    raise
                why = str(error)
        aside = _moved_aside(folder)
        cache = _opened(folder)
        count = _salvaged(aside / "cache.db", folder / "cache.db")
        note_loss(folder.parent)
        on_loss(
            f"the catalog was damaged ({why}) and lies in {aside} now; {count} values were saved"
        )
        return cache


def writing(folder: Path) -> sqlite3.Connection:
    """A connection to the catalog in *folder* on which each statement is a transaction."""
    connection = sqlite3.connect(folder / "cache.db", timeout=BUSY, isolation_level=None)
    connection.execute("PRAGMA synchronous = NORMAL")  # of a crash the last writes are lost
    return connection


def is_damage(error: BaseException) -> bool:
    """Whether the file is broken, and not just busy, or its disk full."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _DAMAGED


def _is_foreign(error: sqlite3.DatabaseError) -> bool:
    """Whether it is no catalog of diskcache's: what SQLite calls just an error."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) == sqlite3.SQLITE_ERROR


def mark_damaged(folder: Path) -> None:
    """Have the catalog in *folder* mended when it is opened next."""
    with contextlib.suppress(OSError):
        (folder / _MARKER).touch()


def _moved_aside(folder: Path) -> Path:
    aside = next(
        path
        for number in range(1, 10_000)
        if not (path := folder.with_name(f"{folder.name}.broken-{number}")).exists()
    )
    folder.rename(aside)
    folder.mkdir(mode=0o750)
    return aside


def _salvaged(source: Path, target: Path) -> int:
    """Copy what can be read and understood from one file to another; returns how many values."""
    count = 0
    with (
        contextlib.closing(sqlite3.connect(source)) as damaged,
        contextlib.closing(sqlite3.connect(target, timeout=BUSY)) as whole,
    ):
        try:
            ((last,),) = damaged.execute("SELECT MAX(rowid) FROM Cache").fetchall()
        except sqlite3.DatabaseError:
            return 0
        for start in range(1, (last or 0) + 1, _BLOCK):
            rows = list(_readable(damaged, range(start, start + _BLOCK)))
            with whole:
                whole.executemany(
                    "INSERT OR IGNORE INTO Cache (key, raw, store_time, access_time, size, mode,"
                    " value) VALUES (?, 1, 0, 0, 0, ?, ?)",
                    [(key, MODE_RAW, value) for key, value in rows],
                )
            count += len(rows)
    return count


def _readable(damaged: sqlite3.Connection, numbers: range) -> Iterator[tuple[str, bytes]]:
    """The rows of these numbers, but for those that cannot be read; a few beside them go, too."""
    try:
        rows = damaged.execute(
            "SELECT key, value FROM Cache WHERE raw = 1 AND mode = ? AND rowid BETWEEN ? AND ?",
            (MODE_RAW, numbers.start, numbers.stop - 1),
        ).fetchall()
    except sqlite3.DatabaseError:
        if len(numbers) > _LEAST:
            middle = numbers.start + len(numbers) // 2
            yield from _readable(damaged, range(numbers.start, middle))
            yield from _readable(damaged, range(middle, numbers.stop))
        return
    yield from ((key, value) for key, value in rows if isinstance(key, str) and _is_sound(value))


def _is_sound(value: object) -> bool:
    try:
        decoded(value)  # type: ignore[arg-type]  # whatever it is, it says so
    except (ValueError, TypeError):
        return False
    return True


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
