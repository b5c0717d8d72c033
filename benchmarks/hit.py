"""What a hit on a large file costs: CPU time per byte."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from benchmarks.contestants import Contestant, contestants
from benchmarks.load import Load
from benchmarks.measure import Sample, Spread, sample
from benchmarks.report import Finding, Report, finding
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream

SIZE = 64 * MB
CLIENTS = 8
TIMES = 9  # each; 4.6 GB a round, so that the kernel's 10 ms ticks do not show
TARGET = 1.05  # times nginx


def run(stage: Stage) -> Report:
    """Everything is asked for once before it is measured."""
    (large,) = stage.plain_files("hit", SIZE, 1)
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(stage.upstream_folder()))
        present, note = contestants(stage.folder, upstream, direct=False)
        for contestant in present:
            stack.enter_context(contestant)
        findings = _large_hits(stage, present, large)
    what = f"warm: {SIZE // MB} MB for {CLIENTS} clients"
    return Report(name="hit", what=what, findings=findings, notes=[note] if note else [])


def _large_hits(stage: Stage, present: list[Contestant], file: Path) -> list[Finding]:
    samples: dict[str, list[Sample]] = {one.name: [] for one in present}
    for contestant in present:
        _large(contestant, file, clients=1, times=1)
    for _ in range(stage.rounds):
        for contestant in present:
            samples[contestant.name].append(_large(contestant, file, clients=CLIENTS, times=TIMES))
    costs = {name: [one.cpu_per_gb for one in taken] for name, taken in samples.items()}
    found = [finding("CPU per GB", name, cost, "s") for name, cost in costs.items()]
    for name, taken in samples.items():
        speeds = [one.throughput / MB for one in taken]
        found.append(finding("throughput", name, speeds, "MB/s"))
    if "nginx" in costs:
        ratio = Spread.of_ratios(costs["pkgproxy"], costs["nginx"])
        found.append(finding("CPU per GB", "ours / nginx", ratio, "ratio", at_most=TARGET))
    return found


def _large(contestant: Contestant, file: Path, *, clients: int, times: int) -> Sample:
    load = Load(
        port=contestant.port,
        path=contestant.path(f"/files/{file.name}"),
        expected=str(file),
        clients=clients,
        times=times,
    )
    return sample(load, contestant.pid)
