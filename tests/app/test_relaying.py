"""What a process apart meets is counted and shown by the server, each thing once."""

from __future__ import annotations

import pickle

from prometheus_client import CollectorRegistry

from proxy.app.relaying import Adding, Counts, Passing, Relay, Told
from proxy.observe.happenings import Happenings, Sort
from proxy.observe.metrics import Metrics


class Server:
    """The server's end."""

    def __init__(self) -> None:
        self.metrics = Metrics(CollectorRegistry())
        self.happenings = Happenings(lambda: 1.0)
        self._relay = Relay(self.metrics, self.happenings)

    def hear(self, message: Counts | Told) -> None:
        """As it comes out of the pipe."""
        self._relay.take(pickle.loads(pickle.dumps(message)))

    def lines(self) -> list[str]:
        """The samples that are not nothing."""
        text = self.metrics.exposition().decode()
        return [
            line for line in text.splitlines() if "conda/m" in line and not line.endswith(" 0.0")
        ]


def test_counts_are_added_up_and_arrive_once() -> None:
    server, there = Server(), Adding()
    assert there.take() is None
    there.upstream_answered("conda/m", "ok", 0.1)
    there.upstream_answered("conda/m", "ok", 0.2)
    there.upstream_received("conda/m", 10)
    there.upstream_received("conda/m", 20)
    there.upstream_retried("conda/m", "UpstreamTimeout")
    there.integrity_failed("conda/m")
    counts = there.take()
    assert counts is not None
    assert there.take() is None
    server.hear(counts)
    lines = server.lines()
    assert 'pkgproxy_upstream_bytes_total{mirror="conda/m"} 30.0' in lines
    assert 'pkgproxy_upstream_requests_total{mirror="conda/m",outcome="ok"} 2.0' in lines
    assert 'pkgproxy_upstream_duration_seconds_count{mirror="conda/m"} 2.0' in lines
    assert 'pkgproxy_integrity_failures_total{mirror="conda/m"} 1.0' in lines
    assert any(line.startswith("pkgproxy_upstream_retries_total") for line in lines)


def test_what_happens_there_is_shown_here() -> None:
    server = Server()
    Passing(server.hear).tell(
        Sort.INTEGRITY, mirror="conda/m", what="x", cause="IntegrityError", text="why"
    )
    (happening,) = server.happenings.since()
    assert (happening.sort, happening.mirror, happening.what) == (Sort.INTEGRITY, "conda/m", "x")
    assert (happening.cause, happening.text) == ("IntegrityError", "why")
