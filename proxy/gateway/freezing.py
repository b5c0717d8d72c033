"""Frozen mirrors: for each index the generation that clients see until the mirror is unfrozen.

A copy of the index's entry under a key of its own. What was not here when the mirror was frozen is
taken as it is when it is first asked for, and stays so from then on. The key has the moment of
freezing, so that nothing of an earlier time is ever taken for this one.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from proxy.core.model import Entry, Index, Mirror
from proxy.ecosystems.base import Ecosystem
from proxy.errors import UnknownPath
from proxy.storage.ports import Catalog

TURN = 200
"""Keys looked at between two turns of everybody else."""


def prefix(mirror: str) -> str:
    """What the keys of all frozen entries of a mirror begin with."""
    return f"frozen {mirror} "


def key(index: Index, at: float) -> str:
    """Where the entry of *index* is kept for a mirror that is frozen since *at*."""
    return f"{prefix(index.mirror)}{at:.3f} {index.path}"


async def freeze(catalog: Catalog, ecosystem: Ecosystem, mirror: str, at: float) -> int:
    """Keep the generation of every index that is here; returns how many. Raises StorageError."""
    await thaw(catalog, mirror)
    kept = 0
    for number, one in enumerate(await catalog.keys(f"{mirror} ")):
        if number % TURN == 0:
            await asyncio.sleep(0)
        index = _index(ecosystem, mirror, one)
        entry = None if index is None else await catalog.get(one)
        if index is not None and isinstance(entry, Entry):
            await catalog.put(replace(entry, key=key(index, at)))
            kept += 1
    return kept


async def thaw(catalog: Catalog, mirror: str) -> None:
    """Let go of what was kept. Raises StorageError."""
    await catalog.forget(await catalog.keys(prefix(mirror)))


async def frozen(
    catalog: Catalog, ecosystem: Ecosystem, mirror: Mirror
) -> list[tuple[Index, Entry]]:
    """All that is kept of a frozen mirror."""
    assert mirror.frozen_at is not None
    found: list[tuple[Index, Entry]] = []
    for one in await catalog.keys(f"{prefix(mirror.key)}{mirror.frozen_at:.3f} "):
        path = one.removeprefix(prefix(mirror.key)).partition(" ")[2]
        index = _index(ecosystem, mirror.key, f"{mirror.key} {path}")
        entry = await catalog.get(one)
        if index is not None and isinstance(entry, Entry):
            found.append((index, replace(entry, key=index.key)))
    return found


def _index(ecosystem: Ecosystem, mirror: str, entry_key: str) -> Index | None:
    try:
        found = ecosystem.classify(mirror, entry_key.partition(" ")[2])
    except UnknownPath:
        return None
    return found if isinstance(found, Index) and found.key == entry_key else None
