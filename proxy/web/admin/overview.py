"""What goes on, in figures: traffic over time, upstream's health, and what happened lately."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import msgspec

from proxy import __version__
from proxy.core.urls import redacted
from proxy.errors import UnknownMirror
from proxy.mirror.port import Event
from proxy.observe.happenings import Happening, Happenings, Sort
from proxy.observe.history import History, Totals, Traffic
from proxy.upstream.circuits import Trouble
from proxy.web.admin.operations import ROOT, Call, Operation
from proxy.web.admin.streams import stream
from proxy.web.paths import Mirrors

RECENT = 900.0
"""Seconds of which upstream's health speaks."""

_UNWELL = 0.1
"""The share of failed requests from which an upstream is not well."""

_ANSWERS = ("ok", "unchanged", "UpstreamMissing")
"""Outcomes that are answers: a missing file is one, too."""

Span = Annotated[float, msgspec.Meta(ge=15, le=7 * 86400)]
Count = Annotated[int, msgspec.Meta(ge=1, le=2000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How far back, and of which mirror (all)."""

    seconds: Span = 3600.0
    mirror: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """What happened from `begin` to `end`."""

    begin: float
    end: float
    traffic: Traffic
    store_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Traffic since the start and, in `intervals`, of late; what the store holds now."""

    version: str
    started_at: float
    now: float
    mirrors: int
    since_start: Traffic
    store_bytes: int
    store_entries: int
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a mirror's upstream answered lately.

    `state` is `well`, `unwell` (a tenth or more of the requests failed), `away` (all of them did)
    or `unknown` (none was sent). `requests` are by outcome: `ok`, `unchanged` or the name of an
    error.
    """

    mirror: str
    source: str
    state: str
    requests: dict[str, int]
    failed: int
    last_failure: Happening | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which happenings: those after `after`, of one sort or mirror; the newest `limit` of them."""

    after: int = 0
    sort: Sort | None = None
    mirror: str | None = None
    limit: Count = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class From:
    """Where a stream begins: after that number; without it, with what is new."""

    after: int | None = None


class Watch:
    """Looks at the history and the happenings."""

    def __init__(
        self,
        history: History,
        happenings: Happenings,
        mirrors: Callable[[], Mirrors],
        started_at: float,
        *,
        events: Callable[[], AsyncIterator[Event]],
        troubles: Callable[[], Iterable[Trouble]],
    ) -> None:
        """*events*: those of mirrors and their runs, from now on. *troubles*: the hosts that have
        failed of late, as all workers know them.
        """
        self._history = history
        self._happenings = happenings
        self._mirrors = mirrors
        self._started_at = started_at
        self._events_of_mirrors = events
        self._troubles = troubles

    def operations(self) -> tuple[Operation, ...]:
        """Those of the API."""
        return (
            Operation(
                method="GET",
                path=f"{ROOT}/overview",
                name="overview",
                summary="Traffic over time, and what the store holds.",
                query=Window,
                answer=Overview,
                run=self._overview,
                fails={404: "There is no such mirror."},
            ),
            Operation(
                method="GET",
                path=f"{ROOT}/upstreams",
                name="upstreams",
                summary="How each mirror's upstream answered in the last quarter of an hour.",
                answer=list[Health],
                run=self._upstreams,
            ),
            Operation(
                method="GET",
                path=f"{ROOT}/upstreams/troubled",
                name="troubled",
                summary="Hosts that have failed of late, and which of them are left alone.",
                answer=list[Trouble],
                run=self._troubled,
            ),
            Operation(
                method="GET",
                path=f"{ROOT}/events",
                name="events",
                summary="Refusals, wrong bodies and upstream's failures, newest first.",
                query=Wanted,
                answer=list[Happening],
                run=self._events,
            ),
            Operation(
                method="GET",
                path=f"{ROOT}/events/stream",
                name="follow_events",
                summary="The same as they happen, and the progress of runs, as server-sent events.",
                query=From,
                answer=str,
                media_type="text/event-stream",
                run=self._stream,
            ),
        )

    async def overview(self, window: Window) -> Overview:
        """Raises UnknownMirror."""
        if window.mirror is not None and self._mirrors().get(window.mirror) is None:
            raise UnknownMirror(f"there is no mirror {window.mirror!r}; write <type>/<name>")
        now = await self._history.now()
        points = [*self._history.over(window.seconds), now]
        return Overview(
            version=__version__,
            started_at=self._started_at,
            now=now.at,
            mirrors=len(list(self._mirrors())),
            since_start=now.of(window.mirror),
            store_bytes=now.store_bytes,
            store_entries=now.store_entries,
            intervals=tuple(_intervals(points, window.mirror)),
        )

    async def health(self) -> list[Health]:
        """By mirror, in the configuration's order."""
        now = await self._history.now()
        earlier = next(iter(self._history.over(RECENT)), None)
        failures = {
            one.mirror: one for one in self._happenings.since() if one.sort is Sort.UPSTREAM
        }
        return [
            _health(
                mirror.key,
                redacted(mirror.source),
                now.of(mirror.key) - (earlier.of(mirror.key) if earlier else Traffic()),
                failures.get(mirror.key),
            )
            for mirror in self._mirrors()
        ]

    def left_alone(self) -> list[Trouble]:
        """The hosts that are not asked by some worker, or by any."""
        return [one for one in self._troubles() if one.left_alone_by]

    def events(self, wanted: Wanted) -> list[Happening]:
        """Newest first."""
        found = [
            one
            for one in self._happenings.since(wanted.after)
            if wanted.sort in (None, one.sort) and wanted.mirror in (None, one.mirror)
        ]
        return found[: -wanted.limit - 1 : -1]

    async def _overview(self, call: Call) -> Overview:
        return await self.overview(call.query)

    async def _upstreams(self, call: Call) -> list[Health]:
        return await self.health()

    async def _troubled(self, call: Call) -> list[Trouble]:
        return list(self._troubles())

    async def _events(self, call: Call) -> list[Happening]:
        return self.events(call.query)

    async def _stream(self, call: Call) -> AsyncGenerator[bytes]:
        # A browser that comes back says what it had last.
        last = call.headers.get("Last-Event-ID", "")
        after = int(last) if last.isascii() and last.isdigit() else call.query.after
        return stream(self._happenings.follow(after), self._events_of_mirrors())


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """The same thing, `times` times, the last time as `latest`."""

    latest: Happening
    times: int


def repeated(found: Sequence[Happening]) -> list[Repeated]:
    """*found*, newest first, with what is the same but for its time put together."""
    latest: dict[tuple[object, ...], Happening] = {}
    times: Counter[tuple[object, ...]] = Counter()
    for one in found:
        same = (one.sort, one.mirror, one.what, one.cause, one.text)
        latest.setdefault(same, one)
        times[same] += 1
    return [Repeated(latest=one, times=times[same]) for same, one in latest.items()]


def _intervals(points: Sequence[Totals], mirror: str | None) -> list[Interval]:
    return [
        Interval(
            begin=before.at,
            end=after.at,
            traffic=after.of(mirror) - before.of(mirror),
            store_bytes=after.store_bytes,
        )
        for before, after in pairwise(points)
        if after.at > before.at
    ]


def _health(mirror: str, source: str, late: Traffic, failure: Happening | None) -> Health:
    sent = sum(late.asked.values())
    failed = sum(count for outcome, count in late.asked.items() if outcome not in _ANSWERS)
    state = "unknown"
    if sent:
        state = "away" if failed == sent else "unwell" if failed >= _UNWELL * sent else "well"
    return Health(
        mirror=mirror,
        source=source,
        state=state,
        requests=dict(late.asked),
        failed=failed,
        last_failure=failure,
    )
