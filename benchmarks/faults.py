"""What holds while upstream goes wrong: each fault alone, then seeded mixes of them.

Nothing is measured against a clock: each run counts the promises that were broken.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.report import Finding, Report, finding
from benchmarks.stage import Stage
from tests.faults.bench import Outcome, Plan, mixed, run
from tests.faults.upstream import Fault, Mix
from tests.faults.visitors import Promise


def faults(stage: Stage) -> Report:
    """The table fault x promise: all zero."""
    outcomes = [_run(stage, plan) for plan in plans(full=stage.full)]
    by_name: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_name.setdefault(outcome.plan.name, []).append(outcome)
    requests = sum(outcome.tally.requests for outcome in outcomes)
    return Report(
        name="faults",
        what=f"broken promises in {len(outcomes)} runs with {requests} requests",
        findings=[_finding(name, several) for name, several in by_name.items()],
        notes=[*_matrix(by_name), *_examples(outcomes)],
    )


def plans(*, full: bool) -> Iterator[Plan]:
    """Each fault alone, cold and warm, then mixes; with *full* more of them, and longer."""
    lasts = 15.0 if full else 3.0
    visitors = 32 if full else 8
    for number, fault in enumerate(Fault):
        plan = Plan(name=fault, mix=Mix((fault,), 0.7), seed=number, lasts=lasts, visitors=visitors)
        yield plan
        yield replace(plan, warm=True)
    for seed in range(40 if full else 6):
        yield Plan(
            name="mixed",
            mix=mixed(seed),
            seed=1000 + seed,
            lasts=lasts,
            visitors=visitors,
            workers=1 + seed % 2,
            warm=seed % 3 == 0,
        )


def _run(stage: Stage, plan: Plan) -> Outcome:
    with tempfile.TemporaryDirectory(dir=stage.folder) as folder:
        return run(plan, Path(folder))


def _finding(name: str, outcomes: Iterable[Outcome]) -> Finding:
    several = list(outcomes)
    values = [float(outcome.violations) for outcome in several]
    # The worst run counts, not the middle one.
    return finding(name, f"{len(several)} runs", [max(values)], "violations", at_most=0)


def _matrix(by_name: dict[str, list[Outcome]]) -> Iterator[str]:
    """Fault x promise as a table of text."""
    rows = [["fault", "runs", "requests", "slowest s", "healed s", *Promise]]
    for name, outcomes in by_name.items():
        broken: Counter[Promise] = Counter()
        for outcome in outcomes:
            broken += outcome.tally.violations
        healed = max((outcome.healed_after or 0.0 for outcome in outcomes), default=0.0)
        rows.append(
            [
                name,
                str(len(outcomes)),
                str(sum(outcome.tally.requests for outcome in outcomes)),
                f"{max(outcome.tally.slowest for outcome in outcomes):.1f}",
                f"{healed:.1f}",
                *(str(broken[promise]) for promise in Promise),
            ]
        )
    yield "\n".join(
        ["| " + " | ".join(row) + " |" for row in (rows[0], ["---"] * len(rows[0]), *rows[1:])]
    )


def _examples(outcomes: Iterable[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        for example in outcome.tally.examples[:3]:
            yield f"{outcome.plan.name}, seed {outcome.plan.seed}: {example}"
