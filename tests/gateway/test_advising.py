"""Advisories are read anew when something changes, and when a remark on one is over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from proxy.advisories.store import Places
from proxy.core.advisories import Advisories
from proxy.errors import StorageError
from proxy.gateway.advising import Advising
from proxy.gateway.pool import Pool
from tests.gateway.world import Told

J = TypeVar("J")
R = TypeVar("R")

DAY = 86400.0
UNTIL = 1_798_761_600.0  # 2027-01-01
RECORD = {"id": "A-1", "affected": [{"package": {"ecosystem": "PyPI", "name": "a"}}]}
REMARK = """
[[advisory]]
id = "A-1"
status = "mitigated"
until = 2027-01-01
"""


class Here(Pool):
    """Runs jobs in place; the first *failures* of them die."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.failures = failures

    async def run(self, work: Callable[[J], R], job: J, *, size: int) -> R:
        self.failures -= 1
        if self.failures >= 0:
            raise StorageError("the rendering process died")
        return work(job)


def places(folder: Path) -> Places:
    (folder / "osv").mkdir()
    (folder / "osv" / "A-1.json").write_text(json.dumps(RECORD))
    (folder / "overlay.toml").write_text(REMARK)
    return Places(path=folder / "osv", overlay=folder / "overlay.toml")


def test_a_remark_ends_when_it_says_also_while_nothing_changes(tmp_path: Path) -> None:
    used: list[str] = []
    now = UNTIL - DAY

    def use(known: Mapping[str, Advisories]) -> None:
        used.append(known["PyPI"].of("a")[0].status.value)

    async def main() -> None:
        nonlocal now
        where = places(tmp_path)
        advising = Advising(Here(), lambda: now, Told(), use)
        for moment in (UNTIL - DAY, UNTIL - 1, UNTIL, UNTIL + DAY):
            now = moment
            await advising.read(where)

    asyncio.run(main())
    assert used == ["mitigated", "active"]


def test_a_reading_that_fails_is_tried_again(tmp_path: Path) -> None:
    told = Told()

    async def main() -> None:
        read = asyncio.Event()

        def use(_: Any) -> None:
            read.set()

        advising = Advising(Here(failures=2), lambda: 0.0, told, use)
        running = asyncio.create_task(advising.run(places(tmp_path), 0.0))
        async with asyncio.timeout(10):
            await read.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
    assert [str(one) for one in told.failures] == ["the rendering process died"] * 2
