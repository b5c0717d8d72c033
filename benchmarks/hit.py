"""What a hit costs: CPU time per byte of a large file, and per request of a small one."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urljoin

from benchmarks.contestants import Contestant, Proxy, contestants
from benchmarks.load import Load
from benchmarks.measure import LOAD_CORE, Sample, Spread, pinned, sample
from benchmarks.report import Finding, Report, finding
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream
from tests.lab.processes import cpu_seconds
from tests.lab.simple_index import Wheel, build_index

SIZE = 200 * MB
CLIENTS = 8
TIMES = 3  # each; 4.8 GB a round, so that the kernel's 10 ms ticks do not show
CONNECTIONS = 32  # of wrk
TARGET = 1.3  # times nginx
SMALL = ("file of 4 kB", ".metadata of 4 kB")


def run(stage: Stage) -> Report:
    """Everything is asked for once before it is measured."""
    (large,) = stage.plain_files("hit", SIZE, 1)
    (small,) = stage.plain_files("small", 4000, 1)
    wheel = Wheel(name="bench", depends=tuple(f"lab-{number:04}" for number in range(160)))
    index = build_index(stage.upstream_folder() / "index", [wheel])
    metadata = f"/index/{index.files[wheel.filename].path}.metadata"
    notes = []
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(stage.upstream_folder()))
        present, note = contestants(stage.folder, upstream, direct=False)
        notes += [note] if note else []
        for contestant in present:
            stack.enter_context(contestant)
        findings = _large_hits(stage, present, large)
        wrk = shutil.which("wrk")
        if wrk is None:
            notes.append("small hits are left out: wrk is not installed")
        else:
            for label, path in zip(SMALL, (f"/files/{small.name}", metadata), strict=True):
                findings += _small_hits(stage, present, wrk, label, path)
    what = f"warm: 200 MB for {CLIENTS} clients; small files over {CONNECTIONS} connections"
    return Report(name="hit", what=what, findings=findings, notes=notes)


def _large_hits(stage: Stage, present: list[Contestant], file: Path) -> list[Finding]:
    samples: dict[str, list[Sample]] = {one.name: [] for one in present}
    for contestant in present:
        _large(contestant, file, clients=1, times=1)
    for _ in range(stage.rounds):
        for contestant in present:
            samples[contestant.name].append(_large(contestant, file, clients=CLIENTS, times=TIMES))
    costs = {name: [one.cpu_per_gb for one in taken] for name, taken in samples.items()}
    found = [finding("CPU per GB, 200 MB hit", name, cost, "s") for name, cost in costs.items()]
    for name, taken in samples.items():
        speeds = [one.throughput / MB for one in taken]
        found.append(finding("throughput, 200 MB hit", name, speeds, "MB/s"))
    return [*found, *_against_nginx("CPU per GB, 200 MB hit", costs, at_most=TARGET)]


def _large(contestant: Contestant, file: Path, *, clients: int, times: int) -> Sample:
    load = Load(
        port=contestant.port,
        path=contestant.path(f"/files/{file.name}"),
        expected=str(file),
        clients=clients,
        times=times,
    )
    return sample(load, contestant.pid)


def _small_hits(
    stage: Stage, present: list[Contestant], wrk: str, label: str, upstream_path: str
) -> list[Finding]:
    costs: dict[str, list[float]] = {one.name: [] for one in present}
    rates: dict[str, list[float]] = {one.name: [] for one in present}
    for _ in range(stage.rounds):
        for contestant in present:
            path = _small_path(contestant, upstream_path)
            requests, seconds, cpu = _wrk(wrk, contestant, path)
            costs[contestant.name].append(cpu / requests * 1e6)
            rates[contestant.name].append(requests / seconds)
    found = [finding(f"CPU per request, {label}", name, cost, "us") for name, cost in costs.items()]
    found += [finding(f"requests, {label}", name, rate, "1/s") for name, rate in rates.items()]
    return [*found, *_against_nginx(f"CPU per request, {label}", costs)]


def _against_nginx(
    metric: str, costs: dict[str, list[float]], at_most: float | None = None
) -> list[Finding]:
    if "nginx" not in costs:
        return []
    ratio = Spread.of_ratios(costs["pkgproxy"], costs["nginx"])
    return [finding(metric, "pkgproxy / nginx", ratio, "ratio", at_most=at_most)]


def _small_path(contestant: Contestant, upstream_path: str) -> str:
    """Where the contestant has the file; a wheel's metadata is where its own page says."""
    if not (isinstance(contestant, Proxy) and upstream_path.startswith("/index/")):
        return contestant.path(upstream_path)
    page = contestant.path("/index/simple/bench/")
    connection = http.client.HTTPConnection("127.0.0.1", contestant.port, timeout=30)
    connection.request("GET", page, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    if response.status != http.client.OK:
        raise RuntimeError(f"{page} answered {response.status}: {body[:500]!r}")
    (file,) = json.loads(body)["files"]
    return urljoin(page, str(file["url"])) + ".metadata"


def _wrk(wrk: str, contestant: Contestant, path: str) -> tuple[int, float, float]:
    """Requests answered, seconds, CPU seconds of the server; raises where any failed."""
    url = f"http://127.0.0.1:{contestant.port}{path}"
    assert contestant.pid is not None
    command = pinned([wrk, "-t1", f"-c{CONNECTIONS}", "-d3s", url], LOAD_CORE)
    _run([wrk, "-t1", "-c1", "-d1s", url])  # fills the caches
    before = cpu_seconds(contestant.pid)
    text = _run(command)
    cpu = cpu_seconds(contestant.pid) - before
    counted = re.search(r"(\d+) requests in ([\d.]+)s", text)
    if counted is None or "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(f"{contestant.name} did not answer {url} well:\n{text}")
    return int(counted[1]), float(counted[2]), cpu


def _run(command: list[str]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
