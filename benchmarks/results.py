"""Findings as a Markdown page: what was measured, on what, and which targets were met.

Run as `python -m benchmarks.results build/*.json`: writes RESULTS.md and the plots beside this file
from what runs have saved. Of two reports of one benchmark the later one counts. What people have
written about the misses, at the end of the page, stays.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
import sys
from collections.abc import Container, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.plot import plot
from benchmarks.report import Finding, Report, target

PAGE = Path(__file__).with_name("RESULTS.md")
PLOTS = PAGE.with_name("plots")
WRITTEN = "\n## Misses"
"""What begins the part of the page that is written by hand."""


def main(files: Sequence[str]) -> None:
    """Write the page and the plots from what runs have saved in *files*."""
    found: dict[str, Report] = {}
    for file in files:
        for report in msgspec.json.decode(Path(file).read_bytes(), type=list[Report]):
            found[report.name] = report
    PLOTS.mkdir(exist_ok=True)
    for old in PLOTS.glob("*.svg"):
        old.unlink()
    pictures = {name: picture for name, one in found.items() if (picture := plot(one)) is not None}
    for name, picture in pictures.items():
        (PLOTS / f"{name}.svg").write_text(picture)
    _, begun, written = PAGE.read_text().partition(WRITTEN)
    PAGE.write_text(page(list(found.values()), pictures) + begun + written)


def page(reports: Sequence[Report], plotted: Container[str] = ()) -> str:
    """The page; beside it are the plots of those that are *plotted*."""
    return "\n".join(_lines(reports, plotted)) + "\n"


def _lines(reports: Sequence[Report], plotted: Container[str]) -> Iterator[str]:
    command = f"python -m benchmarks {' '.join(one.name for one in reports)}"
    today = dt.datetime.now(dt.UTC).date()
    yield "# Results"
    yield ""
    yield f"Made by `{command}` on {today}."
    yield ""
    yield "Contestants take turns in one run; the median of the"
    yield "rounds is shown with its range. Compare within a table only: machines and days differ."
    yield ""
    yield f"- {os.cpu_count()} processors ({_processor()}), {platform.system()}"
    yield f"- Python {platform.python_version()}, aiohttp {version('aiohttp')},"
    yield f"  uvloop {version('uvloop')}; {_nginx()}"
    for report in reports:
        yield ""
        yield f"## {report.name}: {report.what}"
        yield ""
        yield "| metric | contestant | median | range | unit | target | |"
        yield "|---|---|---|---|---|---|---|"
        for one in report.findings:
            yield _row(one)
        yield from (f"\n{note}" for note in report.notes)
        if report.name in plotted:
            yield f"\n![{report.name}](plots/{report.name}.svg)"


def _row(one: Finding) -> str:
    verdict = {None: "", True: "met", False: "**missed**"}[one.met]
    middle, low, high = (f"{value:.3g}" for value in (one.median, one.low, one.high))
    return (
        f"| {one.metric} | {one.contestant} | {middle} | {low} to {high} | {one.unit} "
        f"| {target(one)} | {verdict} |"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - a pseudo-file
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def _nginx() -> str:
    try:
        done = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=False)
    except OSError:
        return "no nginx"
    return done.stderr.strip().removeprefix("nginx version: ")


if __name__ == "__main__":
    main(sys.argv[1:])
