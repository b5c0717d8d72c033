"""One run of the fault bench: a proxy between visitors and an upstream that goes wrong.

Warm up, go wrong for a while, calm down, wait until all is well, then look at what was stored:
by its bytes, and by serving it offline.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.content import Content
from tests.faults.upstream import CALM, SAYS_MISSING, Fault, FaultyUpstream, Mix
from tests.faults.visitors import Promise, Tally, Visitor
from tests.lab.server import MirrorConfig, ProxyServer

UPSTREAM = {
    "connect_timeout": "500ms",
    "read_timeout": "500ms",
    "slowest": 2000,
    "attempts": 2,
    "backoff": "50ms",
    "backoff_max": "200ms",
    "resumes": 2,
    "trust_env": False,
}
"""Deadlines that make a run short; those of an operator are some twenty times longer."""

FRESHNESS = {
    "fresh_min": 0,
    "fresh_max": "500ms",
    "fresh_default": 0,
    "stale_while_revalidate": "200ms",
    "stale_if_error": "1d",
    "negative": "200ms",
}

HEALS_WITHIN = 75.0
"""Seconds: files whose bytes were wrong are not fetched again for one minute, and a host that was
down is tried once a minute at the least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run. `lasts`: seconds of faults. `warm`: everything has been fetched before."""

    name: str
    mix: Mix
    seed: int
    lasts: float
    visitors: int = 8
    workers: int = 1
    warm: bool = False
    heals: bool = True


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of it. `healed_after`: seconds; None where it was not waited for."""

    plan: Plan
    tally: Tally
    hit: Mapping[Fault, int]
    healed_after: float | None = None
    log: str = field(default="", repr=False)

    @property
    def violations(self) -> int:
        return self.tally.violations.total()


def mixed(seed: int, *, rate: float | None = None) -> Mix:
    """Some faults at some rate, as *seed* decides."""
    dice = random.Random(seed)
    faults = dice.sample(list(Fault), dice.randint(2, 8))
    return Mix(tuple(faults), dice.choice((0.1, 0.3, 0.6, 0.95)) if rate is None else rate)


def run(plan: Plan, folder: Path) -> Outcome:
    """Carry out *plan* in the empty *folder*."""
    return asyncio.run(_run(plan, folder))


async def _run(plan: Plan, folder: Path) -> Outcome:
    content, tally = Content(plan.seed), Tally()
    async with FaultyUpstream(content, seed=plan.seed) as upstream:
        proxy = ProxyServer(
            folder, mirrors(upstream.url), workers=plan.workers, tables={"upstream": UPSTREAM}
        )
        outcome = Outcome(plan=plan, tally=tally, hit=upstream.hit)
        background = [
            asyncio.create_task(upstream.change()),
            asyncio.create_task(tally.feel_the_lag()),
        ]
        try:
            await asyncio.to_thread(proxy.start)
            await _live(plan, proxy, upstream, outcome)
            await asyncio.to_thread(proxy.stop)
            outcome.log = proxy.log
            await _inspect(proxy, content, outcome)
        finally:
            for task in background:
                task.cancel()
            await asyncio.to_thread(proxy.stop)
    return outcome


def mirrors(source: str) -> list[MirrorConfig]:
    """The three mirrors of an upstream with a `Content`."""

    def one(kind: str, folder: str, **options: Any) -> MirrorConfig:
        return MirrorConfig(
            type=kind, name="lab", source=f"{source}/{folder}", options={**FRESHNESS, **options}
        )

    return [one("conda", "channel"), one("pypi", "simple/"), one("files", "tree/")]


async def _live(plan: Plan, proxy: ProxyServer, upstream: FaultyUpstream, outcome: Outcome) -> None:
    loop, tally = asyncio.get_running_loop(), outcome.tally
    async with _visiting(proxy, upstream.content, tally, plan) as visitors:
        if plan.warm and not await visitors[0].everything_right():
            tally.violated(Promise.HEALED, "a good upstream was not enough to warm up")
        # A replaced file must be fetched anew, and one that upstream withdraws is gone.
        unkept = not {*SAYS_MISSING, Fault.CHANGED}.isdisjoint(plan.mix.faults)
        said_missing = not SAYS_MISSING.isdisjoint(plan.mix.faults)
        for visitor in visitors:
            visitor.missing_allowed = said_missing
            visitor.expects = plan.warm and not unkept
        upstream.mix = plan.mix
        until = loop.time() + plan.lasts
        await asyncio.gather(*(visitor.roam(until) for visitor in visitors))
        upstream.mix = CALM
        upstream.content.publish_channel()
        for visitor in visitors:
            visitor.expects, visitor.missing_allowed = False, True
        if plan.heals:
            outcome.healed_after = await healed(visitors[0])
            if outcome.healed_after is None:
                tally.violated(Promise.HEALED, f"not all is well after {HEALS_WITHIN} s")


async def healed(visitor: Visitor) -> float | None:
    """Seconds until everything can be had; None: more than `HEALS_WITHIN`."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while loop.time() - began < HEALS_WITHIN:
        if await visitor.everything_right():
            return loop.time() - began
        await asyncio.sleep(0.2)
    return None


@contextlib.asynccontextmanager
async def _visiting(
    proxy: ProxyServer, content: Content, tally: Tally, plan: Plan
) -> AsyncIterator[list[Visitor]]:
    visitors = [
        Visitor(proxy.url, content, tally, seed=plan.seed * 1000 + number)
        for number in range(plan.visitors)
    ]
    try:
        yield visitors
    finally:
        for visitor in visitors:
            await visitor.aclose()


async def _inspect(proxy: ProxyServer, content: Content, outcome: Outcome) -> None:
    """Look at what is stored: each blob by its name, and all that an offline proxy serves."""
    tally = outcome.tally
    for line in crashes(outcome.log):
        tally.violated(Promise.STEADY, line)
    for problem in await asyncio.to_thread(wrong_blobs, proxy.folder / "cache"):
        tally.violated(Promise.STORED, problem)
    await served_offline(proxy, content, tally)


async def served_offline(proxy: ProxyServer, content: Content, tally: Tally) -> None:
    """Start *proxy* without an upstream: all that it has must be right."""
    proxy.tables = {**proxy.tables, "": {"offline": True}}
    await asyncio.to_thread(proxy.start)
    stored = Tally()
    visitor = Visitor(proxy.url, content, stored, seed=0)
    visitor.missing_allowed = True
    try:
        await visitor.everything_right()
    finally:
        await visitor.aclose()
        await asyncio.to_thread(proxy.stop)
    for example in stored.examples:
        tally.violated(Promise.STORED, f"offline: {example}")


def crashes(log: str) -> list[str]:
    """Lines of the log that tell of what nobody foresaw."""
    words = ("_crashed", "Traceback", "library ")
    return [line for line in log.splitlines() if any(word in line for word in words)]


def wrong_blobs(cache: Path, *, left_behind: bool = True) -> list[str]:
    """Blobs whose bytes are not what their name says; *left_behind*: and what is half-done."""
    blobs = [path for path in (cache / "sha256").rglob("*") if path.is_file()]
    wrong = [
        f"the blob {path.name} holds something else"
        for path in blobs
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.name
    ]
    left = (cache / "spool").rglob("*") if left_behind else ()
    return wrong + [f"{path} was left behind" for path in left]
