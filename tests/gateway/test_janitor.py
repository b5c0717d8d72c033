"""What tidies up: the quota is looked after, in vain not too often, and all of it is counted."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from proxy.core.model import Expected
from proxy.gateway.janitor import IN_VAIN, Janitor
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
        with Log(lines, style=Style.TEXT, level=Level.DEBUG) as log:
            janitor = Janitor(
                root=root,
                catalog=catalog,
                evictions=[Eviction(blobs, catalog, Nothing())],
                keep_superseded=60.0,
                clock=lambda: clock[0],
                metrics=metrics,
                log=log,
            )
            await script(House(blobs, janitor, metrics, lines, clock))
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
