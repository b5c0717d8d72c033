"""Plots as the coordinates of an SVG: pure geometry, drawn by the template `plot.html`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from proxy.observe.history import Traffic
from proxy.web.admin.overview import Interval

WIDTH, HEIGHT = 640, 180
"""Of the area that is drawn in, in the units of the picture."""

POINTS = 80
"""Points of a line at the most: a pixel or two for each on a telephone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series: its name, its newest value in words, and its path."""

    name: str
    latest: str
    path: str
    dots: tuple[tuple[float, float], ...]  # points without neighbours, which no line shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark on an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A plot with everything that the template draws, and the same as rows of a table."""

    title: str
    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What is to be drawn: a value for each interval, None where there is none."""

    name: str
    value: Callable[[Interval], float | None]


def plot(
    title: str,
    intervals: Sequence[Interval],
    series: Sequence[Series],
    *,
    said: Callable[[float], str],
    top: float | None = None,
) -> Plot:
    """*series* over *intervals*; values are *said* so, and reach up to *top*, or their greatest."""
    merged = merge(intervals, POINTS)
    values = [[one.value(interval) for interval in merged] for one in series]
    highest = top or max((value or 0.0 for line in values for value in line), default=0.0) or 1.0
    begin = merged[0].begin if merged else 0.0
    length = (merged[-1].end - begin if merged else 0.0) or 1.0

    def place(interval: Interval, value: float) -> tuple[float, float]:
        across = (interval.end - begin) / length * WIDTH
        return round(across, 1), round(HEIGHT - value / highest * HEIGHT, 1)

    lines = []
    for one, line in zip(series, values, strict=True):
        found = list(zip(merged, line, strict=True))
        points = [None if it is None else place(interval, it) for interval, it in found]
        known = [it for it in line if it is not None]
        latest = said(known[-1]) if known else "nothing yet"
        lines.append(Line(name=one.name, latest=latest, path=_path(points), dots=_alone(points)))
    return Plot(
        title=title,
        lines=tuple(lines),
        across=tuple(_moments(begin, length)) if merged else (),
        up=tuple(
            Tick(at=HEIGHT - share * HEIGHT, text=said(share * highest)) for share in (0, 0.5, 1)
        ),
        rows=tuple(
            (_clock(interval.end, length), *("" if it is None else said(it) for it in row))
            for interval, row in zip(merged, zip(*values, strict=True), strict=True)
        ),
    )


def merge(intervals: Sequence[Interval], most: int) -> list[Interval]:
    """Neighbours put together until there are no more than *most*."""
    step = math.ceil(len(intervals) / most) if intervals else 1
    groups = [intervals[at : at + step] for at in range(0, len(intervals), step)]
    return [
        Interval(
            begin=group[0].begin,
            end=group[-1].end,
            traffic=sum((one.traffic for one in group), Traffic()),
            store_bytes=group[-1].store_bytes,
        )
        for group in groups
    ]


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """Lines through *points*, broken where there is none."""
    parts: list[str] = []
    is_on = False
    for point in points:
        if point is not None:
            parts.append(f"{'L' if is_on else 'M'}{point[0]:g} {point[1]:g}")
        is_on = point is not None
    return "".join(parts)


def _alone(points: Sequence[tuple[float, float] | None]) -> tuple[tuple[float, float], ...]:
    padded = [None, *points, None]
    return tuple(
        point
        for before, point, after in zip(padded, padded[1:], padded[2:], strict=False)
        if point is not None and before is None and after is None
    )


def _moments(begin: float, length: float) -> list[Tick]:
    shares = (0.0, 0.5, 1.0)
    return [Tick(at=it * WIDTH, text=_clock(begin + it * length, length)) for it in shares]


def _clock(moment: float, length: float) -> str:
    form = "%H:%M:%S" if length < 600 else "%H:%M" if length <= 86400 else "%d %b %H:%M"
    return datetime.fromtimestamp(moment, UTC).strftime(form)
