"""Looking after the cache from the command line, also while a server uses it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from proxy.config import Settings
from proxy.gateway.janitor import YOUNGEST, forget_superseded
from proxy.storage.catalog import DiskCatalog
from proxy.storage.disk import DiskBlobs
from proxy.storage.sweep import sweep, usage


def used(settings: Settings) -> str:
    """One line on what the cache holds. Raises StorageError."""
    root = _present(settings)
    found = usage(root)
    return f"{root}: {found.blobs} blobs, {found.size} bytes"


def swept(settings: Settings) -> str:
    """Remove what nothing refers to any more; one line on what that was. Raises StorageError."""
    return asyncio.run(_sweep(_present(settings), settings.cache.keep_superseded))


def _present(settings: Settings) -> Path:
    """The cache folder, made if need be, and of a format that is understood."""
    asyncio.run(DiskBlobs(settings.cache.path).aclose())
    return settings.cache.path


async def _sweep(root: Path, keep_superseded: float) -> str:
    catalog = DiskCatalog(root / "catalog")
    try:
        now = time.time()
        views = await forget_superseded(catalog, keep_for=keep_superseded, now=now)
        found = await sweep(root, catalog, keep_for=YOUNGEST, now=now)
    finally:
        await catalog.aclose()
    return (
        f"{root}: forgot {views} superseded views, removed {found.removed} blobs "
        f"({found.freed} bytes), kept {found.kept}"
    )
