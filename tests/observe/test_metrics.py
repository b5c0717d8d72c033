"""Metrics: what is counted is exposed, by one process or by several."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from proxy.core.cache_status import Result
from proxy.observe.families import METRICS, Kind
from proxy.observe.metrics import Metrics


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """Every sample by its name and its labels' values in order of the labels' names."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


def answer(
    metrics: Metrics, result: Result, sent: int, *, method: str = "GET", status: int = 200
) -> None:
    metrics.answered(
        mirror="conda/main",
        method=method,
        result=result,
        status=status,
        sent=sent,
        seconds=0.2,
        first_byte=0.01,
    )


def test_hit_ratios_of_requests_and_bytes_can_be_derived(metrics: Metrics) -> None:
    for _ in range(3):
        answer(metrics, Result.HIT, 100)
    answer(metrics, Result.MISS, 700)
    metrics.upstream_received("conda/main", 700)
    seen = samples(metrics.exposition())
    assert seen["pkgproxy_requests_total", "2xx", "GET", "conda/main", "hit"] == 3
    assert seen["pkgproxy_requests_total", "2xx", "GET", "conda/main", "miss"] == 1
    assert seen["pkgproxy_response_bytes_total", "conda/main", "hit"] == 300
    assert seen["pkgproxy_response_bytes_total", "conda/main", "miss"] == 700
    assert seen["pkgproxy_upstream_bytes_total", "conda/main"] == 700
    assert seen["pkgproxy_request_duration_seconds_count", "conda/main", "hit"] == 3
    assert seen["pkgproxy_time_to_first_byte_seconds_sum", "conda/main", "miss"] == 0.01


def test_a_clients_method_cannot_make_series(metrics: Metrics) -> None:
    for method in ("BREW", "PROPFIND", "get"):
        answer(metrics, Result.NONE, 0, method=method, status=405)
    seen = samples(metrics.exposition())
    assert seen["pkgproxy_requests_total", "4xx", "other", "conda/main", "none"] == 3
    counted = [key for key in seen if key[0] == "pkgproxy_requests_total"]
    assert len(counted) == 1


@pytest.mark.parametrize("has_body", [True, False])
def test_many_that_are_counted_at_once_are_counted_as_one_by_one(
    metrics: Metrics, has_body: bool
) -> None:
    seconds = [0.0, 0.000001, 0.0005, 0.00051, 0.3, 500.0]
    alike: dict[str, Any] = {
        "mirror": "conda/main",
        "method": "GET",
        "result": Result.HIT,
        "status": 206,
    }
    metrics.answered_again(**alike, sent=6 * 70, seconds=seconds, has_body=has_body)
    others = Metrics(CollectorRegistry())
    for one in seconds:
        others.answered(**alike, sent=70, seconds=one, first_byte=one if has_body else None)
    ours, theirs = (
        {key: value for key, value in samples(it.exposition()).items() if "_created" not in key[0]}
        for it in (metrics, others)
    )
    assert ours == pytest.approx(theirs)


def test_statuses_are_counted_by_class(metrics: Metrics) -> None:
    for status in (200, 206, 304, 404, 503):
        answer(metrics, Result.HIT, 0, status=status)
    seen = samples(metrics.exposition())
    by_class = {key[1]: value for key, value in seen.items() if key[0] == "pkgproxy_requests_total"}
    assert by_class == {"2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1}


def test_every_event_reaches_its_family(metrics: Metrics) -> None:
    mirror = "pypi/pypi"
    answer(metrics, Result.HIT, 1)
    metrics.coalesced(mirror)
    metrics.stale_served(mirror, "updating")
    metrics.upstream_answered(mirror, "ok", 0.5)
    metrics.upstream_received(mirror, 1)
    metrics.upstream_retried(mirror, "UpstreamFailed")
    metrics.negative_stored(mirror)
    metrics.integrity_failed(mirror)
    metrics.refused(mirror, "cool-down")
    metrics.hidden(mirror, "cool-down", 3)
    metrics.open_circuits(1)
    metrics.rendered(mirror, frozenset({"json", "html"}), 0.1)
    metrics.unstored(mirror)
    metrics.trouble("blobs", present=True)
    metrics.evicted({"small": 1}, {"small": 7})
    metrics.run_ended(mirror, "completed", files={"fetched": 3}, fetched_bytes=9)
    metrics.run_missed(mirror)
    metrics.stored(size=5, entries=2)
    metrics.ready(1, 3000)
    metrics.running("1.0")
    metrics.let_in("build-farm", 200)
    metrics.access_refused("wrong")
    metrics.connected(+1)
    metrics.crowded("dropped", 3)
    metrics.no_request(400)
    with metrics.fill(mirror):
        seen = samples(metrics.exposition())
    ends = {Kind.COUNTER: "", Kind.GAUGE: "", Kind.HISTOGRAM: "_count"}
    for metric in METRICS:
        values = [value for key, value in seen.items() if key[0] == metric.name + ends[metric.kind]]
        assert values, f"{metric.name} was never touched"
        assert all(value > 0 for value in values), metric.name
    assert seen["pkgproxy_renders_total", "html+json", mirror] == 1
    assert samples(metrics.exposition())["pkgproxy_fills_in_flight", mirror] == 0


def test_the_table_says_what_is_exposed(metrics: Metrics) -> None:
    families = {
        family.name: family
        for family in text_string_to_metric_families(metrics.exposition().decode())
    }
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert family.documentation == metric.help
        assert family.type == metric.kind


def test_names_follow_the_conventions() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))
    for metric in METRICS:
        assert metric.name.startswith("pkgproxy_")
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.name.endswith("_seconds") == (metric.kind is Kind.HISTOGRAM)
        assert metric.help.endswith(".")


WORKER = """
import os, sys
from prometheus_client import CollectorRegistry
from proxy.core.cache_status import Result
from proxy.observe.metrics import Metrics, shared, worker_ended
assert shared()
metrics = Metrics(CollectorRegistry())
metrics.running("1.0")
metrics.stored(size=int(sys.argv[1]), entries=1)
metrics.filling("conda/main", 1)
metrics.answered(
    mirror="conda/main", method="GET", result=Result.HIT, status=200, sent=10, seconds=1
)
if sys.argv[2:]:
    worker_ended(int(sys.argv[2]))
    sys.stdout.buffer.write(metrics.exposition())
else:
    print(os.getpid())
"""


def test_worker_processes_expose_their_sum(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    root = Path(__file__).parents[2]

    def work(*arguments: str) -> bytes:
        command = [sys.executable, "-c", WORKER, *arguments]
        return subprocess.run(
            command, env=environment, cwd=root, check=True, stdout=subprocess.PIPE, timeout=60
        ).stdout

    ended = work("111").decode().strip()
    seen = samples(work("222", ended))
    assert seen["pkgproxy_requests_total", "2xx", "GET", "conda/main", "hit"] == 2
    assert seen["pkgproxy_request_duration_seconds_count", "conda/main", "hit"] == 2
    assert seen["pkgproxy_store_bytes",] == 222  # the last to look, not the sum
    assert seen["pkgproxy_build_info", "1.0"] == 1
    assert seen["pkgproxy_fills_in_flight", "conda/main"] == 1  # the ended worker's is gone
