"""Kills: the server with all its workers ends by SIGKILL at seeded moments under load.

The load is fills, renders, a prefetch, runs of an active mirror in processes of their own, and
evictions: the quota is smaller than what upstream has, and what is stored is made old between two
starts, since what was used just now is never evicted. After each kill the store is looked at as it
lies there, then the server starts on it again: in time, with nothing left over, and with nothing
half-written to serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from proxy.cli.cache import verified
from proxy.config import load
from proxy.storage.sweep import usage
from tests.faults.ahead import MIRROR, Ahead
from tests.faults.bench import UPSTREAM, crashes, healed, mirrors, served_offline, wrong_blobs
from tests.faults.content import Content
from tests.faults.upstream import CALM, Fault, FaultyUpstream, Mix
from tests.faults.visitors import Promise, Tally, Visitor
from tests.lab.processes import tree
from tests.lab.server import ProxyServer, eventually

PATIENCE = 120.0
"""Seconds for one start: what a busy machine makes of a second must not end a long trial."""

QUOTA = 2_000_000
"""Bytes that the cache may hold: half of what is asked for."""

SLACK = 1.15
"""Times the quota that the cache may hold in the end: a tenth, and what is taken over from the
spare folder."""

OLD = 7200.0
"""Seconds by which what is stored is made older after each kill."""

HASTY = 0.3
"""Share of the kills within the first moments, in which room is made and runs are resumed."""

MENDED = ("that were never finished: removed", "which is not here: forgotten")
"""What `cache verify` may say after a kill: what was being written, and names of blobs that had
been evicted already."""

LOAD = Mix((Fault.CHANGED, Fault.TRICKLED, Fault.TRUNCATED, Fault.MISSING), 0.2)
"""Fills that last, files that are fetched again, indexes that are made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killing:
    """*kills* of a server with *workers*, each up to *longest* seconds after it was ready."""

    seed: int
    kills: int
    workers: int = 2
    visitors: int = 8
    longest: float = 3.0


@dataclass(slots=True, kw_only=True)
class Survived:
    """What came of it. `starts`: seconds; `left`: half-done files that the kills left behind;
    `evicted`: blobs; `runs`: those that were begun; `completed`: those that were not cut off;
    `prefetched`: files; `repaired`: what `cache verify` found and mended, by its last words.
    """

    tally: Tally
    starts: list[float] = field(default_factory=list)
    left: int = 0
    evicted: int = 0
    runs: int = 0
    completed: int = 0
    prefetched: int = 0
    repaired: Counter[str] = field(default_factory=Counter)


def run(killing: Killing, folder: Path, told: Callable[[int], None] = lambda _: None) -> Survived:
    """Carry it out in the empty *folder*; *told* hears of each kill."""
    return asyncio.run(_run(killing, folder, told))


async def _run(killing: Killing, folder: Path, told: Callable[[int], None]) -> Survived:
    content, survived = Content(killing.seed), Survived(tally=Tally())
    dice = random.Random(killing.seed)
    async with FaultyUpstream(content, seed=killing.seed) as upstream:
        upstream.mix = LOAD
        background = [
            asyncio.create_task(upstream.change()),
            asyncio.create_task(survived.tally.feel_the_lag()),
        ]
        passive, ahead = mirrors(upstream.url), Ahead(content, folder / "ahead")
        like = next(one for one in passive if one.type == "pypi")
        proxy = ProxyServer(
            folder,
            [*passive, ahead.mirror(like)],
            workers=killing.workers,
            tables={"upstream": UPSTREAM, "cache": {"max_size": QUOTA}, **ahead.tables},
        )
        proxy.ready_within = PATIENCE
        try:
            for number in range(killing.kills):
                await _start(proxy, survived)
                visitors = [
                    Visitor(proxy.url, content, survived.tally, seed=dice.getrandbits(32))
                    for _ in range(killing.visitors)
                ]
                await _load(killing, proxy, visitors, dice, ahead)
                await asyncio.to_thread(_look, proxy.folder / "cache", survived)
                if number % 2:  # else what was left is the next start's to collect
                    await asyncio.to_thread(_verify, proxy, survived)
                await asyncio.to_thread(_age, proxy.folder / "cache")
                told(number + 1)
            upstream.mix = CALM
            await _start(proxy, survived)
            await _all_is_well(proxy, content, survived.tally)
        finally:
            for task in background:
                task.cancel()
            await asyncio.to_thread(proxy.stop)
        await served_offline(proxy, content, survived.tally)
    survived.runs, survived.prefetched = ahead.done.runs, ahead.done.prefetched
    survived.completed = len(re.findall(rf" run mirror={MIRROR} .*state=completed", proxy.log))
    survived.evicted = sum(map(int, re.findall(r" evicted blobs=(\d+)", proxy.log)))
    for line in crashes(proxy.log):
        survived.tally.violated(Promise.STEADY, line)
    return survived


