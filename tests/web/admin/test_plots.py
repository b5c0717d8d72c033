"""Plots: within their frame, broken where nothing is known, and the same as their table."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from proxy.observe.history import Traffic
from proxy.web.admin.overview import Interval
from proxy.web.admin.plots import HEIGHT, POINTS, WIDTH, Plot, Series, merge, plot

_POINT = re.compile(r"([ML])(-?[\d.]+) (-?[\d.]+)")
SENT = Series(name="sent", value=lambda one: one.traffic.bytes_sent / (one.end - one.begin))
RATIO = Series(
    name="ratio",
    value=lambda one: one.traffic.hits / one.traffic.requests if one.traffic.requests else None,
)


def _intervals(counts: list[tuple[int, int]]) -> list[Interval]:
    """One of ten seconds for each number of requests and hits."""
    return [
        Interval(
            begin=10.0 * number,
            end=10.0 * (number + 1),
            traffic=Traffic(requests=requests, hits=min(hits, requests), bytes_sent=requests),
            store_bytes=0,
        )
        for number, (requests, hits) in enumerate(counts)
    ]


def _plot(intervals: list[Interval]) -> Plot:
    return plot("A plot", intervals, (SENT, RATIO), said=lambda value: f"{value:g}")


COUNTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=300)


@given(COUNTS)
def test_lines_stay_within_the_frame_and_say_what_the_table_says(
    counts: list[tuple[int, int]],
) -> None:
    found = _plot(_intervals(counts))
    assert len(found.rows) <= POINTS
    for line, column in zip(found.lines, (1, 2), strict=True):
        points = [(float(x), float(y)) for _, x, y in _POINT.findall(line.path)]
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in points)
        known = [row[column] for row in found.rows if row[column]]
        assert len(points) == len(known)
        assert line.latest == (known[-1] if known else "nothing yet")


@given(COUNTS)
def test_merging_loses_nothing(counts: list[tuple[int, int]]) -> None:
    intervals = _intervals(counts)
    merged = merge(intervals, POINTS)
    assert len(merged) <= POINTS
    whole = sum((one.traffic for one in intervals), Traffic())
    assert sum((one.traffic for one in merged), Traffic()) == whole
    if intervals:
        assert (merged[0].begin, merged[-1].end) == (intervals[0].begin, intervals[-1].end)


def test_a_line_is_broken_where_nothing_is_known_and_lone_points_are_dots() -> None:
    ratio = _plot(_intervals([(1, 1), (1, 0), (0, 0), (1, 1), (0, 0)])).lines[1]
    assert [kind for kind, _, _ in _POINT.findall(ratio.path)] == ["M", "L", "M"]
    assert len(ratio.dots) == 1


def test_without_anything_there_is_nothing_to_draw() -> None:
    found = _plot([])
    assert (found.rows, found.across) == ((), ())
    assert found.lines[0].latest == "nothing yet"
