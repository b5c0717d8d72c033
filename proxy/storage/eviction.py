"""Making room: which blobs go first when a store has outgrown its quota.

The longer a blob has not been used, and the larger it is, the sooner it goes; size counts by
class, because a store of the same bytes answers more requests with small files in it. Never
removed is what somebody reads or writes at the moment, in whatever process, what was used just
now, and what is pinned. Two passes over the folder need memory only for what will go.
"""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.core.model import Digest
from proxy.storage.disk import DiskBlobs
from proxy.storage.folder import READING, Held, blob_path, held
from proxy.storage.ports import Catalog, Pinned
from proxy.storage.sweep import RECENT, Usage, usage

LOW = 0.95
"""Share of the quota down to which room is made, so that it is not made for each new file."""

CLASSES = ((64 << 10, "small"), (1 << 20, "medium"), (16 << 20, "large"), (1 << 62, "huge"))
"""Size classes, by the bytes they end at. Each counts its idle time twice as much as the last."""

BATCH = 200
"""Blobs removed between two turns of everybody else in the interpreter: a few milliseconds."""

_STEPS = 16  # of the survey, in which urgency doubles


@dataclass(frozen=True, slots=True, kw_only=True)
class Evicted:
    """What an eviction did, in blobs and bytes by size class."""

    removed: Counter[str]
    freed: Counter[str]
    left: int  # bytes that the store still holds
    short: int  # bytes that were wanted and not found: the rest is pinned, or in use


def size_class(size: int) -> int:
    """The number of the class that *size* bytes belong to."""
    return next(number for number, (end, _) in enumerate(CLASSES) if size <= end)


def urgency(one: Held, now: float) -> float:
    """How much *one* should go: seconds of idleness, weighted by its size class. Never 0."""
    return max(now - one.used_at, 1.0) * float(1 << size_class(one.size))


class Survey:
    """How many bytes are how urgent, in steps of a few per cent."""

    def __init__(self) -> None:
        self._sizes: Counter[int] = Counter()

    def add(self, one: Held, now: float) -> None:
        """Count *one*."""
        self._sizes[_step(urgency(one, now))] += one.size

    def threshold(self, wanted: int) -> float:
        """The urgency from which on the blobs together have *wanted* bytes, if all have."""
        found, step = 0, 0
        for step in sorted(self._sizes, reverse=True):
            found += self._sizes[step]
            if found >= wanted:
                break
        return math.exp2(step / _STEPS)


def chosen(candidates: Iterable[Held], wanted: int, now: float) -> Iterator[Held]:
    """The most urgent of *candidates*, until they have *wanted* bytes."""
    for one in sorted(candidates, key=lambda one: urgency(one, now), reverse=True):
        if wanted <= 0:
            return
        wanted -= one.size
        yield one


class Eviction:
    """Keeps one store within its quota. Of all processes that share it, one runs this."""

    def __init__(self, blobs: DiskBlobs, catalog: Catalog, pinned: Pinned) -> None:
        self._blobs = blobs
        self._catalog = catalog
        self._pinned = pinned

    def __repr__(self) -> str:
        return f"<Eviction {self._blobs}>"

    def is_due(self) -> bool:
        """Whether the store seems to have no room left for what comes. Costs microseconds."""
        limit, tally = self._blobs.limit, self._blobs.tally
        return limit is not None and tally.read() + tally.asked() > limit

    async def measure(self) -> Usage:
        """Count what the store holds, and correct its tally. Raises StorageError."""
        counted = self._blobs.tally.read()
        found = await asyncio.to_thread(usage, self._blobs.root)
        self._blobs.tally.add(found.size - counted)
        return found

    async def run(self, now: float) -> Evicted | None:
        """Make room if there is need; None where there was none. Raises StorageError.

        The values that named a blob are forgotten with it.
        """
        limit = self._blobs.limit
        if limit is None:
            return None
        total = (await self.measure()).size
        asked = self._blobs.tally.answer()
        if total + asked <= limit:
            return None
        pinned = [await self._catalog.digests(prefix) for prefix in self._pinned.prefixes()]
        wanted = total - min(int(limit * LOW), limit - asked)
        pick = _Pick(frozenset[Digest]().union(*pinned), wanted, now)
        doomed = await asyncio.to_thread(pick.of, self._blobs.root)
        removed, freed = await self._removed(doomed)
        left = total - freed.total()
        short = max(0, wanted - freed.total())
        return Evicted(removed=removed, freed=freed, left=left, short=short)

    async def _removed(self, doomed: list[Held]) -> tuple[Counter[str], Counter[str]]:
        """Remove them, but for those that somebody reads or writes; returns blobs and bytes."""
        removed: Counter[str] = Counter()
        freed: Counter[str] = Counter()
        gone: set[Digest] = set()
        for start in range(0, len(doomed), BATCH):
            for one in await self._blobs.run(
                _remove, self._blobs.root, doomed[start : start + BATCH]
            ):
                name = CLASSES[size_class(one.size)][1]
                removed[name] += 1
                freed[name] += one.size
                gone.add(one.digest)
        self._blobs.tally.add(-freed.total())
        keys = await self._catalog.naming(gone)
        for start in range(0, len(keys), BATCH):
            await self._catalog.forget(keys[start : start + BATCH])
        return removed, freed


@dataclass(frozen=True, slots=True)
class _Pick:
    """What to look for: *wanted* bytes of blobs, none of them *pinned* or used just *now*."""

    pinned: frozenset[Digest]
    wanted: int
    now: float

    def of(self, root: Path) -> list[Held]:
        survey = Survey()
        for one in self._free(root):
            survey.add(one, self.now)
        least = survey.threshold(self.wanted)
        candidates = (one for one in self._free(root) if urgency(one, self.now) >= least)
        return list(chosen(candidates, self.wanted, self.now))

    def _free(self, root: Path) -> Iterator[Held]:
        before = self.now - RECENT
        return (one for one in held(root) if one.used_at < before and one.digest not in self.pinned)


def _step(found: float) -> int:
    return math.floor(math.log2(found) * _STEPS)


def _remove(root: Path, doomed: list[Held]) -> list[Held]:
    return [one for one in doomed if _is_removed(blob_path(root, one.digest))]


def _is_removed(path: Path) -> bool:
    """Remove a blob that nobody reads or writes. Raises OSError."""
    try:
        descriptor = os.open(path, READING)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
