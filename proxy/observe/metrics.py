"""Prometheus metrics (declared in `families`): counted by method, exposed as text.

Every label's values are bounded: configured mirrors, results, status classes, error names. In
the steady state counting a request is one dictionary look-up and a few additions. With
PROMETHEUS_MULTIPROC_DIR set before prometheus-client is imported, all worker processes count
into that folder and each of them exposes the sum.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    values,
)
from prometheus_client import Metric as Family
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from proxy.core.cache_status import Result
from proxy.observe.families import METRICS, SERVED, Kind, Metric

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""The media type of `Metrics.exposition`."""


@dataclass(frozen=True, slots=True)
class _Served:
    requests: Counter
    sent: Counter
    seconds: Histogram
    first_byte: Histogram


class Metrics:
    """Counts. One per process; give each its own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._bound: dict[tuple[str, ...], Counter] = {}
        self._served: dict[tuple[str, str, str, int], _Served] = {}
        for metric in METRICS:
            self._declare(metric)

    def _declare(self, metric: Metric) -> None:
        common = (metric.name, metric.help, metric.labels)
        match metric.kind:
            case Kind.COUNTER:
                self._counters[metric.name] = Counter(*common, registry=self._registry)
            case Kind.GAUGE:
                self._gauges[metric.name] = Gauge(
                    *common, registry=self._registry, multiprocess_mode=metric.combine
                )
            case Kind.HISTOGRAM:
                self._histograms[metric.name] = Histogram(
                    *common, registry=self._registry, buckets=metric.buckets
                )

    # -- clients -------------------------------------------------------------------------

    def answered(
        self,
        *,
        mirror: str,
        method: str,
        result: Result,
        status: int,
        sent: int,
        seconds: float,
        first_byte: float | None = None,
    ) -> None:
        """A request was answered with *status* and *sent* body bytes after *seconds*.

        *mirror* is a configured mirror's key, or "" where none was meant.
        """
        key = (mirror, method, result, status // 100)
        served = self._served.get(key)
        if served is None:
            served = self._served.setdefault(key, self._bind(mirror, method, result, status))
        served.requests.inc()
        served.sent.inc(sent)
        served.seconds.observe(seconds)
        if first_byte is not None:
            served.first_byte.observe(first_byte)

    def answered_again(
        self,
        *,
        mirror: str,
        method: str,
        result: Result,
        status: int,
        sent: int,
        seconds: Sequence[float],
        has_body: bool,
    ) -> None:
        """As many requests as *seconds* has entries were answered alike, with *sent* bytes in all.

        Each was written at once, so that where it *has_body* the first byte took as long.
        """
        key = (mirror, method, result, status // 100)
        served = self._served.get(key)
        if served is None:
            served = self._served.setdefault(key, self._bind(mirror, method, result, status))
        served.requests.inc(len(seconds))
        served.sent.inc(sent)
        slow = [one for one in seconds if one > SERVED[0]]
        for histogram in (served.seconds, served.first_byte) if has_body else (served.seconds,):
            # What `observe` does, at once for all that fall into the lowest bucket.
            histogram._sum.inc(sum(seconds) - sum(slow))
            histogram._buckets[0].inc(len(seconds) - len(slow))
            for one in slow:
                histogram.observe(one)

    def _bind(self, mirror: str, method: str, result: Result, status: int) -> _Served:
        # The client chooses the method's text; only those that are served get a series.
        known = method if method in ("GET", "HEAD") else "other"
        code = f"{status // 100}xx"
        histogram = self._histograms
        return _Served(
            self._counter("pkgproxy_requests_total", mirror, known, result, code),
            self._counter("pkgproxy_response_bytes_total", mirror, result),
            histogram["pkgproxy_request_duration_seconds"].labels(mirror, result),
            histogram["pkgproxy_time_to_first_byte_seconds"].labels(mirror, result),
        )

    def coalesced(self, mirror: str) -> None:
        """A request joined another one's flight."""
        self._counter("pkgproxy_coalesced_requests_total", mirror).inc()

    def stale_served(self, mirror: str, cause: str) -> None:
        """A stale answer went out: *cause* is `updating` or an error's class name."""
        self._counter("pkgproxy_stale_served_total", mirror, cause).inc()

    def let_in(self, token: str, status: int) -> None:
        """A request was let in by the token of that name, and answered with *status*."""
        self._counter("pkgproxy_token_requests_total", token, f"{status // 100}xx").inc()

    def access_refused(self, cause: str) -> None:
        """A request was not let in: `missing`, `wrong` or `limited`."""
        self._counter("pkgproxy_access_refused_total", cause).inc()

    def connected(self, change: int) -> None:
        """A client has connected (+1) or gone (-1)."""
        self._gauges["pkgproxy_connections"].inc(change)

    def crowded(self, outcome: str, count: int) -> None:
        """There were too many connections: some were `dropped`, or a new one `refused`."""
        self._counter("pkgproxy_connections_refused_total", outcome).inc(count)

    def no_request(self, status: int) -> None:
        """Something came in that was none."""
        self._counter("pkgproxy_bad_requests_total", str(status)).inc()

    # -- upstream ------------------------------------------------------------------------

    def upstream_answered(self, mirror: str, outcome: str, seconds: float) -> None:
        """Upstream was asked: *outcome* is `ok`, `unchanged` or an error's class name."""
        self._counter("pkgproxy_upstream_requests_total", mirror, outcome).inc()
        self._histograms["pkgproxy_upstream_duration_seconds"].labels(mirror).observe(seconds)

    def upstream_received(self, mirror: str, count: int) -> None:
        """*count* body bytes came from upstream."""
        self._counter("pkgproxy_upstream_bytes_total", mirror).inc(count)

    def upstream_retried(self, mirror: str, cause: str) -> None:
        """A request is sent again after the error named *cause*."""
        self._counter("pkgproxy_upstream_retries_total", mirror, cause).inc()

    def filling(self, mirror: str, change: int) -> None:
        """A fill began (+1) or ended (-1)."""
        self._gauges["pkgproxy_fills_in_flight"].labels(mirror).inc(change)

    def open_circuits(self, change: int) -> None:
        """A host is left alone (+1) or asked again (-1)."""
        self._gauges["pkgproxy_upstream_open_circuits"].inc(change)

    @contextmanager
    def fill(self, mirror: str) -> Iterator[None]:
        """While entered, one more fill is in flight."""
        self.filling(mirror, 1)
        try:
            yield
        finally:
            self.filling(mirror, -1)

    def negative_stored(self, mirror: str) -> None:
        """Upstream said "no such file", which is now remembered."""
        self._counter("pkgproxy_negative_stored_total", mirror).inc()

    def refused(self, mirror: str, rule: str) -> None:
        """A policy refused a file."""
        self._counter("pkgproxy_policy_refusals_total", mirror, rule).inc()

    def hidden(self, mirror: str, rule: str, files: int) -> None:
        """A rule hides so many files of all indexes of *mirror* that are known."""
        self._gauges["pkgproxy_policy_hidden_files"].labels(mirror, rule).set(files)

    def integrity_failed(self, mirror: str) -> None:
        """A body was wrong."""
        self._counter("pkgproxy_integrity_failures_total", mirror).inc()

    # -- what is held --------------------------------------------------------------------

    def rendered(self, mirror: str, forms: frozenset[str], seconds: float) -> None:
        """The views *forms* of one index were made together."""
        group = "+".join(sorted(forms))
        self._counter("pkgproxy_renders_total", mirror, group).inc()
        self._histograms["pkgproxy_render_duration_seconds"].labels(group).observe(seconds)

    def stored(self, *, size: int, entries: int) -> None:
        """The store now holds *size* bytes under *entries* entries."""
        self._gauges["pkgproxy_store_bytes"].set(size)
        self._gauges["pkgproxy_store_entries"].set(entries)

    def evicted(self, removed: Mapping[str, int], freed: Mapping[str, int]) -> None:
        """Room was made: blobs and bytes removed, by size class."""
        for name, count in removed.items():
            self._counter("pkgproxy_evicted_blobs_total", name).inc(count)
            self._counter("pkgproxy_evicted_bytes_total", name).inc(freed[name])

    def run_ended(
        self, mirror: str, state: str, *, files: Mapping[str, int], fetched_bytes: int
    ) -> None:
        """A run of *mirror* ended in *state*, with *files* by outcome."""
        self._counter("pkgproxy_mirror_runs_total", mirror, state).inc()
        for outcome, count in files.items():
            self._counter("pkgproxy_mirror_files_total", mirror, outcome).inc(count)
        self._counter("pkgproxy_mirror_bytes_total", mirror).inc(fetched_bytes)

    def run_missed(self, mirror: str) -> None:
        """*mirror* was due while a run of it went on."""
        self._counter("pkgproxy_mirror_runs_total", mirror, "missed").inc()

    def unstored(self, mirror: str) -> None:
        """A body was passed on without being stored."""
        self._counter("pkgproxy_unstored_total", mirror).inc()

    def trouble(self, concerns: str, *, present: bool) -> None:
        """The store is in trouble with what it *concerns*, or no longer."""
        self._gauges["pkgproxy_store_trouble"].labels(concerns).set(present)

    def ready(self, answers: int, size: int) -> None:
        """So many answers lie ready, in *size* bytes."""
        self._gauges["pkgproxy_ready_answers"].set(answers)
        self._gauges["pkgproxy_ready_bytes"].set(size)

    def running(self, version: str) -> None:
        """Say which version this is."""
        self._gauges["pkgproxy_build_info"].labels(version).set(1)

    # -- exposing ------------------------------------------------------------------------

    def exposition(self) -> bytes:
        """All metrics as text (`CONTENT_TYPE`): of all processes, where they share a folder."""
        return generate_latest(self._gathered())

    def families(self) -> Iterator[Family]:
        """Counters and gauges as values: of all processes, where they share a folder.

        Without the histograms, which have twenty times as many series, and are not to be read
        every few seconds. May read files.
        """
        if shared():
            folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
            files = [
                str(path) for kind in ("counter", "gauge") for path in folder.glob(f"{kind}_*")
            ]
            yield from MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
            return
        for metric in (*self._counters.values(), *self._gauges.values()):
            yield from metric.collect()

    def _gathered(self) -> CollectorRegistry:
        if not shared():
            return self._registry
        gathered = CollectorRegistry()
        MultiProcessCollector(gathered)  # type: ignore[no-untyped-call]
        return gathered

    def _counter(self, name: str, *labels: str) -> Counter:
        bound = self._bound.get((name, *labels))
        if bound is None:
            bound = self._bound.setdefault((name, *labels), self._counters[name].labels(*labels))
        return bound


def shared() -> bool:
    """Whether this process counts into PROMETHEUS_MULTIPROC_DIR.

    prometheus-client decides that when it is imported; asking it, not the environment, stays
    right where the variable was set too late.
    """
    return values.ValueClass is not values.MutexValue


def worker_ended(process: int) -> None:
    """Forget the gauges of a worker process that has ended, by its id."""
    if shared():
        mark_process_dead(process)  # type: ignore[no-untyped-call]
