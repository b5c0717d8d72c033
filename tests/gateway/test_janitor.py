"""What tidies up: the quota is looked after, in vain not too often, and all of it is counted."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from proxy.core.model import Digest, Expected, View
from proxy.errors import StorageError
from proxy.gateway import janitor
from proxy.gateway.janitor import IN_VAIN, Janitor
from proxy.gateway.pool import Pool
from proxy.gateway.tidying import Tidying
from proxy.observe.log import Level, Log, Style
from proxy.observe.metrics import Metrics
from proxy.storage.disk import DiskBlobs
from proxy.storage.eviction import Eviction
from proxy.storage.memory import MemoryCatalog
from proxy.storage.ports import OpenBlob, Stored

KB = 1 << 10


class Nothing:
    """Nothing is pinned."""

    def prefixes(self) -> Iterable[str]:
        return ()


@dataclass
class House:
    """A janitor with what it looks after."""

    blobs: DiskBlobs
    catalog: MemoryCatalog
    janitor: Janitor
    metrics: Metrics
    lines: io.BytesIO
    clock: list[float] = field(default_factory=lambda: [1e9])

    async def put(self, size: int, letter: bytes = b"x") -> Stored:
        """A blob that was not used for long."""
        spool = await self.blobs.spool()
        await spool.write([letter * size])
        stored = await spool.commit(Expected())
        spool.close()
        os.utime(self.blobs.path(stored.digest), (1, 1))
        return stored

    async def held(self, stored: Stored) -> OpenBlob:
        blob = await self.blobs.open(stored.digest, stored.size)
        assert blob is not None
        return blob

    def has(self, stored: Stored) -> bool:
        return self.blobs.path(stored.digest).exists()

    def shown(self, line: str) -> bool:
        return line.encode() in self.metrics.exposition()


def play(root: Path, script: Callable[[House], Awaitable[None]]) -> str:
    """Run *script* with a quota of 100 kB; returns the log."""

    async def main() -> str:
        blobs, catalog = DiskBlobs(root, limit=100 * KB), MemoryCatalog()
        metrics, lines, clock = Metrics(CollectorRegistry()), io.BytesIO(), [1e9]
        pool = Pool()
        with Log(lines, style=Style.TEXT, level=Level.DEBUG) as log:
            one = Janitor(
                root=root,
                catalog=catalog,
                evictions=[Eviction(blobs, catalog, Nothing())],
                tidying=Tidying(blobs, catalog, pool, keep_for=60.0, failed=log.crash),
                clock=lambda: clock[0],
                metrics=metrics,
                log=log,
            )
            await script(House(blobs, catalog, one, metrics, lines, clock))
        await pool.aclose()
        await blobs.aclose()
        return lines.getvalue().decode()

    return asyncio.run(main())


def test_room_is_made_when_the_quota_is_exceeded_and_that_is_told(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        old = await house.put(60 * KB)
        await house.janitor.evict()
        assert house.has(old)
        await house.put(70 * KB, b"y")
        await house.janitor.evict()
        assert house.shown('pkgproxy_evicted_bytes_total{size="medium"} 71680.0')
        assert house.shown('pkgproxy_evicted_blobs_total{size="medium"} 1.0')

    log = play(tmp_path, script)
    assert "info evicted blobs=1 bytes=71680 left=61440 short=0" in log


def test_what_was_in_vain_is_not_tried_again_at_once(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        stored = await house.put(101 * KB)
        blob = await house.held(stored)
        await house.janitor.evict()
        blob.close()
        await house.janitor.evict()
        assert house.has(stored)
        house.clock[0] += IN_VAIN
        await house.janitor.evict()
        assert not house.has(stored)

    assert play(tmp_path, script).count("warning evicted") == 1


def test_a_look_finds_what_was_there_before_there_was_a_tally(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        stored = await house.put(101 * KB)
        house.blobs.tally.add(-101 * KB)
        await house.janitor.evict()
        assert house.has(stored)
        await house.janitor.look()
        assert house.shown("pkgproxy_store_bytes 103424.0")
        await house.janitor.evict()
        assert not house.has(stored)

    play(tmp_path, script)


def test_superseded_views_go_with_their_bytes_and_that_is_told(tmp_path: Path) -> None:
    async def script(house: House) -> None:
        made = [await house.put(number * KB, letter) for number, letter in ((1, b"x"), (2, b"y"))]
        for age, one in zip((100.0, 1.0), made, strict=True):
            await house.catalog.put(
                View(
                    key=f"view conda/c i\tzst\t{one.digest}",
                    digest=one.digest,
                    size=one.size,
                    media_type="",
                    made_at=house.clock[0] - age,
                )
            )
        await house.janitor.sweep()
        assert [house.has(one) for one in made] == [False, True]

    log = play(tmp_path, script)
    assert "info swept views=1 thinned=0" in log


def test_it_sweeps_now_and_then_and_goes_on_when_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(janitor, "EVERY", 0.01)

    async def script(house: House) -> None:
        real = house.catalog.digests
        tries: list[str] = []
        again = asyncio.Event()

        async def failing(prefix: str = "") -> set[Digest]:
            tries.append(prefix)
            if len(tries) == 3:
                again.set()
            if len(tries) == 1:
                raise StorageError("not now")
            return await real(prefix)

        house.catalog.digests = failing  # type: ignore[method-assign]
        gone = await house.put(KB)
        running = asyncio.create_task(house.janitor.run())
        async with asyncio.timeout(10):
            await again.wait()
        assert not house.has(gone)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    assert 'error janitor error="StorageError: not now"' in play(tmp_path, script)
