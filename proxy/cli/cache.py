"""Looking after the cache from the command line, also while a server uses it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TypeVar

from proxy.config import Settings
from proxy.gateway.janitor import YOUNGEST, forget_superseded
from proxy.storage.opening import Store, opened
from proxy.storage.sweep import sweep, usage
from proxy.storage.verify import Findings, verify

R = TypeVar("R")


@contextlib.asynccontextmanager
async def store_of(settings: Settings) -> AsyncIterator[Store]:
    """The store that *settings* name; one that can only be read gets a folder for the moment.

    Raises StorageError.
    """
    with tempfile.TemporaryDirectory(prefix="pkgproxy-") as spare:
        cache = settings.cache
        store = opened(cache.layers, spare=Path(spare), limit=cache.max_size)
        try:
            yield store
        finally:
            await store.aclose()


def used(settings: Settings) -> list[str]:
    """A line for each folder on what it holds. Raises StorageError."""

    async def work(store: Store) -> list[str]:
        found = {layer.root: usage(layer.root) for layer in store.blobs.layers}
        return [
            f"{root}: {found[root].blobs} blobs, {found[root].size} bytes"
            for root in settings.cache.layers
        ]

    return _run(settings, work)


def swept(settings: Settings) -> str:
    """Remove what nothing refers to any more; one line on what that was. Raises StorageError."""

    async def work(store: Store) -> str:
        now, keep = time.time(), settings.cache.keep_superseded
        views = await forget_superseded(store.catalog, keep_for=keep, now=now)
        found = await sweep(store.root, store.catalog, keep_for=YOUNGEST, now=now)
        return (
            f"{store.root}: forgot {views} superseded views, removed {found.removed} blobs "
            f"({found.freed} bytes), kept {found.kept}"
        )

    return _run(settings, work)


def verified(settings: Settings) -> Findings:
    """Read everything through and repair it. Raises StorageError."""
    return _run(settings, verify)


def _run(settings: Settings, work: Callable[[Store], Coroutine[None, None, R]]) -> R:
    async def main() -> R:
        async with store_of(settings) as store:
            return await work(store)

    return asyncio.run(main())
