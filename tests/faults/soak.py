"""A soak: many clients for long, with faults that change, and a look at memory and descriptors."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.faults.bench import (
    UPSTREAM,
    crashes,
    healed,
    mirrors,
    mixed,
    served_offline,
    wrong_blobs,
)
from tests.faults.content import Content
from tests.faults.upstream import CALM, Fault, FaultyUpstream
from tests.faults.visitors import Promise, Tally, Visitor
from tests.lab.processes import resident, tree
from tests.lab.server import ProxyServer

SAMPLE = 5.0
"""Seconds between two looks at the server's memory and descriptors."""

PAUSE = 4.0
"""Seconds that a visitor waits at the most before it asks again: clients do not ask in a loop, and
200 that did would take the time of the upstream, which lives in their process."""

PATIENT = {**UPSTREAM, "connect_timeout": "3s", "read_timeout": "3s"}
"""Deadlines that the upstream can keep though it has so many clients beside it."""

DEADLINE = 120.0
"""Seconds in which every request must be over under those."""

SPELL = (5.0, 20.0)
"""Seconds that one mix of faults lasts; every third spell is calm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaking:
    """*lasts* seconds with so many *visitors*."""

    seed: int
    lasts: float
    visitors: int = 200
    workers: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look: bytes resident, and open descriptors, over all processes."""

    at: float
    resident: int
    descriptors: int


@dataclass(slots=True, kw_only=True)
class Soaked:
    """What came of it."""

    tally: Tally
    samples: list[Sample] = field(default_factory=list)
    hit: Counter[Fault] = field(default_factory=Counter)
    left_open: int = 0  # descriptors that are still open when the clients have gone

    def growth(self, of: Callable[[Sample], int]) -> float:
        """The median of the last quarter over that of the second: 1.0 is flat."""
        values = [of(sample) for sample in self.samples]
        quarter = max(1, len(values) // 4)
        return median(values[-quarter:]) / max(1, median(values[quarter : 2 * quarter]))


def run(soaking: Soaking, folder: Path, told: Callable[[Soaked], None] = lambda _: None) -> Soaked:
    """Carry it out in the empty *folder*; *told* hears after each spell."""
    return asyncio.run(_run(soaking, folder, told))


async def _run(soaking: Soaking, folder: Path, told: Callable[[Soaked], None]) -> Soaked:
    content = Content(soaking.seed)
    async with FaultyUpstream(content, seed=soaking.seed) as upstream:
        soaked = Soaked(tally=Tally(), hit=upstream.hit)
        proxy = ProxyServer(
            folder, mirrors(upstream.url), workers=soaking.workers, tables={"upstream": PATIENT}
        )
        await asyncio.to_thread(proxy.start)
        background = [
            asyncio.create_task(upstream.change()),
            asyncio.create_task(_sampling(proxy, soaked)),
            asyncio.create_task(soaked.tally.feel_the_lag()),
        ]
        try:
            await _visited(soaking, proxy, upstream, soaked, told)
            await asyncio.sleep(SAMPLE)  # for connections to end
            soaked.left_open = _open_in(proxy)
        finally:
            for task in background:
                task.cancel()
            await asyncio.to_thread(proxy.stop)
        for line in crashes(proxy.log):
            soaked.tally.violated(Promise.STEADY, line)
        for problem in await asyncio.to_thread(wrong_blobs, proxy.folder / "cache"):
            soaked.tally.violated(Promise.STORED, problem)
        await served_offline(proxy, content, soaked.tally)
    return soaked


async def _visited(
    soaking: Soaking,
    proxy: ProxyServer,
    upstream: FaultyUpstream,
    soaked: Soaked,
    told: Callable[[Soaked], None],
) -> None:
    loop, dice = asyncio.get_running_loop(), random.Random(soaking.seed)
    visitors = [
        Visitor(
            proxy.url, upstream.content, soaked.tally, seed=dice.getrandbits(32), deadline=DEADLINE
        )
        for _ in range(soaking.visitors)
    ]
    for visitor in visitors:
        visitor.missing_allowed = True
    until = loop.time() + soaking.lasts
    roaming = [asyncio.create_task(visitor.roam(until, PAUSE)) for visitor in visitors]
    try:
        spell = 0
        while loop.time() < until:
            upstream.mix = mixed(dice.getrandbits(32)) if spell % 3 else CALM
            spell += 1
            await asyncio.sleep(min(dice.uniform(*SPELL), max(0.0, until - loop.time())))
            told(soaked)
        await asyncio.gather(*roaming)
        upstream.mix = CALM
        upstream.content.publish_channel()
        if await healed(visitors[0]) is None:
            soaked.tally.violated(Promise.HEALED, "not all can be had in the end")
    finally:
        for task in roaming:
            task.cancel()
        await asyncio.gather(*roaming, return_exceptions=True)
        for visitor in visitors:
            await visitor.aclose()


async def _sampling(proxy: ProxyServer, soaked: Soaked) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    while True:
        soaked.samples.append(
            Sample(
                at=loop.time() - began,
                resident=resident(proxy.pid),
                descriptors=_open_in(proxy),
            )
        )
        await asyncio.sleep(SAMPLE)


def _open_in(proxy: ProxyServer) -> int:
    """Descriptors of all its processes."""
    return sum(map(_descriptors, tree(proxy.pid)))


def _descriptors(pid: int) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0
