"""A soak: many clients for long, with faults that change, and a look at memory and descriptors.

Descriptors follow the clients that are there, the more so the more upstream stalls: while they are
there nothing tells a leak. After each half all of them leave for a while, and what is still open
then is counted.
"""

from __future__ import annotations

import asyncio
import itertools
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

PARTS = 2
"""After each of them all clients leave."""

REST = 150.0
"""Seconds for what ends by itself: fetches by their deadlines, connections to upstream that nobody
needs after 15 to 30, row tables that nobody looks into after 30, rendering processes after 120."""

LOOKS = 5
"""Looks, a second apart, of which the least counts: the server's own work may be under way."""

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
    """What came of it. `at_rest`: the descriptors that were open when all clients had left, after
    half of it.
    """

    tally: Tally
    samples: list[Sample] = field(default_factory=list)
    hit: Counter[Fault] = field(default_factory=Counter)
    at_rest: list[int] = field(default_factory=list)

    def growth(self, of: Callable[[Sample], int]) -> float:
        """The median of the last quarter over that of the second: 1.0 is flat."""
        values = [of(sample) for sample in self.samples]
        quarter = max(1, len(values) // 4)
        return median(values[-quarter:]) / max(1, median(values[quarter : 2 * quarter]))

    @property
    def leaked(self) -> int:
        """Descriptors that the second half has left open: by then all threads have theirs."""
        return self.at_rest[-1] - self.at_rest[0]


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
    spells = itertools.count()
    try:
        for _ in range(PARTS):
            until = loop.time() + soaking.lasts / PARTS
            async with asyncio.TaskGroup() as roaming:
                for visitor in visitors:
                    roaming.create_task(visitor.roam(until, PAUSE))
                while loop.time() < until:
                    mix = mixed(dice.getrandbits(32))
                    upstream.mix = mix if next(spells) % 3 else CALM
                    left = max(0.0, until - loop.time())
                    await asyncio.sleep(min(dice.uniform(*SPELL), left))
                    told(soaked)
            upstream.mix = CALM
            soaked.at_rest.append(await _at_rest(proxy))
        upstream.content.publish_channel()
        if await healed(visitors[0]) is None:
            soaked.tally.violated(Promise.HEALED, "not all can be had in the end")
    finally:
        for visitor in visitors:
            await visitor.aclose()


async def _at_rest(proxy: ProxyServer) -> int:
    """Descriptors that are open though nobody is there any more."""
    await asyncio.sleep(REST)
    found = []
    for _ in range(LOOKS):
        found.append(_open_in(proxy))
        await asyncio.sleep(1.0)
    return min(found)


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
