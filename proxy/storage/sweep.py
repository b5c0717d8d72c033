"""Mark and sweep: remove blobs that nothing in the catalog names any more."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proxy.core.model import Absence, Digest
from proxy.storage.ports import Catalog


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


async def sweep(root: Path, catalog: Catalog, *, keep_for: float, now: float) -> Swept:
    """Remove blobs under *root* that are older than *keep_for* seconds and named by nothing."""
    named: set[Digest] = set()
    for key in await catalog.keys():
        value = await catalog.get(key)
        if value is not None and not isinstance(value, Absence):
            named.add(value.digest)
    return await asyncio.to_thread(_sweep, root, named, now - keep_for)


def usage(root: Path) -> Usage:
    """Count the blobs under *root*. Reads every folder: not for the event loop."""
    sizes = [found.st_size for _, found in _blobs(root)]
    return Usage(blobs=len(sizes), size=sum(sizes))


def _sweep(root: Path, named: set[Digest], before: float) -> Swept:
    removed = freed = kept = 0
    for entry, found in _blobs(root):
        if entry.name in named or found.st_mtime >= before:
            kept += 1
            continue
        Path(entry.path).unlink(missing_ok=True)
        removed += 1
        freed += found.st_size
    return Swept(removed=removed, freed=freed, kept=kept)


def _blobs(root: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    for folder in os.scandir(root / "sha256"):
        for entry in os.scandir(folder.path):
            try:
                found = entry.stat()
            except FileNotFoundError:
                continue
            yield entry, found
