"""The picture of a report is well-formed, to scale, and leaves out what cannot be compared."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from benchmarks.plot import plot
from benchmarks.report import Report, finding

SVG = "{http://www.w3.org/2000/svg}"


def _report(*findings: tuple[str, str, float, str]) -> Report:
    made = [finding(metric, who, [value], unit) for metric, who, value, unit in findings]
    return Report(name="a<b", what="& more", findings=made)


def test_bars_of_one_metric_are_to_scale() -> None:
    picture = plot(_report(("time", "pkgproxy", 1.0, "s"), ("time", "nginx", 4.0, "s")))
    assert picture is not None
    bars = ET.fromstring(picture).findall(f"{SVG}rect")[1:]
    ours, theirs = (float(bar.attrib["width"]) for bar in bars)
    assert abs(theirs / ours - 4) < 0.01


def test_what_has_nothing_beside_it_is_left_out() -> None:
    alone = ("time", "pkgproxy", 1.0, "s")
    assert plot(_report(alone, ("time", "ours / nginx", 2.0, "ratio"))) is None
    assert plot(_report(alone, ("memory", "nginx", 2.0, "MB"))) is None


def test_texts_are_escaped() -> None:
    picture = plot(_report(("<time>", "pkgproxy", 1.0, "s"), ("<time>", '"x"', 0.0, "s")))
    assert picture is not None
    texts = [one.text for one in ET.fromstring(picture).iter(f"{SVG}text")]
    assert "<time> (s)" in texts
