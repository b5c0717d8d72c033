"""A million things remembered: what a hit costs then, and how long the server takes to start.

A thousand small files are asked for in turn, first by a server that knows no others, then by one
whose catalog has a million entries besides.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

from benchmarks import wrk
from benchmarks.contestants import Proxy
from benchmarks.measure import Spread
from benchmarks.report import Report, finding
from benchmarks.stage import Stage
from benchmarks.start import fill_catalog
from benchmarks.upstream import Upstream

FILES = 1000
MANY = 1_000_000
SOME = 100_000  # unless the whole scale is asked for
DEARER = 1.1  # times, at the most
READY = 1.0  # seconds

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
        asyncio.run(fill_catalog(database.parent, many))
        stack.enter_context(large)
        for one in (small, large):
            _hit(one, script)  # fetches what is not here yet
        for _ in range(stage.rounds):
            few.append(_hit(small, script))
            lots.append(_hit(large, script))
    started = large.server.started_in
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
        ],
    )


def _hit(proxy: Proxy, script: Path) -> float:
    """Microseconds of CPU time per hit."""
    return wrk.load(proxy.port, proxy.pid, "/files/bench/few-0.bin", script=script).cpu_each
