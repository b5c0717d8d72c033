"""The reference of all metrics as Markdown, made from the table that declares them."""

from __future__ import annotations

from proxy.observe.families import METRICS

_INTRODUCTION = """\
# Metrics

Made by `pkgproxy metrics` from the code; a test keeps the two the same. `GET /metrics` gives them
in Prometheus' text format, summed over all worker processes. Histograms have `_bucket`, `_sum` and
`_count` series.

`mirror` is `<type>/<name>`, `result` one of the words in the README.

`config/grafana-dashboard.json` is a dashboard to import into Grafana,
`config/prometheus-alerts.yml` has alert rules for Prometheus; a test checks both against this
table.

| metric | kind | labels | meaning |
|---|---|---|---|
"""


def text() -> str:
    """The whole page."""
    rows = (
        f"| `{metric.name}` | {metric.kind} | {_labels(metric.labels)} | {metric.help} |\n"
        for metric in METRICS
    )
    return _INTRODUCTION + "".join(rows)


def _labels(labels: tuple[str, ...]) -> str:
    return ", ".join(f"`{label}`" for label in labels) or "-"
