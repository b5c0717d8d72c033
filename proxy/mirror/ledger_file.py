"""The file that the ledger is: its tables, its rows, and what a survey writes into it.

A survey of an index runs in a process of its own, which has the file and no event loop; everything
else that is asked of it goes through `proxy.mirror.ledger`.
"""

from __future__ import annotations

import contextlib
import enum
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.errors import StorageError

BUSY = 60.0
"""Seconds to wait for another writer: a survey of 600,000 files writes for some seconds."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    mirror TEXT NOT NULL, path TEXT NOT NULL, main TEXT NOT NULL, idx TEXT NOT NULL,
    size INTEGER, promise TEXT NOT NULL, published REAL, run TEXT NOT NULL,
    state INTEGER NOT NULL, fetched_by TEXT, attempts INTEGER NOT NULL DEFAULT 0, error TEXT,
    gone_since REAL, PRIMARY KEY (mirror, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS indexes (
    mirror TEXT NOT NULL, path TEXT NOT NULL, run TEXT NOT NULL, state INTEGER NOT NULL,
    error TEXT, PRIMARY KEY (mirror, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY, mirror TEXT NOT NULL, details BLOB NOT NULL
) WITHOUT ROWID;
"""


class State(enum.IntEnum):
    """What is known of a file."""

    WANTED = 0  # whether it is here has yet to be looked at
    TO_FETCH = 1
    HERE = 2
    FAILED = 3
    LEFT = 4  # listed upstream, and not wanted (any more)
    LOST = 5  # failed, and trying again will not help


class IndexState(enum.IntEnum):
    """What is known of an index in this run."""

    TO_READ = 0
    READ = 1
    ABSENT = 2
    FAILED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A wanted file: its path here, size, and what its index promises of it (`sha256=…`, or "")."""

    path: str
    size: int | None
    promise: str
    state: State
    is_main: bool = True  # not a companion of another file


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a survey writes of a file. `main` is the file that it is a companion of, or itself."""

    path: str
    main: str
    size: int | None
    promise: str
    published: float | None


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the ledger at *path*, made if need be. Raises StorageError."""
    try:
        connection = sqlite3.connect(
            path, timeout=BUSY, isolation_level=None, check_same_thread=False
        )
        with contextlib.closing(connection):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # of a crash the last writes are lost
            connection.executescript(_SCHEMA)
            yield connection
    except sqlite3.Error as error:
        raise StorageError(f"the ledger of mirrors {path} failed: {error}") from error


@contextlib.contextmanager
def at_once(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is written while entered, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One index of a run, as a survey writes of it at `now`."""

    mirror: str
    index: str
    run: str
    now: float


def write(
    connection: sqlite3.Connection,
    page: Page,
    wanted: Iterable[Wanted],
    is_listed: Callable[[str], bool],
) -> None:
    """What the index wants; of what it wanted before, and no more, *is_listed* says whether
    upstream still has it.
    """
    key = (page.mirror, page.index, page.run)
    with at_once(connection):
        connection.executemany(
            "INSERT INTO files (mirror, idx, run, path, main, size, promise, published, state)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT (mirror, path) DO UPDATE SET"
            " idx = excluded.idx, run = excluded.run, main = excluded.main, size = excluded.size,"
            " published = excluded.published, gone_since = NULL, error = NULL, attempts = 0,"
            " state = 0,"
            " fetched_by = CASE WHEN promise = excluded.promise THEN fetched_by END,"
            " promise = excluded.promise",
            ((*key, it.path, it.main, it.size, it.promise, it.published) for it in wanted),
        )
        others = connection.execute(
            "SELECT path FROM files WHERE mirror = ? AND idx = ? AND run <> ?", key
        ).fetchall()
        for (path,) in others:
            if is_listed(path):
                connection.execute(
                    "UPDATE files SET state = 4, run = ?, gone_since = NULL"
                    " WHERE mirror = ? AND path = ?",
                    (page.run, page.mirror, path),
                )
            else:
                connection.execute(
                    "UPDATE files SET gone_since = coalesce(gone_since, ?)"
                    " WHERE mirror = ? AND path = ?",
                    (page.now, page.mirror, path),
                )


def add_indexes(
    connection: sqlite3.Connection, mirror: str, run: str, paths: Iterable[str]
) -> None:
    """Indexes that the run is to read, but for those that it has read already."""
    with at_once(connection):
        connection.executemany(
            "INSERT INTO indexes (mirror, run, path, state) VALUES (?, ?, ?, 0)"
            " ON CONFLICT (mirror, path) DO UPDATE SET run = excluded.run,"
            " state = CASE WHEN run = excluded.run THEN state ELSE 0 END,"
            " error = CASE WHEN run = excluded.run THEN error END",
            ((mirror, run, path) for path in paths),
        )
