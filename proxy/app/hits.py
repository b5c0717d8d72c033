"""What is said of requests that were answered from what lay ready: a line each, and counted.

It is the same as `Reporting.finished` says of the flow's answers. The parts of a line that come
again are made once; the rest is put together once per turn of the event loop, for all requests
of that turn. They are counted together, too, and where turns are short those of several turns:
with more than one worker process counting writes into a file, and takes as long as answering.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from proxy.core.cache_status import Result
from proxy.observe.log import Level, Log
from proxy.observe.metrics import Metrics
from proxy.web.exchange import CLIENT_LEFT

GATHER = 0.01
"""Seconds after a count for which what comes next is gathered to be counted together."""


@dataclass(slots=True, eq=False)
class Stencil:
    """What is said of every request that one ready answer was given to."""

    mirror: str
    method: str
    path: str
    result: Result
    status: int
    sent: int
    has_body: bool
    before: str  # the words of a line up to the seconds
    after: str  # and from there to the client
    seconds: list[float] = field(default_factory=list)  # of those that are not counted yet


class Hits:
    """See `proxy.web.door.Hits` and `proxy.web.keeping.Stencils`."""

    def __init__(self, metrics: Metrics, log: Log, *, requests: bool) -> None:
        """*requests*: whether every request gets a log line."""
        self._metrics = metrics
        self._log = log
        self._requests = requests
        self._pending: list[tuple[Stencil, str, str, float, float]] = []
        self._loop = asyncio.get_running_loop()
        self._uncounted: dict[Stencil, None] = {}
        self._counted = -GATHER  # when that was last done, by the loop's clock

    def stencil(
        self,
        *,
        mirror: str,
        method: str,
        path: str,
        status: int,
        result: Result,
        sent: int | None,
    ) -> Stencil:
        """See `proxy.web.keeping.Stencils`."""
        words, size = self._log.words, sent or 0
        return Stencil(
            mirror=mirror,
            method=method,
            path=path,
            result=result,
            status=status,
            sent=size,
            has_body=sent is not None,
            before=words(method=method, path=path, status=status, result=result, bytes=size)
            + self._log.seconds,
            after=words(mirror=mirror),
        )

    def words(self, **fields: str) -> str:
        """See `proxy.web.door.Hits`."""
        return self._log.words(**fields)

    def add(self, told: Stencil, client: str, agent: str, now: float, seconds: float) -> None:
        """See `proxy.web.door.Hits`."""
        pending = self._pending
        if not pending:
            self._loop.call_soon(self._tell)
        pending.append((told, client, agent, now, seconds))

    def over(
        self, told: Stencil, client: str, agent: str, now: float, *, seconds: float, first: float
    ) -> None:
        """See `proxy.web.door.Hits`."""
        self._metrics.answered(
            mirror=told.mirror,
            method=told.method,
            result=told.result,
            status=told.status,
            sent=told.sent,
            seconds=seconds,
            first_byte=first,
        )
        if self._requests and self._log.level <= Level.INFO:
            self._write([(told, client, agent, now, seconds)])

    def broken(
        self,
        told: Stencil,
        client: str,
        agent: str,
        now: float,
        *,
        seconds: float,
        first: float,
        sent: int,
    ) -> None:
        """See `proxy.web.door.Hits`."""
        short = self.stencil(
            mirror=told.mirror,
            method=told.method,
            path=told.path,
            status=CLIENT_LEFT,
            result=told.result,
            sent=sent,
        )
        self.over(short, client, agent, now, seconds=seconds, first=first)

    def settle(self) -> None:
        """Say and count all that has been added."""
        self._tell()
        self._count_all()

    def _tell(self) -> None:
        """Say what was added in this turn, and see that it is counted."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        if not self._uncounted:
            since = self._loop.time() - self._counted
            self._loop.call_later(0 if since >= GATHER else GATHER, self._count_all)
        for stencil, _, _, _, seconds in pending:
            stencil.seconds.append(seconds)
            self._uncounted[stencil] = None
        if self._requests and self._log.level <= Level.INFO:
            self._write(pending)

    def _count_all(self) -> None:
        uncounted, self._uncounted = self._uncounted, {}
        self._counted = self._loop.time()
        for stencil in uncounted:
            self._count(stencil)

    def _count(self, stencil: Stencil) -> None:
        seconds, stencil.seconds = stencil.seconds, []
        self._metrics.answered_again(
            mirror=stencil.mirror,
            method=stencil.method,
            result=stencil.result,
            status=stencil.status,
            sent=stencil.sent * len(seconds),
            seconds=seconds,
            has_body=stencil.has_body,
        )

    def _write(self, pending: list[tuple[Stencil, str, str, float, float]]) -> None:
        log = self._log
        moment, head = -1, ""
        lines = []
        for stencil, client, agent, now, seconds in pending:
            if int(now * 1000) != moment:  # the time's last digits are milliseconds
                moment, head = int(now * 1000), log.head("request", Level.INFO, now)
            lines.append(
                f"{head}{stencil.before}{seconds:.6f}{stencil.after}{client}{agent}{log.end}"
            )
        log.lines(lines)
