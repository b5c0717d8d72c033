"""The operator's hand in the cache: what is in it, looked up, and taken out of it.

What is taken out is fetched again when a client asks. When files were first seen here stays
known: a cool-down must not begin anew, or be over, because somebody tidied up.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from proxy.core.model import Absence, Entry
from proxy.storage.ports import Blobs, Catalog
from proxy.storage.sweep import remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What is remembered of one path of a mirror.

    `size` in bytes and `digest` (SHA-256) are None where upstream said that there is no such
    file. `checked_at` is when upstream was last asked, in seconds since the epoch.
    """

    mirror: str
    path: str
    size: int | None
    digest: str | None
    media_type: str | None
    checked_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What of the cache is one mirror's; bytes that two have in common count for both."""

    entries: int
    absences: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The cache's contents by mirror, and its `views`: rendered indexes and what is noted."""

    mirrors: Mapping[str, Share]
    views: int
    view_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What was taken out: paths, and the bytes that nothing else needs."""

    paths: int
    bytes: int


class Upkeep:
    """Over one catalog and the blobs that it names."""

    def __init__(self, catalog: Catalog, blobs: Blobs) -> None:
        self._catalog = catalog
        self._blobs = blobs

    async def statistics(self) -> Statistics:
        """Count everything. Reads the whole catalog. Raises StorageError."""
        entries: Counter[str] = Counter()
        absences: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        views = view_bytes = 0
        async for value in remembered(self._catalog):
            mirror = value.key.partition(" ")[0]
            match value:
                case Entry(size=size):
                    entries[mirror] += 1
                    sizes[mirror] += size
                case Absence():
                    absences[mirror] += 1
                case _:
                    views += 1
                    view_bytes += value.size
        shares = {
            mirror: Share(entries=entries[mirror], absences=absences[mirror], bytes=sizes[mirror])
            for mirror in sorted(entries.keys() | absences.keys())
        }
        return Statistics(mirrors=shares, views=views, view_bytes=view_bytes)

    async def search(
        self, mirror: str, pattern: str, *, after: str, limit: int
    ) -> tuple[Sequence[Holding], int]:
        """Up to *limit* holdings of *mirror* whose paths match *pattern* and come behind *after*,
        in order, and how many match in all. Raises StorageError.
        """
        paths = await self._paths(mirror, pattern)
        found: list[Holding] = []
        for path in heapq.nsmallest(limit, (path for path in paths if path > after)):
            value = await self._catalog.get(f"{mirror} {path}")
            if isinstance(value, Entry | Absence):
                found.append(_holding(mirror, path, value))
        return found, len(paths)

    async def purge(self, mirror: str, pattern: str) -> Purged:
        """Take out what *mirror* has at paths that match *pattern*. Raises StorageError."""
        paths = await self._paths(mirror, pattern)
        doomed = [f"{mirror} {path}" for path in paths]
        for path in paths:
            doomed += await self._catalog.keys(f"view {mirror} {path}\t")
        named = [await self._catalog.get(key) for key in doomed]
        digests = {it.digest for it in named if it is not None and not isinstance(it, Absence)}
        await self._catalog.forget(doomed)
        async for value in remembered(self._catalog):
            if not isinstance(value, Absence):
                digests.discard(value.digest)
        return Purged(paths=len(paths), bytes=await self._blobs.remove(digests))

    async def _paths(self, mirror: str, pattern: str) -> list[str]:
        prefix = f"{mirror} "
        keys = await self._catalog.keys(prefix)
        return [path for key in keys if fnmatchcase(path := key[len(prefix) :], pattern)]


def _holding(mirror: str, path: str, value: Entry | Absence) -> Holding:
    entry = value if isinstance(value, Entry) else None
    return Holding(
        mirror=mirror,
        path=path,
        size=None if entry is None else entry.size,
        digest=None if entry is None else entry.digest,
        media_type=None if entry is None else entry.media_type,
        checked_at=value.checked_at,
    )
