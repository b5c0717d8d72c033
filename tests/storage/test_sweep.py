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
from proxy.gateway.janitor import forget_superseded
from proxy.storage.disk import DiskBlobs
from proxy.storage.memory import MemoryCatalog
from proxy.storage.opening import opened
from proxy.storage.sweep import ADOPTION, TURN, Swept, Usage, sweep, usage

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


def test_the_newest_view_of_each_form_stays_whatever_its_age(tmp_path: Path) -> None:
    async def main() -> None:
        catalog = MemoryCatalog()
        ages = {"a\tjson\t1": 99, "a\tjson\t2": 50, "a\tjson\t3": 40, "a\tzst\t1": 99, "b\tx\t1": 5}
        for key, age in ages.items():
            await catalog.put(view(f"view {key}", Digest("0" * 64), NOW - age))
        assert await forget_superseded(catalog, keep_for=45, now=NOW) == 2
        kept = {key.removeprefix("view ") for key in await catalog.keys()}
        assert kept == {"a\tjson\t3", "a\tzst\t1", "b\tx\t1"}

    asyncio.run(main())


def test_others_have_their_turn_while_the_catalog_is_read(tmp_path: Path) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        blobs, catalog = DiskBlobs(tmp_path), MemoryCatalog()
        for number in range(TURN * 10):
            await catalog.put(view(f"view a\tjson\t{number}", Digest("0" * 64)))
        waiting = asyncio.create_task(others())
        await forget_superseded(catalog, keep_for=0, now=NOW)
        assert turns >= 10
        waiting.cancel()
        await blobs.aclose()

    asyncio.run(main())


def test_a_store_that_cannot_be_listed_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be listed"):
        usage(tmp_path)


def test_the_order_in_which_views_are_met_does_not_matter(tmp_path: Path) -> None:
    async def main(ages: list[int]) -> None:
        catalog = MemoryCatalog()
        for age in ages:
            await catalog.put(view(f"view a\tjson\t{age}", Digest("0" * 64), NOW - age))
        assert await forget_superseded(catalog, keep_for=45, now=NOW) == 2
        assert sorted(await catalog.keys()) == ["view a\tjson\t10", "view a\tjson\t40"]

    for ages in ([10, 40, 50, 99], [99, 50, 40, 10], [50, 10, 99, 40]):
        asyncio.run(main(ages))
