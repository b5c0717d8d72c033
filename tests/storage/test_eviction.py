"""Eviction: the quota is kept, and what is wanted, read, written or pinned stays."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Digest, Entry, Expected, Validators, digest_of
from proxy.errors import StorageError
from proxy.storage.disk import SHARE, SLACK, DiskBlobs
from proxy.storage.eviction import (
    CLASSES,
    LOW,
    Evicted,
    Eviction,
    Survey,
    chosen,
    size_class,
    urgency,
)
from proxy.storage.folder import Held
from proxy.storage.memory import MemoryCatalog
from proxy.storage.sweep import RECENT, usage

NOW = time.time()
DAY = 86400.0
KB = 1 << 10


@dataclass
class Pins:
    """Pins what a test says."""

    names: list[str] = field(default_factory=list)

    def prefixes(self) -> Iterable[str]:
        return self.names


@dataclass
class Store:
    """A store with a quota of 100 kB, and what keeps it."""

    blobs: DiskBlobs
    catalog: MemoryCatalog
    eviction: Eviction
    pins: Pins

    async def put(self, key: str, size: int, *, idle: float) -> Digest:
        """A blob of *size* bytes named by an entry, not used for *idle* seconds."""
        body = (key.encode() * size)[:size]
        spool = await self.blobs.spool()
        await spool.write([body])
        stored = await spool.commit(Expected())
        spool.close()
        os.utime(self.blobs.path(stored.digest), (NOW - idle, NOW - idle))
        await self.catalog.put(entry(key, stored.digest, size))
        return stored.digest

    def has(self, digest: Digest) -> bool:
        return self.blobs.path(digest).exists()

    async def evict(self) -> Evicted | None:
        return await self.eviction.run(NOW)


def entry(key: str, digest: Digest, size: int) -> Entry:
    return Entry(
        key=key,
        digest=digest,
        size=size,
        media_type="",
        source="",
        url="",
        validators=Validators(),
        checked_at=0,
        fresh_for=0,
    )


def play(root: Path, script: Callable[[Store], Awaitable[None]], limit: int = 100 * KB) -> None:
    async def main() -> None:
        blobs, catalog, pins = DiskBlobs(root, limit=limit), MemoryCatalog(), Pins()
        await script(Store(blobs, catalog, Eviction(blobs, catalog, pins), pins))
        await blobs.aclose()

    asyncio.run(main())


def test_what_was_not_used_for_longest_goes_until_there_is_room(tmp_path: Path) -> None:
    async def script(store: Store) -> None:
        digests = [await store.put(f"k{age}", 10 * KB, idle=age * DAY) for age in range(1, 10)]
        assert not store.eviction.is_due()
        assert await store.evict() is None
        digests += [await store.put(f"k{age}", 10 * KB, idle=age * DAY) for age in (10, 11)]
        assert store.eviction.is_due()
        evicted = await store.evict()
        assert evicted is not None
        assert (evicted.removed, evicted.short) == ({"small": 2}, 0)
        assert [store.has(digest) for digest in digests] == [True] * 9 + [False] * 2
        assert sorted(await store.catalog.keys()) == [f"k{age}" for age in range(1, 10)]
        assert evicted.left == usage(store.blobs.root).size <= 100 * KB * LOW
        assert not store.eviction.is_due()

    play(tmp_path, script)


def test_a_large_file_goes_before_small_ones_of_its_age_but_not_before_much_older_ones(
    tmp_path: Path,
) -> None:
    async def script(store: Store) -> None:
        small = await store.put("small", 10 * KB, idle=2 * DAY)
        large = await store.put("large", 80 * KB, idle=2 * DAY)
        await store.put("new", 20 * KB, idle=0)
        await store.evict()
        assert (store.has(small), store.has(large)) == (True, False)
        old = await store.put("old", 20 * KB, idle=9 * DAY)
        large = await store.put("large", 65 * KB, idle=2 * DAY)
        await store.evict()
        assert (store.has(old), store.has(large)) == (False, True)

    play(tmp_path, script)


def test_what_is_read_written_pinned_or_was_used_just_now_stays(tmp_path: Path) -> None:
    async def script(store: Store) -> None:
        read = await store.put("read", 30 * KB, idle=9 * DAY)
        reader = await store.blobs.open(read, 30 * KB)
        pinned = await store.put("conda/main a", 30 * KB, idle=9 * DAY)
        store.pins.names.append("conda/main ")
        recent = await store.put("recent", 30 * KB, idle=RECENT / 2)
        spool = await store.blobs.spool()
        await spool.write([b"w" * 30 * KB])
        followed = (await spool.commit(Expected())).digest
        os.utime(store.blobs.path(followed), (0, 0))
        assert store.eviction.is_due()
        evicted = await store.evict()
        assert evicted is not None
        assert evicted.removed.total() == 0
        assert evicted.short == evicted.left - int(100 * KB * LOW)
        assert all(map(store.has, (read, pinned, recent, followed)))
        assert reader is not None
        reader.close()
        spool.close()
        store.pins.names.clear()
        await store.evict()
        assert not store.has(followed)
        assert store.has(recent)

    play(tmp_path, script)


def test_a_use_is_remembered_when_it_is_written_down_and_costs_nothing_before(
    tmp_path: Path,
) -> None:
    async def script(store: Store) -> None:
        used = await store.put("used", 40 * KB, idle=9 * DAY)
        mapped = await store.put("mapped", 40 * KB, idle=9 * DAY)
        blob = await store.blobs.open(used, 40 * KB)
        assert blob is not None
        blob.close()
        store.blobs.used(mapped)
        assert store.blobs.path(used).stat().st_mtime < NOW - DAY
        assert await store.blobs.write_uses() == 2
        assert await store.blobs.write_uses() == 0
        written = store.blobs.path(used).stat().st_mtime
        assert written > NOW - DAY
        store.blobs.used(used)
        assert await store.blobs.write_uses() == 0, "not again within the grain"
        unused = await store.put("unused", 40 * KB, idle=DAY)
        await store.evict()
        assert list(map(store.has, (used, mapped, unused))) == [True, True, False]

    play(tmp_path, script)


def test_uses_are_written_down_at_the_end(tmp_path: Path) -> None:
    kept: list[Path] = []

    async def script(store: Store) -> None:
        digest = await store.put("k", KB, idle=9 * DAY)
        store.blobs.used(digest)
        store.blobs.used(Digest("0" * 64))  # removed since
        kept.append(store.blobs.path(digest))

    play(tmp_path, script)
    assert kept[0].stat().st_mtime > NOW - DAY


def test_what_is_too_large_for_the_quota_or_comes_too_fast_is_not_stored(tmp_path: Path) -> None:
    async def script(store: Store) -> None:
        with pytest.raises(StorageError, match=r"cache\.max_size"):
            await store.blobs.spool(int(100 * KB * SHARE) + 1)
        assert not store.eviction.is_due()
        await store.put("a", 100 * KB, idle=0)
        spool = await store.blobs.spool(5 * KB)
        with pytest.raises(StorageError, match=r"cache\.max_size"):
            await store.blobs.spool(int(100 * KB * SLACK))
        await spool.discard()
        spool.close()

    play(tmp_path, script)


def test_room_is_made_for_what_was_refused_though_the_quota_is_not_exceeded(
    tmp_path: Path,
) -> None:
    async def script(store: Store) -> None:
        for number in range(9):
            await store.put(f"k{number}", 10 * KB, idle=DAY)
        assert not store.eviction.is_due()
        with pytest.raises(StorageError):
            await store.blobs.spool(22 * KB)
        sibling = Eviction(DiskBlobs(tmp_path, limit=100 * KB), store.catalog, store.pins)
        assert sibling.is_due(), "whoever refused it"
        evicted = await store.evict()
        assert evicted is not None
        assert evicted.left <= 78 * KB
        assert not store.eviction.is_due()
        await store.put("new", 22 * KB, idle=0)

    play(tmp_path, script)


def test_the_tally_is_shared_and_corrected(tmp_path: Path) -> None:
    async def script(store: Store) -> None:
        sibling = DiskBlobs(tmp_path, limit=100 * KB)
        digest = await store.put("a", 60 * KB, idle=DAY)
        assert sibling.tally.read() == 60 * KB
        await store.put("a", 60 * KB, idle=DAY)
        assert sibling.tally.read() == 60 * KB, "the same content is counted once"
        sibling.tally.add(1 << 40)  # as if many had died between a rename and the count
        assert store.eviction.is_due()
        assert await store.evict() is None
        assert sibling.tally.read() == 60 * KB
        await sibling.remove([digest])
        assert store.blobs.tally.read() == 0
        await sibling.aclose()

    play(tmp_path, script)


def test_ten_thousand_evictions_never_keep_others_waiting_for_long(tmp_path: Path) -> None:
    """The bound is 20 ms; what is measured is less any time that other processes took."""
    gaps: list[float] = []

    async def others() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            gaps.append(time.thread_time() - before)

    async def script(store: Store) -> None:
        for number in range(10_000):
            digest = digest_of(str(number).encode())
            path = store.blobs.path(digest)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x" * 20)
            os.utime(path, (0, 0))
            await store.catalog.put(entry(f"k{number}", digest, 20))
        store.blobs.tally.add(200_000)
        busy = asyncio.create_task(others())
        evicted = await store.evict()
        busy.cancel()
        assert evicted is not None
        assert evicted.removed.total() == 10_000
        assert await store.catalog.count() == 0
        assert max(gaps) < 0.020

    play(tmp_path, script, limit=1)


helds = st.lists(
    st.builds(
        Held,
        digest=st.integers(0, 1 << 40).map(lambda n: Digest(f"{n:064x}")),
        size=st.integers(0, 1 << 34),
        used_at=st.floats(NOW - 400 * DAY, NOW + DAY),
    ),
    max_size=60,
)


@given(helds, st.integers(1, 1 << 36))
def test_the_survey_finds_the_threshold_that_sorting_everything_would(
    blobs: list[Held], wanted: int
) -> None:
    survey = Survey()
    for one in blobs:
        survey.add(one, NOW)
    least = survey.threshold(wanted)
    above = [one for one in blobs if urgency(one, NOW) >= least]
    assert list(chosen(above, wanted, NOW)) == list(chosen(blobs, wanted, NOW))


@given(helds, st.integers(1, 1 << 36))
def test_no_more_goes_than_is_wanted(blobs: list[Held], wanted: int) -> None:
    found = list(chosen(blobs, wanted, NOW))
    assert sum(one.size for one in found[:-1]) < wanted
    if sum(one.size for one in blobs) >= wanted:
        assert sum(one.size for one in found) >= wanted


@pytest.mark.parametrize(
    ("size", "name"),
    [
        (0, "small"),
        (64 * KB, "small"),
        (64 * KB + 1, "medium"),
        (2 << 20, "large"),
        (1 << 40, "huge"),
    ],
)
def test_sizes_fall_into_classes(size: int, name: str) -> None:
    assert CLASSES[size_class(size)][1] == name
