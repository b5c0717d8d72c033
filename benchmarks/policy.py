"""A policy on a channel as large as conda-forge: how long until its views can be served.

The channel is here already, but everything in it is hidden, so that no shard of it has been made;
then the policy is put in place. Measured from the reload until the filtered `.json.zst`, a verdict
on a file (the row table) and the shard index have all been served, while another client asks for a
small file all the time. Then the policy changes, and then one record in a thousand upstream: that
is measured from when upstream's bytes are on disk. Beside it the plain way: parse, loop, write.
"""

from __future__ import annotations

import hashlib
import http.client
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import channel
from benchmarks.measure import REPOSITORY
from benchmarks.policy_rules import toml
from benchmarks.report import Finding, Report, finding
from benchmarks.stage import MB, Stage
from benchmarks.upstream import Upstream
from proxy.core.digest import Digest
from proxy.storage.folder import blob_path
from tests.lab.processes import cpu_seconds, peak_resident, reset_peak, tree
from tests.lab.server import MirrorConfig, ProxyServer, eventually

SMALL = 60_000
"""Records unless the whole scale is asked for."""

LIMIT = 6.0  # seconds, at the whole scale
FASTER = 8.0  # times the plain way
MEMORY = 3.0  # times the raw JSON, per process
DELAY = 10.0  # milliseconds
REFRESH = 0.5  # of the first time
SOLVE_TIME = 1 / 3
SOLVE_BYTES = 1 / 20

ASKING = {"fresh_min": 0, "fresh_max": 0, "fresh_default": 0, "stale_while_revalidate": 0}
"""Upstream is asked each time whether anything has changed."""

NOTHING = {"exclude": ["*"]}
"""What shows nothing of a channel."""

PATIENCE = 16.0
"""Seconds after which the proxy has begun with what is left to do for a new generation."""

SUBDIR = "/conda/bench/linux-64"
FORMS = ("repodata.json.zst", "repodata_shards.msgpack.zst")


@dataclass
class Measured:
    """One time from the start until everything has been served."""

    seconds: float = 0.0
    cpu: float = 0.0
    peak: float = 0.0  # bytes, of the process that had most
    delays: list[float] = field(default_factory=list)  # seconds that a small file took
    download: float = 0.0  # seconds until upstream's bytes were on disk


def run(stage: Stage) -> Report:
    """See above."""
    count = channel.RECORDS if stage.full else SMALL
    root = stage.folder / "upstream"
    text = channel.write(root / "channel", count)
    raw = text.stat().st_size
    (root / "small").mkdir()
    (root / "small" / "file").write_bytes(b"small")
    with Upstream(root) as upstream:
        server = _server(stage.folder / "proxy", upstream)
        with server:
            _get(server.port, f"{SUBDIR}/{FORMS[0]}")
            _get(server.port, "/files/bench/file")
            first = _with_policy(server)
            changed = _with_policy(server, exclude=["no-such-*"])
            _rest(server)
            channel.write(root / "channel", count, edition=2)
            again = _measured(server, root / "channel" / "linux-64" / "repodata.json.zst")
            solved = {kind: _solve(server, stage.folder, kind) for kind in ("shards", "zst")}
    source = text.with_name("repodata.json.zst")
    plain = _plainly(stage.folder, source)
    least = float(_run("benchmarks.least", str(source)))
    findings = [
        finding("first views", "pkgproxy", [first.seconds], "s", at_most=LIMIT),
        finding("first views", "plain way", [plain], "s"),
        finding("CPU to read and write all", "the libraries alone", [least], "s"),
        finding("times faster", "pkgproxy", [plain / first.seconds], "x", at_least=FASTER),
        finding("times faster", "the libraries alone", [plain / least], "x"),
        finding("CPU of that", "pkgproxy", [first.cpu], "s"),
        finding(
            "peak of a process to raw JSON", "pkgproxy", [first.peak / raw], "x", at_most=MEMORY
        ),
        finding("delay of small files", "pkgproxy", _milliseconds(first), "ms"),
        finding("worst such delay", "pkgproxy", [max(_milliseconds(first))], "ms", at_most=DELAY),
        finding("after a change of policy", "pkgproxy", [changed.seconds], "s"),
        finding("refresh, 0.1 % changed", "pkgproxy", [again.seconds], "s"),
        finding("download before it", "pkgproxy", [again.download], "s"),
        finding(
            "refresh to first",
            "pkgproxy",
            [again.seconds / first.seconds],
            "x",
            at_most=REFRESH,
        ),
        finding("CPU of the refresh", "pkgproxy", [again.cpu], "s"),
        *(finding("solve, seconds", kind, [one[0]], "s") for kind, one in solved.items()),
        *(finding("solve, received", kind, [one[1] / MB], "MB") for kind, one in solved.items()),
        _ratio("seconds, shards to zst", solved, 0, SOLVE_TIME),
        _ratio("bytes, shards to zst", solved, 1, SOLVE_BYTES),
    ]
    notes = [
        f"{count} records, {raw / MB:.0f} MB of JSON",
        "the load, the upstream and the proxy share all processors",
    ]
    return Report(
        name="policy", what="filtered views of a large channel", findings=findings, notes=notes
    )


