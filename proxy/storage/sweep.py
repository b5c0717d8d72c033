"""Mark and sweep: remove blobs that nothing in the catalog names any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from proxy.core.model import Digest
from proxy.errors import StorageError
from proxy.storage.folder import blob_path, held, lost_at
from proxy.storage.ports import Catalog, Remembered

ADOPTION = 30 * 86400.0
"""Seconds for which blobs are kept that nothing names, after what named them was lost."""

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


async def sweep(root: Path, catalog: Catalog, *, keep_for: float, now: float) -> Swept:
    """Remove blobs under *root* that nothing names and nobody used for *keep_for* seconds.

    After a catalog was lost they are kept for `ADOPTION`: they are taken over when they are asked
    for. Raises StorageError.
    """
    if now - lost_at(root) < ADOPTION:
        keep_for = max(keep_for, ADOPTION)
    return await asyncio.to_thread(_sweep, root, await catalog.digests(), now - keep_for)


def usage(root: Path) -> Usage:
    """Count the blobs under *root*. Reads every folder: not for the event loop.

    Raises StorageError.
    """
    sizes = [one.size for one in held(root)]
    return Usage(blobs=len(sizes), size=sum(sizes))


def _sweep(root: Path, named: set[Digest], before: float) -> Swept:
    removed = freed = kept = 0
    for one in held(root):
        if one.digest in named or one.used_at >= before:
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
