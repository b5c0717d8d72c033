"""The families of metrics that there are: what each is called, counts and is told apart by."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

SERVED = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
"""Upper bounds of the time that answers take, in seconds."""

_FETCHED = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_RENDERED = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Kind(enum.StrEnum):
    """What Prometheus calls it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One family. `combine` says what several processes' gauges make together."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    combine: Literal["livesum", "max", "mostrecent"] = "livesum"


def _counter(name: str, labels: tuple[str, ...], text: str) -> Metric:
    return Metric(name=name, kind=Kind.COUNTER, labels=labels, help=text)


def _histogram(name: str, labels: tuple[str, ...], buckets: tuple[float, ...], text: str) -> Metric:
    return Metric(name=name, kind=Kind.HISTOGRAM, labels=labels, buckets=buckets, help=text)


_BY_RESULT = ("mirror", "result")
_MIRROR = ("mirror",)

METRICS: tuple[Metric, ...] = (
    _counter(
        "pkgproxy_requests_total",
        ("mirror", "method", "result", "code"),
        "Requests answered, by cache result and class of status (2xx, 3xx, ...).",
    ),
    _counter("pkgproxy_response_bytes_total", _BY_RESULT, "Body bytes sent to clients."),
    _histogram(
        "pkgproxy_request_duration_seconds",
        _BY_RESULT,
        SERVED,
        "Time from a request's arrival to the last byte of its answer.",
    ),
    _histogram(
        "pkgproxy_time_to_first_byte_seconds",
        _BY_RESULT,
        SERVED,
        "Time from a request's arrival to the head of its answer.",
    ),
    _counter(
        "pkgproxy_upstream_requests_total",
        ("mirror", "outcome"),
        "Requests sent upstream: ok, unchanged, or the name of the error.",
    ),
    _counter("pkgproxy_upstream_bytes_total", _MIRROR, "Body bytes received from upstream."),
    _histogram(
        "pkgproxy_upstream_duration_seconds",
        _MIRROR,
        _FETCHED,
        "Time from a request upstream to the end of its answer.",
    ),
    _counter(
        "pkgproxy_upstream_retries_total",
        ("mirror", "cause"),
        "Requests sent upstream again, by the name of the error before.",
    ),
    Metric(
        name="pkgproxy_upstream_open_circuits",
        kind=Kind.GAUGE,
        help="Hosts left alone since they failed repeatedly, once for each worker that does so.",
    ),
    Metric(
        name="pkgproxy_fills_in_flight",
        kind=Kind.GAUGE,
        labels=_MIRROR,
        help="Bodies on their way into the store.",
    ),
    _counter(
        "pkgproxy_coalesced_requests_total",
        _MIRROR,
        "Requests that joined another request's fetch.",
    ),
    _counter(
        "pkgproxy_stale_served_total",
        ("mirror", "cause"),
        "Stale answers served: updating, or the name of the upstream error.",
    ),
    _counter(
        "pkgproxy_negative_stored_total",
        _MIRROR,
        "Absences learnt from upstream and remembered.",
    ),
    _counter(
        "pkgproxy_policy_refusals_total",
        ("mirror", "rule"),
        "Requests for files that a policy refuses, by its rule.",
    ),
    Metric(
        name="pkgproxy_policy_hidden_files",
        kind=Kind.GAUGE,
        labels=("mirror", "rule"),
        combine="max",
        help="Files left out of the indexes rendered since the start, by the policy's rule.",
    ),
    _counter(
        "pkgproxy_integrity_failures_total",
        _MIRROR,
        "Bodies that were not what their index promised, or no index at all.",
    ),
    _counter(
        "pkgproxy_token_requests_total",
        ("token", "code"),
        "Requests to mirrors that were let in by a token, by its name and class of status.",
    ),
    _counter(
        "pkgproxy_access_refused_total",
        ("cause",),
        "Requests that were not let in: the token was missing, wrong, or one too many (limited).",
    ),
    Metric(
        name="pkgproxy_connections",
        kind=Kind.GAUGE,
        help="Connections of clients.",
    ),
    _counter(
        "pkgproxy_connections_refused_total",
        ("outcome",),
        "Connections beyond the most there may be: idle ones dropped, new ones refused.",
    ),
    _counter(
        "pkgproxy_bad_requests_total",
        ("code",),
        "What came in and was no request, by the status that it got.",
    ),
    _counter("pkgproxy_renders_total", ("mirror", "forms"), "Views of indexes rendered."),
    _histogram(
        "pkgproxy_render_duration_seconds",
        ("forms",),
        _RENDERED,
        "Time to render a group of views.",
    ),
    # Every process sees the same store, so the last to look speaks for all.
    Metric(
        name="pkgproxy_store_bytes",
        kind=Kind.GAUGE,
        combine="mostrecent",
        help="Bytes of the blobs in the store.",
    ),
    Metric(
        name="pkgproxy_store_entries",
        kind=Kind.GAUGE,
        combine="mostrecent",
        help="Entries in the catalog.",
    ),
    _counter(
        "pkgproxy_unstored_total",
        _MIRROR,
        "Bodies passed on without being stored, for there was no room.",
    ),
    Metric(
        name="pkgproxy_store_trouble",
        kind=Kind.GAUGE,
        labels=("concerns",),
        help="Processes that find the store in trouble: writing, blobs, reading or catalog.",
    ),
    _counter(
        "pkgproxy_evicted_blobs_total",
        ("size",),
        "Blobs removed to keep the quota, by size class: small, medium, large or huge.",
    ),
    _counter("pkgproxy_evicted_bytes_total", ("size",), "Bytes of these blobs."),
    _counter(
        "pkgproxy_mirror_runs_total",
        ("mirror", "state"),
        "Runs of active mirrors that ended: completed, with failures, stopped, failed; or missed.",
    ),
    _counter(
        "pkgproxy_mirror_files_total",
        ("mirror", "outcome"),
        "Files that runs fetched, failed to fetch, or removed.",
    ),
    _counter("pkgproxy_mirror_bytes_total", ("mirror",), "Bytes that runs fetched."),
    Metric(
        name="pkgproxy_ready_answers",
        kind=Kind.GAUGE,
        help="Answers that lie ready to be given again.",
    ),
    Metric(
        name="pkgproxy_ready_bytes",
        kind=Kind.GAUGE,
        help="Bytes of memory that they take, with what tells requests apart.",
    ),
    Metric(
        name="pkgproxy_build_info",
        kind=Kind.GAUGE,
        labels=("version",),
        combine="max",
        help="Always 1; the label says which version runs.",
    ),
)
"""Every family there is: `Metrics` creates these and no others."""
