"""Run the benchmarks named, or all, in a temporary folder; print tables, write JSON.

Trials measure nothing: they count broken promises, and run only where they are named.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks import (
    active,
    answered,
    cold,
    cran,
    endurance,
    entries,
    faults,
    herd,
    hit,
    install,
    mixed,
    policy,
    resolve,
    start,
)
from benchmarks.plot import plot
from benchmarks.report import Report, save, show
from benchmarks.results import page
from benchmarks.stage import Stage

BENCHMARKS: dict[str, Callable[[Stage], Report]] = {
    "herd": herd.run,
    "cold": cold.run,
    "miss": cold.small,
    "hit": hit.run,
    "answered": answered.run,
    "mixed": mixed.run,
    "active": active.run,
    "entries": entries.run,
    "start": start.run,
    "policy": policy.run,
    "resolve": resolve.run,
    "cran": cran.run,
    "install": install.run,
}

TRIALS: dict[str, Callable[[Stage], Report]] = {
    "faults": faults.faults,
    "kills": endurance.killed,
    "soak": endurance.soaked,
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = BENCHMARKS | TRIALS
    parser.add_argument(
        "name", nargs="*", help=f"of {', '.join(known)}; default: {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--full", action="store_true", help="the whole scale, and more rounds")
    parser.add_argument("--json", type=Path, default=Path("build/benchmarks.json"))
    parser.add_argument("--folder", type=Path, help="make the temporary folder in here")
    parser.add_argument("--page", type=Path, help="write a Markdown page, too")
    asked = parser.parse_args()
    unknown = [name for name in asked.name if name not in known]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}")
    console, reports = Console(width=None if sys.stdout.isatty() else 120), []
    for name in asked.name or BENCHMARKS:
        with tempfile.TemporaryDirectory(prefix="pkgproxy-bench-", dir=asked.folder) as folder:
            reports.append(known[name](Stage(folder=Path(folder), full=asked.full)))
        show(reports[-1], console)
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    save(reports, asked.json)
    for report in reports:
        picture = plot(report)
        if picture is not None:
            asked.json.with_name(f"{report.name}.svg").write_text(picture)
    if asked.page is not None:
        asked.page.write_text(page(reports, " ".join(["python -m benchmarks", *sys.argv[1:]])))
    console.print(f"written to {asked.json}")


if __name__ == "__main__":
    main()
