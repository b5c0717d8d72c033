"""Kills and a soak: what is left of a server after SIGKILL, and after long use."""

from __future__ import annotations

from benchmarks.report import Report, finding
from benchmarks.stage import Stage
from tests.faults import kills, soak
from tests.faults.kills import Killing
from tests.faults.soak import Soaking

FLAT = 1.10
"""How much larger the last quarter may be than the second: noise, and no leak."""


def killed(stage: Stage) -> Report:
    """All workers killed at seeded moments under load: 200 times, or 20."""
    killing = Killing(seed=1, kills=200 if stage.full else 20)
    survived = kills.run(killing, stage.folder)
    tally = survived.tally
    return Report(
        name="kills",
        what=f"{killing.kills} kills of {killing.workers} workers, {tally.requests} requests",
        findings=[
            finding("broken promises", "pkgproxy", [tally.violations.total()], "", at_most=0),
            finding("start after a kill", "pkgproxy", survived.starts, "s"),
        ],
        notes=[
            f"{survived.left} half-done files were left and collected.",
            f"`cache verify` mended {survived.repaired.total()} times what a kill had left.",
            f"{survived.evicted} blobs were evicted, {survived.prefetched} files prefetched.",
            f"{survived.runs} runs were begun, {survived.completed} of them not cut off.",
            *tally.examples,
        ],
    )


def soaked(stage: Stage) -> Report:
    """200 clients and random faults for 20 minutes, or one."""
    soaking = Soaking(seed=1, lasts=1200.0 if stage.full else 60.0)
    found = soak.run(soaking, stage.folder)
    tally = found.tally
    growths = {
        "memory": found.growth(lambda sample: sample.resident),
        "descriptors": found.growth(lambda sample: sample.descriptors),
    }
    return Report(
        name="soak",
        what=f"{soaking.visitors} clients for {soaking.lasts:g} s, {tally.requests} requests",
        findings=[
            finding("broken promises", "pkgproxy", [tally.violations.total()], "", at_most=0),
            *(
                finding(f"{name}, last quarter / second", "pkgproxy", [growth], "", at_most=FLAT)
                for name, growth in growths.items()
            ),
            finding("memory", "pkgproxy", [s.resident / 1e6 for s in found.samples], "MB"),
            finding("descriptors", "pkgproxy", [float(s.descriptors) for s in found.samples], ""),
            finding("descriptors, the clients gone", "pkgproxy", [float(found.left_open)], ""),
        ],
        notes=[f"{sum(found.hit.values())} faults.", *tally.examples],
    )
