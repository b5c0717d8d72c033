"""The fault bench and the kills, small; `python -m benchmarks faults kills` runs them large."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import bench, kills
from tests.faults.bench import Plan
from tests.faults.upstream import SAYS_MISSING, Fault, Mix

WRONG = (Fault.CORRUPTED, Fault.SWAPPED, Fault.PAGE, Fault.EMPTY, Fault.SHORTER, Fault.BAD_GZIP)
BREAKING = tuple(f for f in Fault if f not in (*WRONG, *SAYS_MISSING, Fault.CHANGED, Fault.BOMB))


@pytest.mark.parametrize(
    "plan",
    [
        Plan(name="cold", mix=Mix(BREAKING, 0.4), seed=1, lasts=1.0),
        Plan(name="warm", mix=Mix((*BREAKING, *WRONG), 0.95), seed=2, lasts=1.0, warm=True),
        Plan(name="wrong", mix=Mix((*WRONG, Fault.CHANGED), 0.6), seed=3, lasts=1.0, heals=False),
        Plan(name="workers", mix=Mix(tuple(Fault), 0.3), seed=4, lasts=1.0, workers=2, heals=False),
    ],
    ids=lambda plan: plan.name,
)
def test_whatever_upstream_does_the_promises_hold(tmp_path: Path, plan: Plan) -> None:
    outcome = bench.run(plan, tmp_path)
    assert outcome.tally.examples == []
    assert outcome.tally.complete > 10
    assert sum(outcome.hit.values()) > 10


def test_a_server_that_is_killed_serves_nothing_half_written(tmp_path: Path) -> None:
    survived = kills.run(kills.Killing(seed=1, kills=2, longest=0.6), tmp_path)
    assert survived.tally.examples == []
    assert len(survived.starts) == 3
