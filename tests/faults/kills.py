"""Kills: the server with all its workers ends by SIGKILL at seeded moments under load.

After each kill the store is looked at as it lies there, then the server starts on it again: in
time, with nothing left over, and with nothing half-written to serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from proxy.cli.cache import verified
from proxy.config import load
from tests.faults.bench import UPSTREAM, crashes, healed, mirrors, served_offline, wrong_blobs
from tests.faults.content import Content
from tests.faults.upstream import CALM, Fault, FaultyUpstream, Mix
from tests.faults.visitors import Promise, Tally, Visitor
from tests.lab.processes import tree
from tests.lab.server import ProxyServer, eventually

PATIENCE = 120.0
"""Seconds for one start: what a busy machine makes of a second must not end a long trial."""

LOAD = Mix((Fault.CHANGED, Fault.TRICKLED, Fault.TRUNCATED, Fault.MISSING), 0.2)
"""Fills that last, files that are fetched again, indexes that are made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killing:
    """*kills* of a server with *workers*, each up to *longest* seconds after it was ready."""

    seed: int
    kills: int
    workers: int = 2
    visitors: int = 8
    longest: float = 1.5


@dataclass(slots=True, kw_only=True)
class Survived:
    """What came of it. `starts`: seconds; `left`: half-done files that the kills left behind."""

    tally: Tally
    starts: list[float] = field(default_factory=list)
    left: int = 0


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
        proxy = ProxyServer(
            folder,
            mirrors(upstream.url),
            workers=killing.workers,
            tables={"upstream": UPSTREAM},
        )
        proxy.ready_within = PATIENCE
        try:
            for number in range(killing.kills):
                await _start(proxy, survived)
                await _load(killing, proxy, content, survived.tally, dice)
                await asyncio.to_thread(_look, proxy.folder / "cache", survived)
                if number % 2:  # else what was left is the next start's to collect
                    await asyncio.to_thread(_verify, proxy, survived)
                told(number + 1)
            upstream.mix = CALM
            await _start(proxy, survived)
            await _all_is_well(proxy, content, survived.tally)
        finally:
            for task in background:
                task.cancel()
            await asyncio.to_thread(proxy.stop)
        await served_offline(proxy, content, survived.tally)
    for line in crashes(proxy.log):
        survived.tally.violated(Promise.STEADY, line)
    return survived


async def _start(proxy: ProxyServer, survived: Survived) -> None:
    await asyncio.to_thread(proxy.start)  # within a bound of its own
    survived.starts.append(proxy.started_in)


async def _load(
    killing: Killing, proxy: ProxyServer, content: Content, tally: Tally, dice: random.Random
) -> None:
    """Visitors until the kill, and a little beyond it."""
    loop = asyncio.get_running_loop()
    moment = dice.uniform(0.0, killing.longest)
    visitors = [
        Visitor(proxy.url, content, tally, seed=dice.getrandbits(32))
        for _ in range(killing.visitors)
    ]
    for visitor in visitors:
        visitor.missing_allowed = True
    until = loop.time() + moment
    roaming = [asyncio.create_task(visitor.roam(until)) for visitor in visitors]
    try:
        await asyncio.sleep(moment)
        await asyncio.to_thread(kill, proxy)
        await asyncio.gather(*roaming)
    finally:
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
    """`pkgproxy cache verify` finds nothing but what was being written."""
    found = verified(load(proxy.config_file, {}).settings)
    for problem in found.wrong:
        if "never finished" not in problem:
            survived.tally.violated(Promise.STORED, f"cache verify: {problem}")


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
    await asyncio.to_thread(proxy.stop)
    for path in half_done(proxy.folder / "cache"):
        tally.violated(Promise.HEALED, f"{path} was never collected")