def _ratio(
    metric: str, solved: Mapping[str, tuple[float, float]], column: int, at_most: float
) -> Finding:
    value = solved["shards"][column] / solved["zst"][column]
    return finding(metric, "py-rattler", [value], "x", at_most=at_most)


def _solve(server: ProxyServer, folder: Path, kind: str) -> tuple[float, float]:
    """Seconds and bytes that py-rattler needs for ten packages, with an empty cache of its own."""
    sent = server.metric("pkgproxy_response_bytes_total", mirror="conda/bench")
    url = f"{server.url}/conda/bench"
    took = float(_run("benchmarks.solving", url, str(folder / kind), kind))
    received = server.metric("pkgproxy_response_bytes_total", mirror="conda/bench") - sent
    return took, received


def _server(folder: Path, upstream: Upstream) -> ProxyServer:
    base = f"http://127.0.0.1:{upstream.port}"
    mirrors = [
        MirrorConfig(
            type="conda", name="bench", source=f"{base}/channel/", options={**ASKING, **NOTHING}
        ),
        MirrorConfig(type="files", name="bench", source=f"{base}/small/"),
    ]
    server = ProxyServer(folder, mirrors)
    (folder / "policies").mkdir(parents=True)
    (folder / "policies" / "bench.toml").write_text(toml())
    return server


def _with_policy(server: ProxyServer, **more: Any) -> Measured:
    options = {**ASKING, "policy": "bench", **more}
    server.mirrors[0] = replace(server.mirrors[0], options=options)
    _reload(server)
    return _measured(server)


def _rest(server: ProxyServer) -> None:
    """Wait for the work behind the first views; no channel changes before that."""
    time.sleep(PATIENCE)
    cpu = -1.0
    while (now := cpu_seconds(server.pid)) - cpu > 0.2:
        cpu = now
        time.sleep(2)


def _reload(server: ProxyServer) -> None:
    before = server.log.count("reloaded")
    server.write_config()
    server.signal(signal.SIGHUP)
    eventually(lambda: server.log.count("reloaded") > before, "the configuration is read again")


def _measured(server: ProxyServer, source: Path | None = None) -> Measured:
    """*source*: what upstream has that is to be fetched first."""
    found = Measured()
    reset_peak(server.pid)
    blob = None if source is None else _blob(server, source)
    cpu, begun = cpu_seconds(server.pid), time.perf_counter()
    with _asking(server.port, found.delays), ThreadPoolExecutor(1) as watching:
        arrival = None if blob is None else watching.submit(_arrived, blob)
        _all(server.port)
        found.seconds = time.perf_counter() - begun
    if arrival is not None:
        found.download = arrival.result() - begun
        found.seconds -= found.download
    found.cpu = cpu_seconds(server.pid) - cpu
    found.peak = max(_peak(pid) for pid in tree(server.pid))
    return found


def _blob(server: ProxyServer, source: Path) -> Path:
    """Where the proxy keeps the bytes of *source*."""
    digest = Digest(hashlib.sha256(source.read_bytes()).hexdigest())
    return blob_path(server.folder / "cache", digest)


def _arrived(blob: Path) -> float:
    """When *blob* is there."""
    while not blob.exists():
        time.sleep(0.005)
    return time.perf_counter()


def _peak(pid: int) -> int:
    """Of one process, without its children."""
    return peak_resident(pid) - sum(peak_resident(child) for child in tree(pid)[1:])


def _all(port: int) -> None:
    """Ask for everything that a channel's clients ask for, at once."""
    package = f"{SUBDIR}/no-such-package-1-0.conda"
    paths = [*(f"{SUBDIR}/{form}" for form in FORMS), package]
    with ThreadPoolExecutor(len(paths)) as together:
        list(together.map(lambda path: _get(port, path), paths))


def _get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        while response.read(1 << 20):
            pass
        return response.status
    finally:
        connection.close()


@contextmanager
def _asking(port: int, delays: list[float]) -> Iterator[None]:
    """Ask for a small file every five milliseconds, over one connection."""
    stop = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        while not stop.wait(0.005):
            begun = time.perf_counter()
            connection.request("GET", "/files/bench/file")
            connection.getresponse().read()
            delays.append(time.perf_counter() - begun)
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _milliseconds(measured: Measured) -> list[float]:
    return [1000 * one for one in measured.delays]


def _plainly(folder: Path, packed: Path) -> float:
    out = folder / "plain"
    out.mkdir()
    return float(_run("benchmarks.plainly", str(packed), str(out)))


def _run(module: str, *arguments: str) -> str:
    """What a program of the benchmark's prints."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