async def _start(proxy: ProxyServer, survived: Survived) -> None:
    await asyncio.to_thread(proxy.start)  # within a bound of its own
    survived.starts.append(proxy.started_in)


async def _load(
    killing: Killing, proxy: ProxyServer, visitors: list[Visitor], dice: random.Random, ahead: Ahead
) -> None:
    """Visitors until the kill, and a little beyond it."""
    loop = asyncio.get_running_loop()
    longest = killing.longest / 20 if dice.random() < HASTY else killing.longest
    moment = dice.uniform(0.0, longest)
    until = loop.time() + moment
    for visitor in visitors:
        visitor.missing_allowed = True
    roaming = [asyncio.create_task(visitor.roam(until)) for visitor in visitors]
    going = asyncio.create_task(ahead.go(proxy.url))
    try:
        await asyncio.sleep(moment)
        await asyncio.to_thread(kill, proxy)
        await asyncio.gather(*roaming)
    finally:
        going.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await going
        for visitor in visitors:
            await visitor.aclose()


def kill(proxy: ProxyServer) -> None:
    """End the server, all its workers and whatever they have started, at once."""
    pids = tree(proxy.pid)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    proxy.wait()
    # Not our children, so there is nothing to wait for but their end.
    eventually(lambda: not any(map(_lives, pids)), "all processes are gone")


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _look(cache: Path, survived: Survived) -> None:
    """What a kill left: blobs are whole or not there; what is half-done lies elsewhere."""
    for problem in wrong_blobs(cache, left_behind=False):
        survived.tally.violated(Promise.STORED, problem)
    survived.left += sum(1 for _ in half_done(cache))


def _verify(proxy: ProxyServer, survived: Survived) -> None:
    """`pkgproxy cache verify` finds nothing but what was being done, and then nothing."""
    settings = load(proxy.config_file, {}).settings
    for problem in verified(settings).wrong:
        words = problem.rpartition(", ")[2]
        if problem.endswith(MENDED):
            survived.repaired[words] += 1
        else:
            survived.tally.violated(Promise.STORED, f"cache verify: {problem}")
    for problem in verified(settings).wrong:
        survived.tally.violated(Promise.STORED, f"cache verify, once more: {problem}")


def _age(cache: Path) -> None:
    """Make what is stored look unused for a while, so that it may be evicted."""
    for path in (cache / "sha256").rglob("*"):
        if path.is_file():
            used = path.stat().st_mtime - OLD
            os.utime(path, (used, used))


def half_done(cache: Path) -> list[Path]:
    """Bodies and views that were being written."""
    folders = (cache / "spool", cache / "work")
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


async def _all_is_well(proxy: ProxyServer, content: Content, tally: Tally) -> None:
    """With a good upstream everything can be had, and nothing half-done is left."""
    content.publish_channel()
    visitor = Visitor(proxy.url, content, tally, seed=0)
    visitor.missing_allowed = True
    try:
        if await healed(visitor) is None:
            tally.violated(Promise.HEALED, "not all can be had after the last kill")
    finally:
        await visitor.aclose()
    # One worker collects what was left, perhaps while the others serve already.
    cache = proxy.folder / "cache"
    with contextlib.suppress(AssertionError):
        await asyncio.to_thread(eventually, lambda: not half_done(cache), "nothing is left")
    await asyncio.to_thread(proxy.stop)
    for path in half_done(proxy.folder / "cache"):
        tally.violated(Promise.HEALED, f"{path} was never collected")
    held = usage(proxy.folder / "cache").size
    if held > SLACK * QUOTA:
        tally.violated(Promise.STORED, f"{held} bytes are held, of {QUOTA}")
