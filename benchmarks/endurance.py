"""Kills and a soak: what is left of a server after SIGKILL, and after long use."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report import Report, finding
from benchmarks.stage import Stage
from tests.faults import kills, soak
from tests.faults.kills import Killing
from tests.faults.soak import Soaking

FLAT = 1.10
"""How much larger the last quarter may be than the second: noise, and no leak."""

SPARE = 6
"""Descriptors more, when all clients have gone after the second half, than after the first: two
threads that had nothing to look up before, each with a connection to the catalog (three files)."""


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
    growth = found.growth(lambda sample: sample.resident)
    at_rest = [float(count) for count in found.at_rest]
    return Report(
        name="soak",
        what=f"{soaking.visitors} clients for {soaking.lasts:g} s, {tally.requests} requests",
        findings=[
            finding("broken promises", "pkgproxy", [tally.violations.total()], "", at_most=0),
            finding("memory, last quarter / second", "pkgproxy", [growth], "", at_most=FLAT),
            finding("descriptors leaked", "pkgproxy", [found.leaked], "", at_most=SPARE),
            finding("memory", "pkgproxy", [s.resident / 1e6 for s in found.samples], "MB"),
            finding("descriptors", "pkgproxy", [float(s.descriptors) for s in found.samples], ""),
            finding("descriptors, the clients gone", "pkgproxy", at_rest, ""),
        ],
        notes=[
            f"{sum(found.hit.values())} faults.",
            f"After each half all clients left: then {_listed(found.at_rest)} were open.",
            *tally.examples,
        ],
    )


def _listed(counts: Sequence[int]) -> str:
    return ", ".join(map(str, counts))
