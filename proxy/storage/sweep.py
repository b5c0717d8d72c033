"""Mark and sweep: remove blobs that nothing in the catalog names any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from proxy.core.model import Digest
from proxy.errors import StorageError
from proxy.storage.folder import Held, blob_path, held, lost_at
from proxy.storage.ports import Catalog, Remembered

ADOPTION = 30 * 86400.0
"""Seconds for which blobs are kept that nothing names, after what named them was lost."""

RECENT = 60.0
"""Seconds since its last use in which a blob is not removed: another process may have been told
of it and not have opened it yet."""

TURN = 50
"""Values read between two turns of everybody else: the reading takes 2 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep did, in blobs and bytes."""

    removed: int
    freed: int
    kept: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a store holds: the number of blobs and their bytes."""

    blobs: int
    size: int


async def remembered(catalog: Catalog, prefix: str = "") -> AsyncIterator[Remembered]:
    """All values whose keys start with *prefix*, without keeping the event loop to itself."""
    for number, key in enumerate(await catalog.keys(prefix)):
        if number % TURN == 0:
            await asyncio.sleep(0)
        value = await catalog.get(key)
        if value is not None:
            yield value


async def sweep(
    root: Path,
    catalog: Catalog,
    *,
    keep_for: float,
    now: float,
    dropped: AbstractSet[Digest] = frozenset(),
) -> Swept:
    """Remove blobs under *root* that nothing names and nobody used for *keep_for* seconds; those
    *dropped*, which something named until now, unless they were used just now.

    After a catalog was lost they are kept for `ADOPTION`: they are taken over when they are asked
    for. Raises StorageError.
    """
    if now - lost_at(root) < ADOPTION:
        keep_for = max(keep_for, ADOPTION)
    pick = _Pick(await catalog.digests(), dropped, before=now - keep_for, recent=now - RECENT)
    return await asyncio.to_thread(_sweep, root, pick)


def usage(root: Path) -> Usage:
    """Count the blobs under *root*. Reads every folder: not for the event loop.

    Raises StorageError.
    """
    sizes = [one.size for one in held(root)]
    return Usage(blobs=len(sizes), size=sum(sizes))


@dataclass(frozen=True, slots=True)
class _Pick:
    """Which blobs are to go; the moments are in seconds since the epoch."""

    named: AbstractSet[Digest]
    dropped: AbstractSet[Digest]
    before: float
    recent: float

    def has(self, one: Held) -> bool:
        last = self.recent if one.digest in self.dropped else self.before
        return one.digest not in self.named and one.used_at < last


def _sweep(root: Path, pick: _Pick) -> Swept:
    removed = freed = kept = 0
    for one in held(root):
        if not pick.has(one):
            kept += 1
            continue
        path = blob_path(root, one.digest)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"blob {path} cannot be removed: {error}") from error
        removed += 1
        freed += one.size
    return Swept(removed=removed, freed=freed, kept=kept)
