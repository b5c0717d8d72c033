"""The dashboard and the alert rules speak of metrics and labels that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.core.cache_status import Result
from proxy.observe.families import METRICS, Kind
from proxy.observe.history import APART, HITS

CONFIG = Path(__file__).parents[2] / "config"
BY_NAME = {metric.name: metric for metric in METRICS}
SELECTOR = re.compile(r"(pkgproxy_\w+)(?:\{([^}]*)\})?")
LABEL = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
GROUPED = re.compile(r"\b(?:by|without) \(([^)]*)\)")
SCRAPED = {"instance", "job", "le"}
"""Labels that Prometheus, or a histogram, adds."""


def _dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CONFIG / "grafana-dashboard.json").read_text())
    return found


def _alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((CONFIG / "prometheus-alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _expressions() -> Iterator[tuple[str, str]]:
    """Each with what is written beside it, where labels are named as well."""
    for panel in _dashboard()["panels"]:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]
    for variable in _dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"], ""
    for rule in _alerts():
        yield rule["expr"], " ".join(rule["annotations"].values())


def _family(name: str) -> str:
    """The metric that a series belongs to."""
    family = re.sub(r"_(bucket|sum|count)$", "", name)
    if family in BY_NAME and BY_NAME[family].kind is Kind.HISTOGRAM:
        return family
    return name


@pytest.mark.parametrize(("expression", "beside"), list(_expressions()))
def test_metrics_and_labels_exist(expression: str, beside: str) -> None:
    used = [(_family(name), labels or "") for name, labels in SELECTOR.findall(expression)]
    labels: set[str] = set(SCRAPED)
    for name, selected in used:
        assert name in BY_NAME, f"there is no metric {name}"
        own = set(BY_NAME[name].labels) | SCRAPED
        assert {label for label, _ in LABEL.findall(selected)} <= own, expression
        labels |= own
    for grouped in GROUPED.findall(expression):
        assert {label.strip() for label in grouped.split(",")} <= labels, expression
    named = re.findall(r"\$labels\.(\w+)", beside) + re.findall(r"\{\{(\w+)\}\}", beside)
    assert set(named) <= labels, beside


def test_results_that_are_named_exist() -> None:
    known = {str(result) for result in Result}
    for expression, _ in _expressions():
        for label, value in LABEL.findall(expression):
            if label == "result":
                assert set(value.split("|")) <= known, expression


@pytest.mark.parametrize("path", ["README.md", "config/grafana-dashboard.json"])
def test_the_hit_ratio_is_everywhere_that_of_the_pages(path: str) -> None:
    text = (CONFIG.parent / path).read_text().replace('\\"', '"')
    ratio = re.search(r'result=~"([a-z|]+)"[^/]*/ sum.*?result!~"([a-z|]+)"', text, re.DOTALL)
    assert ratio is not None
    named = [{Result(word) for word in words.split("|")} for words in ratio.groups()]
    assert named == [HITS, APART]


def test_a_counter_is_never_shown_as_it_stands() -> None:
    for expression, _ in _expressions():
        for found in SELECTOR.finditer(expression):
            family = BY_NAME[_family(found[1])]
            if family.kind is not Kind.GAUGE and not expression.startswith("label_values"):
                assert expression[: found.start()].endswith(("rate(", "increase(")), expression


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    panels = _dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_alert_says_what_to_do() -> None:
    rules = _alerts()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")
