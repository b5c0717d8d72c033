"""What the workers of a server know of hosts that fail, put together.

Each worker decides by what it has met itself (`proxy.upstream.circuits`); here it writes that down
for whoever is asked, within a second. Nothing is decided by what another worker has written.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import msgspec

from proxy.core.circuit import State
from proxy.upstream.circuits import Trouble

INTERVAL = 1.0
"""Seconds between two looks at what this worker knows."""

_BY_WEIGHT = (State.CLOSED, State.OPEN, State.HALF_OPEN)


class _Row(msgspec.Struct, frozen=True):
    host: str
    state: str
    failures: int
    until: float | None  # seconds since the epoch


class Troubles:
    """Those of *size* workers, for worker *number*, which knows its *own*; kept in *folder*."""

    def __init__(
        self,
        own: Iterable[Trouble],
        folder: Path,
        number: int,
        size: int,
        *,
        clock: Callable[[], float],
    ) -> None:
        """*clock*: seconds since the epoch, the same for all workers."""
        self._own = own
        self._folder = folder
        self._number = number
        self._size = size
        self._clock = clock
        self._written: list[_Row] | None = None

    def __iter__(self) -> Iterator[Trouble]:
        """By host, the workers' put together: what most is known of, and all their failures."""
        known = sorted([*self._own, *self._of_others()], key=lambda one: one.host)
        for _, same in groupby(known, key=lambda one: one.host):
            yield _together(list(same))

    async def run(self) -> None:
        """Write this worker's down when they change, until cancelled. A lone worker's are here."""
        while self._size > 1:
            rows = [self._row(one) for one in self._own]
            if rows != self._written:
                with contextlib.suppress(OSError):  # a full disk: the others do not hear of it
                    self._write(rows)
                    self._written = rows
            await asyncio.sleep(INTERVAL)

    def _row(self, one: Trouble) -> _Row:
        until = None if one.wait is None else round(self._clock() + one.wait)
        return _Row(one.host, one.state.value, one.failures, until)

    def _write(self, rows: list[_Row]) -> None:
        aside = self._path(self._number).with_suffix(".new")
        aside.write_bytes(msgspec.json.encode(rows))
        aside.replace(self._path(self._number))

    def _of_others(self) -> Iterator[Trouble]:
        now = self._clock()
        for number in range(self._size):
            if number == self._number:
                continue
            with contextlib.suppress(OSError, msgspec.MsgspecError):
                written = self._path(number).read_bytes()
                for row in msgspec.json.decode(written, type=list[_Row]):
                    wait = None if row.until is None else max(1.0, row.until - now)
                    yield Trouble(
                        host=row.host, state=State(row.state), failures=row.failures, wait=wait
                    )

    def _path(self, number: int) -> Path:
        return self._folder / f"troubles-{number}"


def _together(same: list[Trouble]) -> Trouble:
    """What several workers know of one host."""
    waits = [one.wait for one in same if one.wait is not None]
    return replace(
        same[0],
        state=max((one.state for one in same), key=_BY_WEIGHT.index),
        failures=sum(one.failures for one in same),
        wait=min(waits, default=None),
        left_alone_by=len(waits),
    )
