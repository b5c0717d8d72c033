"""What a miss costs, against asking upstream itself: a large file, or a small one from afar."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection

from benchmarks.contestants import Contestant, contestants
from benchmarks.load import Load
from benchmarks.measure import Sample, Spread, WrongBody, sample
from benchmarks.report import Finding, Report, finding
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream

SIZE = 500 * MB
SMALL = 4000  # bytes
WARM_UP = 20  # misses
LATENCY = 0.02  # seconds until upstream answers
ADDED = 2.0  # milliseconds, at the most
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
        name="cold",
        what=f"a file of {SIZE // MB} MB for the first time",
        findings=findings,
        notes=notes,
    )


def small(stage: Stage) -> Report:
    """The time that a miss adds to an answer of an upstream 20 ms away. No two files are alike, as
    no two packages are, and the first few are not counted.
    """
    count = WARM_UP + 40 * stage.rounds
    files = [stage.plain_files(f"small-{number}", SMALL, 1)[0] for number in range(count)]
    taken: dict[str, list[float]] = {}
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(stage.upstream_folder(), latency=LATENCY))
        present, note = contestants(stage.folder / "small", upstream, direct=True)
        for contestant in present:
            stack.enter_context(contestant)
        connections = {one.name: HTTPConnection("127.0.0.1", one.port) for one in present}
        for file in files:
            for one in present:
                begun = time.perf_counter()
                connections[one.name].request("GET", one.path(f"/files/{file.name}"))
                body = connections[one.name].getresponse().read()
                taken.setdefault(one.name, []).append(1000 * (time.perf_counter() - begun))
                if len(body) != SMALL:
                    raise WrongBody(f"{one.name} sent {len(body)} bytes")
        for connection in connections.values():
            connection.close()
    direct = taken.pop("direct")
    found = []
    for name, times in taken.items():
        added = [one - other for one, other in zip(times, direct, strict=True)][WARM_UP:]
        limit = ADDED if name == "pkgproxy" else None
        found.append(finding("added by a small miss", name, added, "ms", at_most=limit))
    return Report(
        name="miss",
        what=f"a file of {SMALL} bytes for the first time, upstream {1000 * LATENCY:.0f} ms away",
        findings=found,
        notes=[note] if note else [],
    )


def _rounds(stage: Stage, rate: float | None, kind: str) -> tuple[Samples, str]:
    # No two are alike: a blob that replaces its like has the file system write all of it at once,
    # and free the other one, before its last bytes are released.
    files = [stage.plain_files(f"cold-{kind}-{it}", SIZE, 1)[0] for it in range(stage.rounds)]
    os.sync()  # else that goes on meanwhile
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
            file.unlink()
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
        least = 0.97 if ours and limited else None
        found.append(finding(f"of direct, {label}", name, speeds, "ratio", at_least=least))
        extra = [
            (one.outcome.first_byte[0] - other.outcome.first_byte[0]) * 1000
            for one, other in zip(taken, direct, strict=True)
        ]
        found.append(finding(f"extra time to first byte, {label}", name, extra, "ms"))
        peaks = [one.peak / MB for one in taken if one.peak is not None]
        found.append(finding(f"peak memory, {label}", name, peaks, "MB"))
        costs = [one.cpu_per_gb for one in taken]
        found.append(finding(f"CPU per GB, {label}", name, costs, "s"))
    return found
