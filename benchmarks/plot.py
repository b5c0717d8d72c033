"""A report as a picture: one bar for each contestant, side by side for each metric, as SVG.

Bars of one metric are to scale with one another and with nothing else; ratios and metrics of one
contestant alone are left to the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from benchmarks.report import Finding, Report

WIDTH = 760  # pixels
LABELS = 250  # of them left of the bars
BAR = 16  # high
GAP = 12  # between two metrics
OURS = "#2f6f9f"
OTHERS = "#b8bcc2"


def plot(report: Report) -> str | None:
    """The picture; None where nothing in the report can be compared."""
    compared = _compared(report.findings)
    if not compared:
        return None
    lines = list(_lines(report, compared))
    height = 40 + sum(BAR * (len(some) + 1) + GAP for some in compared.values())
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">'
    )
    paper = f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    return "\n".join([head, paper, *lines, "</svg>", ""])


def _compared(findings: Sequence[Finding]) -> Mapping[str, list[Finding]]:
    metrics: dict[str, list[Finding]] = {}
    for one in findings:
        if one.unit not in ("ratio", "x", ""):
            metrics.setdefault(f"{one.metric} ({one.unit})", []).append(one)
    return {metric: some for metric, some in metrics.items() if len(some) > 1}


def _lines(report: Report, compared: Mapping[str, Sequence[Finding]]) -> Iterator[str]:
    yield f"<title>{escape(report.name)}</title>"
    title = f"{escape(report.name)}: {escape(report.what)}"
    yield f'<text x="8" y="20" font-weight="bold">{title}</text>'
    top = 40
    for metric, some in compared.items():
        yield f'<text x="8" y="{top + 12}">{escape(metric)}</text>'
        top += BAR
        largest = max(one.median for one in some) or 1.0
        for one in some:
            yield from _bar(one, top, (WIDTH - LABELS - 90) * one.median / largest)
            top += BAR
        top += GAP


def _bar(one: Finding, top: int, length: float) -> Iterator[str]:
    colour = OURS if one.contestant.startswith("pkgproxy") else OTHERS
    yield (
        f'<text x="{LABELS - 8}" y="{top + 12}" text-anchor="end">{escape(one.contestant)}</text>'
    )
    yield (
        f'<rect x="{LABELS}" y="{top + 2}" width="{max(length, 1):.1f}" height="{BAR - 4}" '
        f'fill="{colour}"/>'
    )
    yield f'<text x="{LABELS + length + 6:.1f}" y="{top + 12}">{one.median:.3g}</text>'
