"""What a benchmark found, as a table for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Spread


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value. A target is met at or below `at_most`, or at or above `at_least`."""

    metric: str
    contestant: str
    unit: str
    median: float
    low: float
    high: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the median meets the target; None where there is none."""
        if self.at_most is not None:
            return self.median <= self.at_most
        if self.at_least is not None:
            return self.median >= self.at_least
        return None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark's findings; `notes` say what was left out or must be known to read them."""

    name: str
    what: str
    findings: list[Finding]
    notes: list[str] = []


def finding(
    metric: str,
    contestant: str,
    values: Spread | Sequence[float],
    unit: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
) -> Finding:
    """A finding from all rounds' values, or from their spread."""
    spread = values if isinstance(values, Spread) else Spread.of(values)
    return Finding(
        metric=metric,
        contestant=contestant,
        unit=unit,
        median=spread.median,
        low=spread.low,
        high=spread.high,
        at_most=at_most,
        at_least=at_least,
    )


def show(report: Report, console: Console) -> None:
    """Print the findings; a missed target is marked."""
    table = Table(title=f"{report.name}: {report.what}", title_justify="left")
    for column in ("metric", "contestant", "median", "low to high", "unit", "target", ""):
        table.add_column(column, justify="right" if column == "median" else "left")
    for one in report.findings:
        verdict = {True: "met", False: "MISSED", None: ""}[one.met]
        extent = f"{one.low:.3g} to {one.high:.3g}"
        row = (one.metric, one.contestant, f"{one.median:.3g}", extent, one.unit, target(one))
        table.add_row(*row, verdict)
    console.print(table)
    for note in report.notes:
        console.print(f"  {note}")


def save(reports: Sequence[Report], path: Path) -> None:
    """Write all reports as one JSON array."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(reports), indent=1) + b"\n")


def target(one: Finding) -> str:
    """The target in words; empty where there is none."""
    if one.at_most is not None:
        return f"at most {one.at_most:g}"
    return "" if one.at_least is None else f"at least {one.at_least:g}"
