"""The page of results: the last report of each benchmark, and what people have written."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.report import Report, finding, save


def _saved(path: Path, seconds: float) -> str:
    times = [
        finding("time", "pkgproxy", [seconds], "s", at_most=2.0),
        finding("time", "nginx", [1.0], "s"),
    ]
    save([Report(name="herd", what="many clients", findings=times)], path)
    return str(path)


def test_the_page_is_made_of_the_last_runs_and_keeps_what_people_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, plots = tmp_path / "RESULTS.md", tmp_path / "plots"
    monkeypatch.setattr(results, "PAGE", page)
    monkeypatch.setattr(results, "PLOTS", plots)
    page.write_text("# Results\n\nold\n\n## Misses, and why\n\n- The kernel.\n")
    plots.mkdir()
    (plots / "gone.svg").touch()
    results.main([_saved(tmp_path / "a.json", 3.0), _saved(tmp_path / "b.json", 1.5)])
    text = page.read_text()
    assert "| time | pkgproxy | 1.5 | 1.5 to 1.5 | s | at most 2 | met |" in text
    assert "missed" not in text
    assert "old" not in text
    assert text.endswith("\n\n## Misses, and why\n\n- The kernel.\n")
    assert "![herd](plots/herd.svg)" in text
    assert [one.name for one in plots.iterdir()] == ["herd.svg"]
