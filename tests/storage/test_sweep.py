"""Sweeping removes what nothing names, and only that."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from pathlib import Path

import pytest

from proxy.core.model import Digest, View, digest_of
from proxy.errors import StorageError
from proxy.storage.disk import DiskBlobs
from proxy.storage.memory import MemoryCatalog
from proxy.storage.opening import opened
from proxy.storage.sweep import ADOPTION, RECENT, Swept, Usage, sweep, usage

NOW = 1_000_000.0


def view(key: str, digest: Digest, made_at: float = NOW) -> View:
    return View(key=key, digest=digest, size=1, media_type="", made_at=made_at)


def put(blobs: DiskBlobs, body: bytes, age: float) -> Digest:
    path = blobs.path(digest_of(body))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(body)
    os.utime(path, (NOW - age, NOW - age))
    return digest_of(body)


def test_named_and_young_blobs_stay_and_the_others_go(tmp_path: Path) -> None:
    async def main() -> None:
        blobs, catalog = DiskBlobs(tmp_path), MemoryCatalog()
        named = put(blobs, b"named", 9999)
        young = put(blobs, b"young", 10)
        old = put(blobs, b"nobody's", 9999)
        await catalog.put(view("view a\tjson\t1", named))
        assert usage(tmp_path) == Usage(blobs=3, size=18)
        swept = await sweep(tmp_path, catalog, keep_for=3600, now=NOW)
        assert swept == Swept(removed=1, freed=8, kept=2)
        assert blobs.path(named).exists()
        assert blobs.path(young).exists()
        assert not blobs.path(old).exists()
        await blobs.aclose()

    asyncio.run(main())


def test_what_was_dropped_goes_at_once_unless_it_is_named_or_was_used_just_now(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        blobs, catalog = DiskBlobs(tmp_path), MemoryCatalog()
        named = put(blobs, b"named", RECENT + 1)
        gone = put(blobs, b"gone", RECENT + 1)
        used = put(blobs, b"used", RECENT - 1)
        other = put(blobs, b"nobody's", RECENT + 1)
        await catalog.put(view("view a\tjson\t1", named))
        dropped = {named, gone, used}
        await sweep(tmp_path, catalog, keep_for=3600, now=NOW, dropped=dropped)
        assert [blobs.path(one).exists() for one in (named, gone, used, other)] == [1, 0, 1, 1]
        await blobs.aclose()

    asyncio.run(main())


def test_after_a_catalog_was_lost_what_it_named_is_kept_to_be_taken_over(tmp_path: Path) -> None:
    async def swept(now: float) -> int:
        store = opened([tmp_path])
        found = await sweep(tmp_path, store.catalog, keep_for=3600, now=now)
        await store.aclose()
        return found.removed

    async def main() -> None:
        store = opened([tmp_path])
        put(store.blobs.main, b"named before", NOW - time.time() + 9999)
        await store.aclose()
        assert not (tmp_path / "lost").exists(), "a new store has lost nothing"
        shutil.rmtree(tmp_path / "catalog")
        assert await swept(time.time()) == 0
        assert await swept(time.time() + ADOPTION + 9999) == 1

    asyncio.run(main())


def test_a_store_that_cannot_be_listed_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be listed"):
        usage(tmp_path)
