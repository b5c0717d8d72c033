"""A million things remembered: what a hit costs then, and how long the server takes to start.

A thousand small files are asked for in turn, first by a server that knows no others, then by one
whose catalog has a million entries besides. Then one of them is asked for all the while ten
thousand others are evicted.
"""

from __future__ import annotations

import os
import statistics
import time
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path

from benchmarks import wrk
from benchmarks.contestants import Proxy
from benchmarks.measure import Spread
from benchmarks.report import Report, finding
from benchmarks.stage import Stage
from benchmarks.start import entry, fill_catalog
from benchmarks.upstream import Upstream
from proxy.storage.folder import blob_path

FILES = 1000
MANY = 1_000_000
SOME = 100_000  # unless the whole scale is asked for
DEARER = 1.1  # times, at the most
READY = 1.0  # seconds

EVICTED = 10_000
OLD = 1_000_000_000.0  # seconds since the epoch: when they were last used
LATER = 20.0  # milliseconds by which a hit may be later for it
PAUSE = 0.001  # seconds between two hits

_SCRIPT = """
local number = 0
request = function()
  number = (number + 1) % {count}
  return wrk.format("GET", "/files/bench/few-" .. number .. ".bin")
end
"""


def run(stage: Stage) -> Report:
    """See above."""
    if wrk.executable() is None:
        return Report(name="entries", what="left out", findings=[], notes=[wrk.MISSING])
    many = MANY if stage.full else SOME
    stage.plain_files("few", 4000, FILES)
    script = stage.folder / "turns.lua"
    script.write_text(_SCRIPT.format(count=FILES))
    few: list[float] = []
    lots: list[float] = []
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(stage.upstream_folder()))
        small = stack.enter_context(Proxy(stage.folder / "few", upstream))
        large = Proxy(stage.folder / "many", upstream)
        with large:
            pass
        (database,) = (large.server.folder / "cache").rglob("cache.db")
        fill_catalog(database.parent, range(many))
        stack.enter_context(large)
        for one in (small, large):
            _hit(one, script)  # fetches what is not here yet
        for _ in range(stage.rounds):
            few.append(_hit(small, script))
            lots.append(_hit(large, script))
    started = large.server.started_in
    alone, beside = _evicting(stage)
    later = max(beside) - statistics.median(alone)
    return Report(
        name="entries",
        what=f"{FILES} files of 4 kB in turn, with {many} entries besides and without",
        findings=[
            finding("CPU per hit", f"{FILES} entries", few, "us"),
            finding("CPU per hit", f"{many} entries", lots, "us"),
            finding(
                "CPU per hit", "many / few", Spread.of_ratios(lots, few), "ratio", at_most=DEARER
            ),
            finding("start to ready", f"{many} entries", [started], "s", at_most=READY),
            finding("hits, alone", "pkgproxy", alone, "ms"),
            finding(f"hits, while {EVICTED} are evicted", "pkgproxy", beside, "ms"),
            finding("the latest of them", "pkgproxy", [later], "ms later", at_most=LATER),
        ],
    )


def _evicting(stage: Stage) -> tuple[list[float], list[float]]:
    """Milliseconds that hits take at a server that has nothing else to do, and at one that evicts,
    as long as that takes.
    """
    stage.plain_files("evicting", 4000, 1)
    with ExitStack() as stack:
        upstream = stack.enter_context(Upstream(stage.upstream_folder()))
        proxy = Proxy(stage.folder / "evicting", upstream)
        with proxy:
            _hits(proxy, 1)
        root = proxy.server.folder / "cache"
        (database,) = root.rglob("cache.db")
        _fill_store(root, database.parent)
        proxy.server.tables = {"cache": {"path": str(root), "max_size": "1MB"}}
        stack.enter_context(proxy)
        beside: list[float] = []
        while proxy.server.metric("pkgproxy_evicted_blobs_total") < EVICTED:
            beside += _hits(proxy, 200)
        alone = _hits(proxy, len(beside))
    return alone, beside


def _fill_store(root: Path, folder: Path) -> None:
    """Blobs that nobody has used for long, a few more than are to go, and their entries."""
    count = EVICTED + EVICTED // 20
    for number in range(count):
        path = blob_path(root, entry(number).digest)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(4000))
        os.utime(path, (OLD, OLD))
    fill_catalog(folder, range(count))


def _hits(proxy: Proxy, count: int) -> list[float]:
    """Milliseconds that each takes."""
    taken: list[float] = []
    connection = HTTPConnection("127.0.0.1", proxy.port)
    for _ in range(count):
        begun = time.perf_counter()
        connection.request("GET", proxy.path("/files/evicting-0.bin"))
        connection.getresponse().read()
        taken.append(1000 * (time.perf_counter() - begun))
        time.sleep(PAUSE)
    connection.close()
    return taken


def _hit(proxy: Proxy, script: Path) -> float:
    """Microseconds of CPU time per hit."""
    return wrk.load(proxy.port, proxy.pid, "/files/bench/few-0.bin", script=script).cpu_each
