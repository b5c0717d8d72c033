"""Indexes and their generations: fresh, revalidated, replaced, or served stale.

A new generation counts only when its first views have been made from it: a body that cannot be
read never takes the place of one that can. While upstream is away the last good generation is
served for as long as the mirror allows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import assert_never

from proxy.core.cache_status import CacheStatus
from proxy.core.digest import Digest
from proxy.core.freshness import Absent, Fresh, Miss, Stale, before_request
from proxy.core.model import Absence, Entry, Expected, Index, Mirror, Source, Validators
from proxy.core.policy import Policy
from proxy.core.urls import redacted
from proxy.ecosystems.base import Ecosystem
from proxy.errors import (
    UNOBTAINABLE,
    BadIndex,
    Offline,
    ProxyError,
    UpstreamMissing,
    UpstreamRefused,
)
from proxy.gateway import freezing
from proxy.gateway.addresses import address
from proxy.gateway.answer import Counted
from proxy.gateway.basis import judged
from proxy.gateway.binding import Binding
from proxy.gateway.bounding import LARGEST, bounded, limit_of, once
from proxy.gateway.closures import Closures
from proxy.gateway.contexts import Contexts
from proxy.gateway.fill import Fill
from proxy.gateway.flights import Flights
from proxy.gateway.ports import Ports
from proxy.gateway.presence import is_here
from proxy.gateway.responses import entry_of, renewed
from proxy.gateway.supplement import supplement_of, supplemented
from proxy.gateway.team import Elsewhere
from proxy.gateway.views import Generation, Views
from proxy.storage.ports import Stored
from proxy.upstream.port import Ask, Reply

HOLD_OFF = 5.0
"""Seconds for which a failed refresh is not tried again: clients get the stale index at once,
without waiting for another deadline. Where nothing is held upstream is always asked."""

Held = Entry | Absence | None


@dataclass(frozen=True, slots=True)
class Current:
    """The generation to serve, how it was come by and for how long it stays fresh.

    `counted`: that lifetime counts down.
    """

    generation: Generation
    status: CacheStatus
    ttl: float
    counted: Counted | None = None


class Indexes:
    """Keeps the current generation of every index."""

    def __init__(
        self,
        ports: Ports,
        views: Views,
        contexts: Contexts,
        closures: Closures,
        renewed: Callable[[Index], None] = lambda _: None,
    ) -> None:
        """*renewed* hears of every new generation."""
        self._renewed = renewed
        self._upstream = ports.upstream
        self._blobs = ports.blobs
        self._catalog = ports.catalog
        self._ecosystems = ports.ecosystems
        self._team = ports.team
        self._clock = ports.clock
        self._events = ports.events
        self._views = views
        self._contexts = contexts
        self._binding = Binding(ports, views, contexts, closures, self)
        self._failed: dict[str, tuple[float, ProxyError]] = {}
        self._flights: Flights[str, tuple[Entry, bool]] = Flights(ports.events.failed)

    async def current(
        self, index: Index, mirror: Mirror, *, newer_than: float | None = None
    ) -> Current:
        """The generation that clients are to see now.

        `newer_than`: it must have been checked with upstream after that time, whatever its
        freshness. Raises UpstreamMissing and the other upstream errors where there is none.
        """
        if mirror.frozen_at is not None:
            return await self._frozen(index, mirror, mirror.frozen_at)
        held = await self._held(index, mirror)
        before = before_request(held, now=self._clock(), bounds=mirror.bounds)
        judged(before if newer_than is None else Miss())
        if newer_than is not None and not _checked_after(held, newer_than):
            return await self._refreshed(index, mirror, held)
        match before:
            case Fresh(entry=entry, ttl=ttl):
                current = await self._current(index, mirror, entry, CacheStatus.hit(ttl), ttl)
                return replace(current, counted=Counted(entry.checked_at, entry.fresh_for))
            case Absent():
                raise UpstreamMissing(f"{mirror.key} has no {index.path}")
            case Stale(entry=entry, servable_while_revalidating=True):
                self.refresh_soon(index, mirror)
                self._events.stale(mirror.key, "updating")
                status = CacheStatus.stale(-before.overdue, detail="updating")
                return await self._current(index, mirror, entry, status, 0.0)
            case Stale() | Miss():
                return await self._refreshed(index, mirror, held)
            case _:
                assert_never(before)

    async def _frozen(self, index: Index, mirror: Mirror, at: float) -> Current:
        """The generation that clients of a frozen mirror see, whatever upstream has now."""
        entry = await self.held(index, mirror)
        if entry is None:
            current = await self.current(index, replace(mirror, frozen_at=None))
            entry = current.generation.entry
            await self._catalog.put(replace(entry, key=freezing.key(index, at)))
        ttl = mirror.bounds.fresh_min
        return await self._current(index, mirror, entry, CacheStatus.hit(ttl), ttl)

    def refresh_soon(self, index: Index, mirror: Mirror) -> None:
        """Have *index* revalidated in the background, by whichever worker leads it."""
        if mirror.offline or index.key in self._failing():
            return
        try:
            self._team.claim(index.key)
        except Elsewhere as elsewhere:
            self._team.nudge(elsewhere.leader, index)
        else:
            self._flights.start(index.key, partial(self._refresh, index, mirror))

    async def exists(self, index: Index, mirror: Mirror) -> bool:
        """Whether upstream has *index*, without fetching it where nothing is held yet."""
        held = await self._held(index, mirror)
        match before_request(held, now=self._clock(), bounds=mirror.bounds):
            case Fresh() | Stale():
                return True
            case Absent():
                return False
            case Miss():
                return await self._probe(index, mirror)

    async def generation(self, index: Index, mirror: Mirror, entry: Entry) -> Generation:
        """*entry* as it is shown now."""
        return await self._binding.bound(index, mirror, entry, self._contexts.of(mirror.key))

    async def prepare(self, index: Index, mirror: Mirror) -> None:
        """Make the views that clients will soon ask for: those of the policy that now holds, or
        behind the step of time that is near. Upstream is not asked.
        """
        entry = await self.held(index, mirror)
        if entry is None:
            return
        now = self._contexts.of(mirror.key)
        if now.policy is None:
            return
        for context in filter(None, (now, self._contexts.next(mirror.key))):
            await self._views.prepare(await self._binding.bound(index, mirror, entry, context))

    async def closure(
        self, index: Index, mirror: Mirror, entry: Entry, policy: Policy | None
    ) -> Digest | None:
        """See `Binding.closure`."""
        return await self._binding.closure(index, mirror, entry, policy)

    async def companion(self, index: Index, mirror: Mirror) -> Entry:
        """Another index that is not here yet.

        What is fetched for it must not wait for the index that waits for it: noarch needs none.
        """
        boarded = await self._flights.join(index.key, partial(self._refresh, index, mirror))
        entry = boarded.value[0]
        if mirror.frozen_at is not None:
            await self._catalog.put(replace(entry, key=freezing.key(index, mirror.frozen_at)))
        return entry

    # -- what is held --------------------------------------------------------------------

    async def held(self, index: Index, mirror: Mirror) -> Entry | None:
        """The generation that is here, however old; of a frozen mirror the frozen one."""
        at = mirror.frozen_at
        key = index.key if at is None else freezing.key(index, at)
        seen = self._catalog.peek(key)
        found = seen if isinstance(seen, Entry) else await self._catalog.get(key)
        return found if isinstance(found, Entry) else None

    async def _held(self, index: Index, mirror: Mirror) -> Held:
        """From memory while that is fresh; a sibling process may have renewed it since."""
        seen = self._catalog.peek(index.key)
        if isinstance(seen, Entry):
            before = before_request(seen, now=self._clock(), bounds=mirror.bounds)
            if isinstance(before, Fresh):
                return seen
        found = await self._catalog.get(index.key)
        return found if isinstance(found, Entry | Absence) else None

    async def _current(
        self, index: Index, mirror: Mirror, entry: Entry, status: CacheStatus, ttl: float
    ) -> Current:
        return Current(await self.generation(index, mirror, entry), status, ttl)

    def _failing(self) -> dict[str, tuple[float, ProxyError]]:
        """The refreshes that failed a moment ago, by key; older ones are dropped."""
        now = self._clock()
        for key in [key for key, (until, _) in self._failed.items() if until <= now]:
            del self._failed[key]
        return self._failed

    # -- asking upstream -----------------------------------------------------------------

    async def _refreshed(self, index: Index, mirror: Mirror, held: Held) -> Current:
        """Ask upstream, once for all who wait; fall back on what is held where that is allowed."""
        if mirror.offline:
            error = Offline(f"{mirror.key} is offline, and {index.path} is not here")
            return await self._despite(error, index, mirror, held)
        try:
            failed = self._failing().get(index.key)
            if failed is not None and isinstance(held, Entry):
                raise failed[1]
            self._team.claim(index.key)
            refresh = partial(self._refresh, index, mirror)
            boarded = await self._flights.join(index.key, refresh)
        except UNOBTAINABLE as error:
            return await self._despite(error, index, mirror, held)
        if boarded.collapsed:
            self._events.collapsed(mirror.key)
        entry, fetched = boarded.value
        status = CacheStatus.forwarded(
            "stale" if isinstance(held, Entry) else "uri-miss",
            fwd_status=200 if fetched else 304,
            stored=fetched,
            collapsed=boarded.collapsed,
        )
        return await self._current(index, mirror, entry, status, entry.fresh_for)

    async def _despite(
        self,
        error: ProxyError,
        index: Index,
        mirror: Mirror,
        held: Held,
    ) -> Current:
        """The stale generation, where upstream's failure may be papered over (RFC 5861 §4)."""
        before = before_request(held, now=self._clock(), bounds=mirror.bounds)
        absent = isinstance(error, UpstreamMissing)
        match before:
            case Fresh(entry=entry, ttl=ttl) if not absent:
                pass
            case Stale(entry=entry, overdue=overdue, servable_on_error=True) if not absent:
                ttl = -overdue
            case _:
                raise error
        self._events.stale(mirror.key, type(error).__name__)
        status = CacheStatus.stale(ttl, detail=type(error).__name__)
        return await self._current(index, mirror, entry, status, 0.0)

    async def _refresh(
        self,
        index: Index,
        mirror: Mirror,
        publish: Callable[[tuple[Entry, bool]], None],
    ) -> None:
        """The flight: revalidate or replace the generation and say which it was."""
        remembered = await self._catalog.get(index.key)
        held = remembered if isinstance(remembered, Entry) else None
        try:
            entry, fetched = await self._ask(index, mirror, held)
        except UpstreamMissing as error:
            self._events.refreshed(index, "missing")
            await self._catalog.put(
                Absence(
                    key=index.key,
                    checked_at=self._clock(),
                    fresh_for=mirror.bounds.negative,
                    gone=error.gone,
                )
            )
            raise
        except UNOBTAINABLE as error:
            self._events.refreshed(index, type(error).__name__)
            self._failed[index.key] = (self._clock() + HOLD_OFF, error)
            raise
        self._events.refreshed(index, "new" if fetched else "unchanged")
        await self._catalog.put(entry)
        if held is None:
            self._binding.forget_paths(mirror)
        await self._contexts.settle(index, mirror, entry)
        publish((entry, fetched))
        if fetched:
            self._renewed(index)

    async def _ask(self, index: Index, mirror: Mirror, held: Entry | None) -> tuple[Entry, bool]:
        """Try the sources in order; the first that gives a readable index counts.

        A source that failed is reported only if no other serves: an upstream may well offer
        the plain form of an index whose compressed form it refuses, or has broken.
        """
        worst: ProxyError | None = None
        for source in index.sources:
            try:
                return await self._ask_one(index, mirror, held, source)
            except (UpstreamMissing, UpstreamRefused, BadIndex) as failed:
                error = _meant(failed, source)
                if worst is None or isinstance(worst, UpstreamMissing):
                    worst = error
        body = self._ecosystem(index).absent_body(index)
        if isinstance(worst, UpstreamMissing) and body is not None:
            return await self._stand_in(index, mirror, body), True
        raise worst or UpstreamMissing(f"{mirror.key} has no {index.path}")

    async def _ask_one(
        self, index: Index, mirror: Mirror, held: Entry | None, source: Source
    ) -> tuple[Entry, bool]:
        same = held is not None and held.source == source.path and await is_here(self._blobs, held)
        ask = Ask(
            mirror=mirror,
            url=address(mirror, source),
            headers={"accept": source.accept} if source.accept else {},
            validators=held.validators if held is not None and same else Validators(),
        )
        async with self._upstream.open(ask) as reply:
            now, stored = self._clock(), None
            if reply.status == 304 and held is not None:
                held = renewed(held, reply, now=now, bounds=mirror.bounds)
            else:
                stored = await self._stored(index, reply)
        if stored is None:
            assert held is not None
            entry = await self._supplemented(index, mirror, held)
            is_known = entry.headers == held.headers
            return entry if is_known else await self._usable(index, mirror, entry), False
        if held is not None and held.size and not stored.size:
            # An empty channel may be an empty file; one that was not empty has been truncated.
            raise BadIndex(f"{index.path} is empty by now")
        entry = entry_of(
            reply, stored, key=index.key, source=source.path, now=now, bounds=mirror.bounds
        )
        entry = await self._supplemented(index, mirror, entry)
        return await self._usable(index, mirror, entry), True

    async def _supplemented(self, index: Index, mirror: Mirror, entry: Entry) -> Entry:
        """*entry* with what is put into its parts, from now on, if it has none yet."""
        beside = self._ecosystem(index).supplement(index)
        if beside is None or supplement_of(entry) is not None:
            return entry
        return supplemented(entry, await self.held(beside, mirror))

    async def _usable(self, index: Index, mirror: Mirror, entry: Entry) -> Entry:
        """Make the first views of *entry*: only what can be read may replace what is held."""
        try:
            generation = await self.generation(index, mirror, entry)
            await self._views.prepare(generation)
        except BadIndex as error:
            self._events.wrong(index.mirror, index.path, error)
            raise
        return entry

    async def _stand_in(self, index: Index, mirror: Mirror, body: bytes) -> Entry:
        """An index of ours for one that upstream truly lacks and clients cannot do without."""
        stored = await self._keep(once(body), Expected(size=len(body)), len(body))
        entry = Entry(
            key=index.key,
            digest=stored.digest,
            size=stored.size,
            media_type="application/json",
            source=index.path,
            url=redacted(address(mirror, Source(path=index.path))),
            validators=Validators(),
            checked_at=self._clock(),
            fresh_for=mirror.bounds.negative,
        )
        return await self._usable(index, mirror, entry)

    async def _stored(self, index: Index, reply: Reply) -> Stored:
        if reply.length is not None and reply.length > LARGEST:
            raise BadIndex(f"{index.path} is {reply.length} bytes long, more than {LARGEST}")
        body = bounded(reply.chunks, index.path, limit_of(reply))
        return await self._keep(body, Expected(size=reply.length), reply.length)

    async def _keep(
        self, body: AsyncIterator[bytes], expected: Expected, length: int | None
    ) -> Stored:
        spool = await self._blobs.needed(length)
        return await Fill(spool, expected=expected, length=length).run(body)

    async def _probe(self, index: Index, mirror: Mirror) -> bool:
        """A HEAD for each source; that all are absent is remembered."""
        for source in index.sources:
            headers = {"accept": source.accept} if source.accept else {}
            ask = Ask(mirror=mirror, url=address(mirror, source), method="HEAD", headers=headers)
            try:
                async with self._upstream.open(ask):
                    return True
            except (UpstreamMissing, UpstreamRefused):
                continue
        if self._ecosystem(index).absent_body(index) is not None:
            return True
        now, negative = self._clock(), mirror.bounds.negative
        await self._catalog.put(Absence(key=index.key, checked_at=now, fresh_for=negative))
        return False

    async def drain(self, seconds: float) -> None:
        """Let running refreshes end for up to *seconds*."""
        await self._flights.drain(seconds)

    async def aclose(self) -> None:
        await self._flights.aclose()

    def _ecosystem(self, index: Index) -> Ecosystem:
        return self._ecosystems[index.mirror.partition("/")[0]]


def _meant(error: ProxyError, source: Source) -> ProxyError:
    """What a refusal of *source* says: sometimes only that there is nothing there."""
    if isinstance(error, UpstreamRefused) and error.unasked and source.refused_is_missing:
        return UpstreamMissing(str(error))
    return error


def _checked_after(held: Held, moment: float) -> bool:
    return isinstance(held, Entry | Absence) and held.checked_at > moment
