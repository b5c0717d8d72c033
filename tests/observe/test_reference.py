"""The documentation of the metrics is what the code declares."""

from __future__ import annotations

from pathlib import Path

from proxy.observe.reference import text

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_the_page_lists_exactly_the_metrics_that_are_declared() -> None:
    assert PAGE.read_text() == text(), "run: pkgproxy metrics > docs/metrics.md"
