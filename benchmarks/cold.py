"""What a miss costs: a large file through the proxy for the first time, against asking upstream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.contestants import Contestant, contestants
from benchmarks.load import Load
from benchmarks.measure import Sample, Spread, sample
from benchmarks.report import Finding, Report, finding
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream

SIZE = 200 * MB
GIGABIT = 125 * MB  # bytes per second
Samples = dict[str, list[Sample]]


def run(stage: Stage) -> Report:
    """At one gigabit per second, then as fast as upstream can."""
    findings: list[Finding] = []
    notes: list[str] = []
    for label, rate in (("1 Gbit/s", float(GIGABIT)), ("unlimited", None)):
        samples, note = _rounds(stage, rate, "limited" if rate else "unlimited")
        findings += _findings(samples, label, limited=rate is not None)
        notes = [note] if note else []
    notes.append("an unlimited upstream shares the machine's cores with proxy and client")
    return Report(
        name="cold", what="a cold file of 200 MB, one client", findings=findings, notes=notes
    )


def _rounds(stage: Stage, rate: float | None, kind: str) -> tuple[Samples, str]:
    files = stage.plain_files(f"cold-{kind}", SIZE, stage.rounds)
    samples: Samples = {}
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(stage.upstream_folder(), rate))
        present, note = contestants(stage.folder / kind, upstream, direct=True)
        for contestant in present:
            stack.enter_context(contestant)
        for number, file in enumerate(files):
            for contestant in _alternating(present, number):
                load = Load(
                    port=contestant.port,
                    path=contestant.path(f"/files/{file.name}"),
                    expected=str(file),
                )
                taken = sample(load, contestant.pid)
                samples.setdefault(contestant.name, []).append(taken)
    return samples, note


def _alternating(present: list[Contestant], number: int) -> Iterator[Contestant]:
    """Every round begins with another one, so that none always runs on a warm machine."""
    start = number % len(present)
    yield from present[start:] + present[:start]


def _findings(samples: Samples, label: str, *, limited: bool) -> list[Finding]:
    direct = samples["direct"]
    found = [
        finding(f"throughput, {label}", name, [one.throughput / MB for one in taken], "MB/s")
        for name, taken in samples.items()
    ]
    for name, taken in samples.items():
        if name == "direct":
            continue
        ours = name == "pkgproxy"
        speeds = Spread.of_ratios(
            [one.throughput for one in taken], [one.throughput for one in direct]
        )
        least = 0.95 if ours and limited else None
        found.append(finding(f"of direct, {label}", name, speeds, "ratio", at_least=least))
        extra = [
            (one.outcome.first_byte[0] - other.outcome.first_byte[0]) * 1000
            for one, other in zip(taken, direct, strict=True)
        ]
        most = 5.0 if ours else None
        found.append(finding(f"extra time to first byte, {label}", name, extra, "ms", at_most=most))
        costs = [one.cpu_per_gb for one in taken]
        found.append(finding(f"CPU per GB, {label}", name, costs, "s"))
    return found
