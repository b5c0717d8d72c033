"""A run's findings as a Markdown page: what was measured, on what, and which targets were met."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from benchmarks.report import Finding, Report, target


def page(reports: Sequence[Report], command: str) -> str:
    """The page. *command* is what made it."""
    return "\n".join(_lines(reports, command)) + "\n"


def _lines(reports: Sequence[Report], command: str) -> Iterator[str]:
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
