"""What happens, turned into metrics and log lines: the one place that joins the two to the work."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from proxy.app.relaying import Relay
from proxy.core.cache_status import CacheStatus, Result
from proxy.core.model import Index
from proxy.errors import Denied, ProxyError, RequestError, UpstreamError, UpstreamMissing
from proxy.mirror.port import Run, RunState
from proxy.observe.happenings import Hearing, Sort
from proxy.observe.log import Level, Log
from proxy.observe.metrics import Metrics
from proxy.web.exchange import Exchange

SAY_AGAIN = 60.0
"""Seconds after which it is said again that stale answers go out for the same reason, or that there
are too many connections."""


class Reporting:
    """Hears the gateway, the web and upstream."""

    def __init__(self, metrics: Metrics, log: Log, hearing: Hearing, *, requests: bool) -> None:
        """*hearing* is told what an operator should hear of; *requests*: whether every request
        gets a log line.
        """
        self._metrics = metrics
        self._log = log
        self._hearing = hearing
        self._requests = requests
        self.relay = Relay(metrics, hearing)
        self._hidden: dict[str, Mapping[str, int]] = {}
        self._said: dict[tuple[str, str], float] = {}
        self._hidden_by: dict[tuple[str, str], int] = {}

    # -- the web -------------------------------------------------------------------------

    def finished(self, exchange: Exchange, seconds: float) -> None:
        """A request is over."""
        result = _result(exchange)
        self._metrics.answered(
            mirror=exchange.mirror,
            method=exchange.method,
            result=result,
            status=exchange.status,
            sent=exchange.meter.sent,
            seconds=seconds,
            first_byte=exchange.first_byte or None,
        )
        if exchange.visitor.token is not None:
            self._metrics.let_in(exchange.visitor.name, exchange.status)
        if isinstance(exchange.error, Denied):
            self._metrics.refused(exchange.mirror, exchange.error.rule)
            self._hearing.tell(
                Sort.REFUSAL,
                mirror=exchange.mirror,
                what=exchange.path,
                cause=exchange.error.rule,
                text=exchange.error.reason,
            )
        loud = exchange.error is not None and exchange.status >= 500
        if not (self._requests or loud):
            return
        self._log.event(
            "request",
            level=Level.WARNING if loud else Level.INFO,
            method=exchange.method,
            path=exchange.path,
            status=exchange.status,
            result=result,
            bytes=exchange.meter.sent,
            seconds=round(seconds, 6),
            mirror=exchange.mirror,
            client=exchange.client,
            agent=exchange.agent,
            by=exchange.visitor.name or None,
            error=exchange.error,
        )

    def crashed(self, exchange: Exchange, error: Exception) -> None:
        """A request met an error that nobody foresaw."""
        self._log.crash("request_crashed", error, path=exchange.path, mirror=exchange.mirror)

    def unanswered(self, client: str, status: int, error: BaseException | None) -> None:
        """What came in was no request, or *error* came of it that nobody foresaw."""
        if error is None:
            self._metrics.no_request(status)
            self._log.event("bad_request", client=client, status=status)
        else:
            self._log.crash("request_crashed", error, client=client)

    def connected(self, change: int) -> None:
        """A client has connected, or gone."""
        self._metrics.connected(change)

    def crowded(self, outcome: str, count: int) -> None:
        """There are too many connections: *count* of them were `dropped`, idle, or `refused`."""
        self._metrics.crowded(outcome, count)
        if self._is_due("", outcome):
            self._log.event("crowded", level=Level.WARNING, outcome=outcome)

    # -- the gateway ---------------------------------------------------------------------

    def rendered(self, index: Index, forms: frozenset[str], seconds: float) -> None:
        """Views of *index* were made."""
        self._metrics.rendered(index.mirror, forms, seconds)
        self._log.event(
            "rendered",
            level=Level.DEBUG,
            mirror=index.mirror,
            index=index.path,
            forms=",".join(sorted(forms)),
            seconds=round(seconds, 3),
        )

    def hid(self, index: Index, hidden: Mapping[str, int]) -> None:
        """Views leave out files."""
        before = self._hidden.get(index.key, {})
        if hidden:
            self._hidden[index.key] = hidden
        else:
            self._hidden.pop(index.key, None)
        for rule in before.keys() | hidden.keys():
            total = self._hidden_by.get((index.mirror, rule), 0)
            total += hidden.get(rule, 0) - before.get(rule, 0)
            self._hidden_by[index.mirror, rule] = total
            self._metrics.hidden(index.mirror, rule, total)

    def refreshed(self, index: Index, outcome: str) -> None:
        """Upstream was asked for *index*."""
        if outcome == "missing":
            self._metrics.negative_stored(index.mirror)
        level = Level.DEBUG if outcome in ("new", "unchanged", "missing") else Level.WARNING
        self._log.event(
            "refreshed", level=level, mirror=index.mirror, index=index.path, outcome=outcome
        )

    def collapsed(self, mirror: str) -> None:
        """A request joined a flight."""
        self._metrics.coalesced(mirror)

    def stale(self, mirror: str, cause: str) -> None:
        """Something stale was served."""
        self._metrics.stale_served(mirror, cause)
        if cause != "updating" and self._is_due(mirror, cause):
            self._log.event("stale", level=Level.WARNING, mirror=mirror, cause=cause)

    def _is_due(self, mirror: str, cause: str) -> bool:
        """Whether that has not been said for a while: each request says it in its own line."""
        now = time.monotonic()
        due = self._said.get((mirror, cause), -math.inf) + SAY_AGAIN <= now
        if due:
            self._said[mirror, cause] = now
        return due

    def filling(self, mirror: str, change: int) -> None:
        """A fill began or ended."""
        self._metrics.filling(mirror, change)

    def unstored(self, mirror: str, error: BaseException) -> None:
        """A body was passed on because there was no room for it; why was told already."""
        self._metrics.unstored(mirror)
        self._log.event("unstored", level=Level.DEBUG, mirror=mirror, error=error)

    def trouble(self, what: str, text: str) -> None:
        """The store is in trouble, or (an empty *text*) no longer."""
        self._metrics.trouble(what, present=bool(text))
        if text:
            self._log.event("store_trouble", level=Level.ERROR, concerns=what, what=text)
        else:
            self._log.event("store_recovered", level=Level.WARNING, concerns=what)

    def ran(self, run: Run) -> None:
        """A run ended."""
        counts = run.counts
        files = {"fetched": counts.fetched, "failed": counts.failed, "removed": counts.removed}
        state = run.state.name.lower()
        self._metrics.run_ended(run.mirror, state, files=files, fetched_bytes=counts.bytes_fetched)
        well = run.state in (RunState.COMPLETED, RunState.STOPPED)
        self._log.event(
            "run",
            level=Level.INFO if well else Level.WARNING,
            mirror=run.mirror,
            run=run.id,
            state=state,
            listed=counts.listed,
            present=counts.present,
            **files,
            bytes=counts.bytes_fetched,
            error=run.error,
        )

    def run_missed(self, mirror: str) -> None:
        """A mirror was due while a run of it went on."""
        self._metrics.run_missed(mirror)
        self._log.event("run_missed", level=Level.WARNING, mirror=mirror)

    def run_starved(self, run: Run) -> None:
        """It had next to nothing of the processors in the last place, and goes on in second."""
        self._log.event("run_starved", level=Level.WARNING, mirror=run.mirror, run=run.id)

    def failed(self, what: str, error: BaseException) -> None:
        """Work of the server's own failed."""
        if isinstance(error, UpstreamMissing):
            return  # an answer, not a failure
        if isinstance(error, UpstreamError):
            mirror, _, path = what.partition(" ")
            self._upstream_failed(mirror, path, error)
        if isinstance(error, ProxyError):
            self._log.event("fetch_failed", level=Level.WARNING, key=what, error=error)
        else:
            self._log.crash("fetch_crashed", error, key=what)

    def wrong(self, mirror: str, what: str, error: BaseException) -> None:
        """A body was not what it should be."""
        self._metrics.integrity_failed(mirror)
        self._log.event("integrity", level=Level.ERROR, mirror=mirror, what=what, error=error)
        self._hearing.tell(
            Sort.INTEGRITY, mirror=mirror, what=what, cause=type(error).__name__, text=str(error)
        )

    def _upstream_failed(self, mirror: str, what: str, error: BaseException) -> None:
        cause = type(error).__name__
        self._hearing.tell(Sort.UPSTREAM, mirror=mirror, what=what, cause=cause, text=str(error))

    # -- upstream ------------------------------------------------------------------------

    def requested(self, mirror: str, outcome: str, seconds: float) -> None:
        """Upstream answered, or failed to."""
        self._metrics.upstream_answered(mirror, outcome, seconds)

    def received(self, mirror: str, count: int) -> None:
        """Body bytes came in."""
        self._metrics.upstream_received(mirror, count)

    def retried(self, mirror: str, cause: str) -> None:
        """A request is sent again."""
        self._metrics.upstream_retried(mirror, cause)
        self._log.event("retry", level=Level.WARNING, mirror=mirror, cause=cause)

    def tripped(self, host: str, error: UpstreamError) -> None:
        """A host is left alone."""
        self._metrics.open_circuits(+1)
        self._log.event("upstream_down", level=Level.ERROR, host=host, error=error)

    def closed(self, host: str, cause: str, seconds: float) -> None:
        """A host is asked again."""
        self._metrics.open_circuits(-1)
        self._log.event(
            "upstream_back", level=Level.WARNING, host=host, cause=cause, seconds=round(seconds, 1)
        )


def _result(exchange: Exchange) -> Result:
    status: CacheStatus | None = exchange.cache
    if isinstance(exchange.error, Denied):
        return Result.REFUSED
    if status is None or isinstance(exchange.error, RequestError):
        return Result.NONE
    return status.result
