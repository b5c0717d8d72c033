"""Looking after the cache from the command line, also while a server uses it."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from proxy.config import Settings
from proxy.errors import StorageError
from proxy.gateway.janitor import YOUNGEST
from proxy.gateway.pool import Pool
from proxy.gateway.tidying import Tidying
from proxy.storage.carrying import Carried, export, take
from proxy.storage.opening import Store, opened
from proxy.storage.sweep import sweep, usage
from proxy.storage.verify import Findings, verify

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What there is to say, in `lines` for people and as `values` for programs."""

    lines: tuple[str, ...]
    values: Mapping[str, Any]


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


def used(settings: Settings) -> Told:
    """What each folder holds. Raises StorageError."""

    async def work(store: Store) -> Told:
        found = {layer.root: usage(layer.root) for layer in store.blobs.layers}
        here = [(root, found[root]) for root in settings.cache.layers]
        return Told(
            lines=tuple(f"{root}: {one.blobs} blobs, {one.size} bytes" for root, one in here),
            values={
                "folders": [
                    {"folder": str(root), "blobs": one.blobs, "bytes": one.size}
                    for root, one in here
                ]
            },
        )

    return _run(settings, work)


def swept(settings: Settings) -> Told:
    """Remove what nothing refers to any more; what that was. Raises StorageError."""

    async def work(store: Store) -> Told:
        now, keep, pool = time.time(), settings.cache.keep_superseded, Pool()
        failed: list[str] = []

        def hear(key: str, error: BaseException) -> None:
            failed.append(f"{' '.join(key.split())}: {error}")

        try:
            tidying = Tidying(store.blobs, store.catalog, pool, keep_for=keep, failed=hear)
            tidied = await tidying.run(now)
        finally:
            await pool.aclose()
        found = await sweep(
            store.root, store.catalog, keep_for=YOUNGEST, now=now, dropped=tidied.dropped
        )
        line = (
            f"{store.root}: forgot {tidied.forgotten} superseded views, thinned {tidied.thinned}, "
            f"removed {found.removed} blobs ({found.freed} bytes), kept {found.kept}"
        )
        return Told(
            lines=(*failed, line),
            values={
                "folder": str(store.root),
                "views": tidied.forgotten,
                "thinned": tidied.thinned,
                "failed": failed,
                "removed": found.removed,
                "bytes": found.freed,
                "kept": found.kept,
            },
        )

    return _run(settings, work)


def verified(settings: Settings) -> Findings:
    """Read everything through and repair it. Raises StorageError."""
    return _run(settings, verify)


def exported(settings: Settings, path: Path, since: Path | None) -> Told:
    """Write the cache into a bundle; what is in it. Raises ProxyError."""

    async def work(store: Store) -> Told:
        with _translated(path):
            found = await export(store, path, since)
        return _carried(path, found, "were written before")

    return _run(settings, work)


def imported(settings: Settings, path: Path, digest: str | None) -> Told:
    """Take over what is in a bundle; what that was. Raises ProxyError."""

    async def work(store: Store) -> Told:
        with _translated(path):
            found = await take(store, path, digest)
        return _carried(path, found, "were here before")

    return _run(settings, work)


def _carried(path: Path, found: Carried, before: str) -> Told:
    line = (
        f"{path}: {found.blobs} blobs, {found.size} bytes ({found.already} {before}), "
        f"{found.values} entries; sha256:{found.digest}"
    )
    return Told(
        lines=(line,),
        values={
            "bundle": str(path),
            "blobs": found.blobs,
            "bytes": found.size,
            "already": found.already,
            "entries": found.values,
            "sha256": str(found.digest),
        },
    )


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
