"""Reading a whole store through, and repairing it: also while servers use it.

A blob that is not what it is named is removed, and what named it is forgotten, so that it is
fetched anew; a name of a blob that is not here is forgotten; what crashed writers left is
collected; a catalog that cannot be read through is mended when it is opened next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from proxy.core.model import Absence, Digest
from proxy.storage.disk import DiskBlobs
from proxy.storage.folder import Held, blob_path, held, verified
from proxy.storage.opening import Store

ABREAST = 4
"""Blobs read at a time."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What was read, and what was wrong: one line each, with what was done about it."""

    blobs: int = 0
    size: int = 0
    wrong: list[str] = field(default_factory=list)


async def verify(store: Store) -> Findings:
    """Read and repair *store*. Raises StorageError where that is not possible."""
    found = Findings()
    leftovers = await asyncio.to_thread(store.blobs.main.collect_leftovers)
    if leftovers:
        found.wrong.append(f"{leftovers} files that were never finished: removed")
    if not await store.catalog.is_sound():
        found.wrong.append("the catalog is damaged: it is mended at the next start")
    damaged: set[Digest] = set()
    for layer in store.blobs.layers:
        remover = layer if isinstance(layer, DiskBlobs) else None
        damaged |= await _read_through(layer.root, remover, found)
    for key, digest in await _dangling(store, damaged):
        await store.catalog.forget([key])
        found.wrong.append(f"{key!r} names {digest[:12]}…, which is not here: forgotten")
    return found


async def _read_through(root: Path, remover: DiskBlobs | None, found: Findings) -> set[Digest]:
    """Compare the blobs under *root* with their names; returns those that are something else."""
    damaged: set[Digest] = set()
    for some in _several(held(root)):
        results = await asyncio.gather(
            *(asyncio.to_thread(_is_whole, root, one.digest) for one in some)
        )
        for one, whole in zip(some, results, strict=True):
            found.blobs += 1
            found.size += one.size
            if whole:
                continue
            damaged.add(one.digest)
            if remover is None:
                found.wrong.append(f"blob {one.digest} in {root} is damaged; it cannot be removed")
            else:
                await remover.remove([one.digest])
                found.wrong.append(f"blob {one.digest} was damaged: removed")
    return damaged


def _several(blobs: Iterator[Held]) -> Iterator[list[Held]]:
    some: list[Held] = []
    for one in blobs:
        some.append(one)
        if len(some) == ABREAST:
            yield some
            some = []
    yield some


def _is_whole(root: Path, digest: Digest) -> bool:
    """Whether the blob is what it is named; also where it is gone by now."""
    try:
        stored = verified(blob_path(root, digest))
    except OSError:  # the medium cannot be read
        return False
    return stored is None or stored.digest == digest


async def _dangling(store: Store, damaged: set[Digest]) -> list[tuple[str, Digest]]:
    """What names a blob that is in no folder, or only damaged. Reading drops broken values."""
    found: list[tuple[str, Digest]] = []
    for key in await store.catalog.keys():
        value = await store.catalog.get(key)
        if value is None or isinstance(value, Absence) or not value.digest:
            continue
        if value.digest in damaged or not store.blobs.path(value.digest).exists():
            found.append((key, value.digest))
    return found
