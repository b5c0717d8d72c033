"""What runs know of files: wanted, here, failed, gone; and what runs there were. In SQLite.

One file for all mirrors, beside the catalog. A run of 600,000 files keeps none of them in memory,
and one that was cut off goes on from what stands here. The catalog alone says what can be served:
the ledger may be lost, and the next run finds all that is here again.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import msgspec

from proxy.errors import StorageError
from proxy.mirror.ledger_file import (
    IndexState,
    Item,
    Page,
    State,
    add_indexes,
    at_once,
    opened,
    write,
)
from proxy.mirror.plan import oversize
from proxy.mirror.port import Counts, Failure, RunDetails

T = TypeVar("T")

MOST_FAILURES = 1000
"""Failures that are listed of a run; beyond that they are counted."""


class Ledger:
    """The ledger as the event loop sees it: each method is one turn in the ledger's thread.

    All of them raise StorageError.
    """

    def __init__(self, path: Path) -> None:
        """Open or create it; *path*'s folder is there."""
        self.path = path
        self._opened = contextlib.ExitStack()
        self._connection = self._opened.enter_context(opened(path))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    async def aclose(self) -> None:
        """Close the file."""
        await asyncio.to_thread(self._thread.shutdown)
        self._opened.close()

    # -- indexes -------------------------------------------------------------------------

    async def restart(self, mirror: str, run: str) -> None:
        """The run begins, or begins anew: every index is to be read again."""

        def work() -> None:
            with at_once(self._connection):
                self._connection.execute("DELETE FROM indexes WHERE mirror = ?", (mirror,))
                self._connection.execute(
                    "UPDATE files SET run = '' WHERE mirror = ? AND run = ?", (mirror, run)
                )

        await self._do(work)

    async def add_indexes(self, mirror: str, run: str, paths: Sequence[str]) -> None:
        """See `add_indexes`."""
        await self._do(lambda: add_indexes(self._connection, mirror, run, paths))

    async def add_known_indexes(self, mirror: str, run: str) -> None:
        """Those that listed something before, and that nothing leads to any more."""

        def work() -> None:
            rows = self._connection.execute(
                "SELECT DISTINCT idx FROM files WHERE mirror = ?", (mirror,)
            ).fetchall()
            add_indexes(self._connection, mirror, run, (path for (path,) in rows))

        await self._do(work)

    async def absent(self, page: Page) -> None:
        """Upstream does not have that index, and so nothing of what it once listed."""

        def work() -> None:
            write(self._connection, page, (), lambda _: False)

        await self._do(work)

    async def indexes(
        self, mirror: str, run: str, state: IndexState, *, after: str, limit: int
    ) -> list[str]:
        """Paths of the run's indexes in that state, in order, from behind *after*."""

        def work() -> list[str]:
            rows = self._connection.execute(
                "SELECT path FROM indexes WHERE mirror = ? AND run = ? AND state = ? AND path > ?"
                " ORDER BY path LIMIT ?",
                (mirror, run, state, after, limit),
            )
            return [path for (path,) in rows]

        return await self._do(work)

    async def mark_index(
        self, mirror: str, path: str, state: IndexState, error: str | None = None
    ) -> None:
        """What came of reading an index."""

        def work() -> None:
            self._connection.execute(
                "UPDATE indexes SET state = ?, error = ? WHERE mirror = ? AND path = ?",
                (state, error, mirror, path),
            )

        await self._do(work)

    # -- files ---------------------------------------------------------------------------

    async def trim(self, mirror: str, run: str, limit: int) -> int:
        """Leave out what *limit* bytes do not hold; returns how many files that is."""

        def work() -> int:
            rows = self._connection.execute(
                "SELECT path, size FROM files WHERE mirror = ? AND run = ? AND state <> 4"
                " AND path = main ORDER BY published DESC, path",
                (mirror, run),
            )
            out = [(mirror, path) for path in oversize(rows, limit)]
            with at_once(self._connection):
                self._connection.executemany(
                    "UPDATE files SET state = 4 WHERE mirror = ? AND main = ?", out
                )
            return len(out)

        return await self._do(work)

    async def items(
        self,
        mirror: str,
        run: str,
        states: Sequence[State],
        *,
        main: bool | None = None,
        fetched: bool = False,
        after: str,
        limit: int,
    ) -> list[Item]:
        """The run's files in one of *states*, in order of their paths, from behind *after*.

        *main*: only those, or only their companions; *fetched*: only what this run fetched.
        """

        wanted = msgspec.json.encode(list(states)).decode()

        def work() -> list[Item]:
            rows = self._connection.execute(
                "SELECT path, size, promise, state, path = main FROM files WHERE mirror = ?"
                " AND run = ? AND state IN (SELECT value FROM json_each(?)) AND path > ?"
                " AND (path = main) = coalesce(?, path = main) AND (fetched_by IS run) >= ?"
                " ORDER BY path LIMIT ?",
                (mirror, run, wanted, after, main, fetched, limit),
            )
            return [
                Item(path=path, size=size, promise=promise, state=State(state), is_main=bool(main))
                for path, size, promise, state, main in rows
            ]

        return await self._do(work)

    async def begin(self, mirror: str, run: str, paths: Iterable[str]) -> None:
        """The run is about to fetch these: those that are found here later came by it."""
        await self._mark(mirror, paths, "fetched_by = ?", run)

    async def here(self, mirror: str, paths: Iterable[str]) -> None:
        """These are here."""
        await self._mark(mirror, paths, "state = ?", State.HERE)

    async def missing(self, mirror: str, paths: Iterable[str]) -> None:
        """These are not here, whoever fetched them once."""
        await self._mark(mirror, paths, "fetched_by = NULL, state = ?", State.TO_FETCH)

    async def _mark(self, mirror: str, paths: Iterable[str], change: str, value: object) -> None:
        these = msgspec.json.encode(list(paths)).decode()

        def work() -> None:
            # One statement: who takes second place must not be made to wait within a transaction.
            self._connection.execute(
                f"UPDATE files SET {change} WHERE mirror = ?"  # noqa: S608 - words of ours
                " AND path IN (SELECT value FROM json_each(?))",
                (value, mirror, these),
            )

        await self._do(work)

    async def failed(self, mirror: str, path: str, error: str, *, state: State) -> None:
        """One more attempt at that file failed; *state* says whether there may be another."""

        def work() -> None:
            self._connection.execute(
                "UPDATE files SET state = ?, attempts = attempts + 1, error = ?"
                " WHERE mirror = ? AND path = ?",
                (state, error, mirror, path),
            )

        await self._do(work)

    async def gone(self, mirror: str, *, before: float, limit: int) -> list[str]:
        """Files that upstream has not listed since *before*."""

        def work() -> list[str]:
            rows = self._connection.execute(
                "SELECT path FROM files WHERE mirror = ? AND gone_since <= ? LIMIT ?",
                (mirror, before, limit),
            )
            return [path for (path,) in rows]

        return await self._do(work)

    async def forget(self, mirror: str, paths: Sequence[str]) -> None:
        """These files are of no concern any more."""

        def work() -> None:
            with at_once(self._connection):
                self._connection.executemany(
                    "DELETE FROM files WHERE mirror = ? AND path = ?",
                    [(mirror, path) for path in paths],
                )

        await self._do(work)

    # -- figures -------------------------------------------------------------------------

    async def counts(self, mirror: str, run: str) -> Counts:
        """The part of a run's counts that stands here: from `wanted` to `gone`."""

        def work() -> Counts:
            rows = self._connection.execute(
                "SELECT state, coalesce(fetched_by = ?2, 0), count(*), coalesce(sum(size), 0)"
                " FROM files WHERE mirror = ?1 AND run = ?2 AND state <> 4 AND path = main"
                " GROUP BY 1, 2",
                (mirror, run),
            ).fetchall()
            (gone,) = self._connection.execute(
                "SELECT count(*) FROM files WHERE mirror = ? AND gone_since IS NOT NULL"
                " AND path = main",
                (mirror,),
            ).fetchone()
            return _counted(rows, gone)

        return await self._do(work)

    async def failures(self, mirror: str, run: str) -> tuple[Failure, ...]:
        """The indexes and files that the run could not have, the first thousand."""

        def work() -> tuple[Failure, ...]:
            rows = self._connection.execute(
                "SELECT path, coalesce(error, ''), 1 FROM indexes"
                " WHERE mirror = ?1 AND run = ?2 AND state = 3 UNION ALL"
                " SELECT path, coalesce(error, ''), attempts FROM files"
                " WHERE mirror = ?1 AND run = ?2 AND state IN (3, 5) LIMIT ?3",
                (mirror, run, MOST_FAILURES),
            )
            return tuple(Failure(path=path, error=error, attempts=n) for path, error, n in rows)

        return await self._do(work)

    async def mirrored(self, mirror: str) -> tuple[int, int]:
        """How many wanted files are here because a run, and because a client, wanted them."""

        def work() -> tuple[int, int]:
            row = self._connection.execute(
                "SELECT count(fetched_by), count(*) FROM files"
                " WHERE mirror = ? AND state = 2 AND path = main",
                (mirror,),
            ).fetchone()
            return row[0], row[1] - row[0]

        return await self._do(work)

    # -- runs ----------------------------------------------------------------------------

    def all_runs(self) -> list[RunDetails]:
        """Every run that is remembered, oldest first. At start, not on the event loop."""
        rows = self._connection.execute("SELECT details FROM runs ORDER BY id").fetchall()
        with contextlib.suppress(msgspec.MsgspecError):
            return [msgspec.json.decode(details, type=RunDetails) for (details,) in rows]
        self._connection.execute("DELETE FROM runs")  # of another version
        return []

    async def remember(self, details: RunDetails, *, keep: int) -> None:
        """What is known of a run now; of its mirror's runs the newest *keep* stay."""
        run = details.run
        data = msgspec.json.encode(details)

        def work() -> None:
            with at_once(self._connection):
                self._connection.execute(
                    "INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", (run.id, run.mirror, data)
                )
                self._connection.execute(
                    "DELETE FROM runs WHERE mirror = ?1 AND id NOT IN"
                    " (SELECT id FROM runs WHERE mirror = ?1 ORDER BY id DESC LIMIT ?2)",
                    (run.mirror, keep),
                )

        await self._do(work)

    async def details(self, run_id: str) -> RunDetails | None:
        """What is remembered of a run."""

        def work() -> bytes | None:
            row = self._connection.execute(
                "SELECT details FROM runs WHERE id = ?", (run_id,)
            ).fetchone()
            return None if row is None else row[0]

        data = await self._do(work)
        return None if data is None else msgspec.json.decode(data, type=RunDetails)

    async def delete(self, mirror: str) -> None:
        """Nothing of that mirror is remembered any more."""

        def work() -> None:
            with at_once(self._connection):
                for table in ("files", "indexes", "runs"):
                    self._connection.execute(f"DELETE FROM {table} WHERE mirror = ?", (mirror,))  # noqa: S608 - names of ours

        await self._do(work)

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise StorageError(f"the ledger of mirrors {self.path} failed: {error}") from error


def _counted(rows: Sequence[tuple[int, int, int, int]], gone: int) -> Counts:
    """Of groups by state and whether this run fetched them: files and bytes."""
    files: dict[tuple[State, bool], int] = {}
    sizes: dict[tuple[State, bool], int] = {}
    for state, by_this, count, size in rows:
        files[State(state), bool(by_this)] = count
        sizes[State(state), bool(by_this)] = size
    fetched, present = (State.HERE, True), (State.HERE, False)
    wanted = sum(files.values())
    here = files.get(present, 0)
    lost = (State.FAILED, State.LOST)
    failed = sum(count for (state, _), count in files.items() if state in lost)
    return Counts(
        wanted=wanted,
        present=here,
        to_fetch=wanted - here,
        fetched=files.get(fetched, 0),
        failed=failed,
        gone=gone,
        bytes_present=sizes.get(present, 0),
        bytes_to_fetch=sum(sizes.values()) - sizes.get(present, 0),
        bytes_fetched=sizes.get(fetched, 0),
    )
