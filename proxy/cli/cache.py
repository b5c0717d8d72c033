"""Looking after the cache from the command line, also while a server uses it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import TypeVar

from proxy.config import Settings
from proxy.errors import StorageError
from proxy.gateway.janitor import YOUNGEST, forget_superseded
from proxy.storage.carrying import export, take
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


def exported(settings: Settings, path: Path, since: Path | None) -> str:
    """Write the cache into a bundle; one line on it. Raises ProxyError."""

    async def work(store: Store) -> str:
        with _translated(path):
            found = await export(store, path, since)
        return (
            f"{path}: {found.blobs} blobs, {found.size} bytes ({found.already} were written "
            f"before), {found.values} entries; sha256:{found.digest}"
        )

    return _run(settings, work)


def imported(settings: Settings, path: Path, digest: str | None) -> str:
    """Take over what is in a bundle; one line on it. Raises ProxyError."""

    async def work(store: Store) -> str:
        with _translated(path):
            found = await take(store, path, digest)
        return (
            f"{path}: {found.blobs} blobs, {found.size} bytes ({found.already} were here before), "
            f"{found.values} entries; sha256:{found.digest}"
        )

    return _run(settings, work)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{error.filename or path}: {error.strerror or error}") from error


def _run(settings: Settings, work: Callable[[Store], Coroutine[None, None, R]]) -> R:
    async def main() -> R:
        async with store_of(settings) as store:
            return await work(store)

    return asyncio.run(main())
