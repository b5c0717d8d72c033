"""Many clients for one file that nobody has yet, from an upstream slower than they are."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contestants import Contestant, contestants
from benchmarks.load import Load
from benchmarks.measure import Sample, sample
from benchmarks.report import Finding, Report, finding
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream
from tests.lab.processes import peak_resident, reset_peak, resident

CLIENTS = 500
CLIENTS_IN_FULL = 1000
AS_HITS = 1.3  # times as long as the same clients take for a file that is here
RATE = 50 * MB  # bytes per second
GROWTH_LIMIT = 50.0  # MB
COMPARING = 20  # of so many clients at once one compares its bytes: reading them all takes longer


def run(stage: Stage) -> Report:
    """One herd per contestant, each on a file of its own. Every byte is compared."""
    size = (100 if stage.full else 20) * MB
    clients = CLIENTS_IN_FULL if stage.full else CLIENTS
    findings: list[Finding] = []
    with Upstream(stage.upstream_folder(), RATE) as upstream:
        present, note = contestants(stage.folder, upstream, direct=False)
        files = stage.plain_files("herd", size, len(present))
        for contestant, file in zip(present, files, strict=True):
            findings += _herd(contestant, upstream, file, clients)
    findings += _at_once(stage)
    what = f"{clients} clients for one uncached file of {size // MB} MB, upstream at 50 MB/s"
    return Report(name="herd", what=what, findings=findings, notes=[note] if note else [])


def _at_once(stage: Stage) -> list[Finding]:
    """All clients at once, from an upstream as fast as it can be; then again, all of them hits."""
    clients = CLIENTS_IN_FULL if stage.full else CLIENTS_IN_FULL // 5
    size = (100 if stage.full else 20) * MB
    with Upstream(stage.upstream_folder()) as upstream:
        present, _ = contestants(stage.folder / "at-once", upstream, direct=False)
        (file,) = stage.plain_files("at-once", size, 1)
        found: list[Finding] = []
        for contestant in present:
            load = Load(
                port=contestant.port,
                path=contestant.path(f"/files/{file.name}"),
                expected=str(file),
                clients=clients,
                comparing=clients // COMPARING,
            )
            with contestant:
                cold, warm = (sample(load, contestant.pid).outcome.wall for _ in range(2))
            ours = contestant.name == "pkgproxy"
            label = f"{clients} at once, cold to warm"
            limit = AS_HITS if ours else None
            found.append(finding(label, contestant.name, [cold / warm], "ratio", at_most=limit))
        asked = float(upstream.requests(f"/files/{file.name}")) - len(present) + 1
        found.append(finding(f"{clients} at once, requests", "pkgproxy", [asked], "", at_most=1.0))
    return found


def _herd(contestant: Contestant, upstream: Upstream, file: Path, clients: int) -> list[Finding]:
    fill_time = 0.8 * file.stat().st_size / RATE  # the last one joins while the fill still runs
    path = f"/files/{file.name}"
    load = Load(
        port=contestant.port,
        path=contestant.path(path),
        expected=str(file),
        clients=clients,
        join_over=fill_time,
    )
    with contestant:
        assert contestant.pid is not None
        reset_peak(contestant.pid)
        before = resident(contestant.pid)
        taken = sample(load, contestant.pid)
        growth = (peak_resident(contestant.pid) - before) / MB
    asked = float(upstream.requests(path))
    ours = contestant.name == "pkgproxy"
    return _findings(contestant.name, taken, clients, asked=asked, growth=growth, ours=ours)


def _findings(
    name: str, taken: Sample, clients: int, *, asked: float, growth: float, ours: bool
) -> list[Finding]:
    outcome = taken.outcome
    limit = GROWTH_LIMIT if ours else None
    one = 1.0 if ours else None
    first = [seconds * 1000 for seconds in outcome.first_byte]
    return [
        finding("upstream requests", name, [asked], "", at_most=one),
        finding("clients with every byte right", name, [outcome.right], "", at_least=clients),
        finding("first byte, last client to join", name, first[-1:], "ms"),
        finding("first byte, all clients", name, first, "ms"),
        finding("resident memory growth", name, [growth], "MB", at_most=limit),
        finding("total time", name, [outcome.wall], "s"),
        finding("CPU per GB delivered", name, [taken.cpu_per_gb], "s"),
    ]
