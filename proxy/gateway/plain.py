"""Plain files: what a shared HTTP cache does with a file it does not understand (RFC 9111).

Variants by request headers (`Vary`), conditional revalidation, stale answers where the mirror
allows them, and passing through what may not be stored. Also the way out for verified files
when they cannot be stored here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import assert_never

from proxy.core.cache_status import CacheStatus, Forward
from proxy.core.freshness import Absent, Fresh, Miss, Stale, before_request
from proxy.core.http_date import parse_http_date
from proxy.core.model import Absence, Bounds, Entry, Mirror, Plain, Validators
from proxy.core.r_agent import USER_AGENT, chooses_by_agent, r_agent
from proxy.errors import UNOBTAINABLE, Offline, ProxyError, UpstreamMissing
from proxy.gateway.addresses import address
from proxy.gateway.answer import Answer, Counted, Nothing, Passing, Slice, Want
from proxy.gateway.basis import judged
from proxy.gateway.fetching import Fetching, Filling, Order, Unstorable, variant_key
from proxy.gateway.ports import Ports
from proxy.gateway.responses import media_type
from proxy.gateway.resuming import Digesting, checked
from proxy.gateway.team import Elsewhere
from proxy.upstream.port import Ask

PASS_FOR = 60.0
"""Seconds for which a file whose answer may not be shared is passed through at once, without
a flight that would make its clients wait for one another (Varnish calls it hit-for-pass)."""


IMPATIENT = 4.0
"""Seconds that a client waits for a file that it does not need; conda gives up after 5. The fetch
goes on, for the next one."""


class PlainFiles:
    """Opens plain files."""

    def __init__(self, ports: Ports, fetching: Fetching, *, impatient: float = IMPATIENT) -> None:
        self._upstream = ports.upstream
        self._blobs = ports.blobs
        self._catalog = ports.catalog
        self._team = ports.team
        self._clock = ports.clock
        self._events = ports.events
        self._fetching = fetching
        self._impatient = impatient
        self._passing: dict[str, float] = {}

    async def open(self, plain: Plain, mirror: Mirror, want: Want) -> Answer:
        """Answer a request for *plain*. Raises the upstream errors, and Elsewhere."""
        key, headers = _asked_as(plain, mirror, want)
        held = await self._held(key, headers, mirror.bounds)
        order = Order(
            key=key,
            mirror=mirror,
            source=plain.source,
            held=held if isinstance(held, Entry) else None,
            headers=headers,
            anonymous=plain.anonymous,
        )
        if want.unstored:
            return await self.passed(order, want, plain.media_type)
        before = before_request(held, now=self._clock(), bounds=mirror.bounds)
        judged(before)
        match before:
            case Fresh(entry=entry, ttl=ttl):
                return await self._stored(plain, entry, CacheStatus.hit(ttl), order, want)
            case Absent():
                raise UpstreamMissing(f"{mirror.key} has no {plain.path}")
            case Stale(entry=entry, servable_while_revalidating=True):
                self._renew_soon(plain, order)
                self._events.stale(mirror.key, "updating")
                status = CacheStatus.stale(-before.overdue, detail="updating")
                return await self._stored(plain, entry, status, order, want)
            case Stale() | Miss():
                return await self._asked(plain, order, before, want)
            case _:
                assert_never(before)

    async def passed(self, order: Order, want: Want, kind: str | None) -> Answer:
        """Pass upstream's answer on, unstored; a range is asked for as such."""
        ask = Ask(
            mirror=order.mirror,
            url=address(order.mirror, order.source),
            method="HEAD" if want.head else "GET",
            headers=order.headers,
            anonymous=order.anonymous,
            byte_range=want.byte_range,
            # Its digest is that of the bytes as upstream keeps them; see `upstream.client`.
            verified=bool(order.expected),
        )
        answer = Answer(
            body=Nothing(),
            length=None,
            media_type=kind or "application/octet-stream",
            status=CacheStatus.forwarded("bypass" if want.byte_range is None else "partial"),
            cache_control="no-store",
        )
        try:
            reply = await answer.holding.enter_async_context(self._upstream.open(ask))
        except BaseException:
            await answer.close()
            raise
        chunks = reply.chunks
        if order.expected and want.byte_range is None:
            chunks = checked(chunks, Digesting(order.expected))
        validators = Validators(
            etag=reply.headers.get("etag"), last_modified=reply.headers.get("last-modified")
        )
        answer.body = Nothing() if want.head else Passing(chunks, order.expected, validators)
        answer.length = reply.length
        answer.media_type = kind or media_type(reply.headers)
        answer.content_range = reply.headers.get("content-range")
        return answer

    # -- what is held --------------------------------------------------------------------

    async def _held(
        self, key: str, headers: Mapping[str, str], bounds: Bounds
    ) -> Entry | Absence | None:
        """The entry for these request headers: by way of the newest one's `Vary`."""
        found = await self._newest(key, bounds)
        if not isinstance(found, Entry):
            return found
        vary = found.headers.get("vary")
        if vary:
            # What leads to the variant must be fresh, too, for the answer to be given again.
            judged(before_request(found, now=self._clock(), bounds=bounds))
            variant = await self._newest(variant_key(key, vary, headers), bounds)
            return variant if isinstance(variant, Entry) else None
        return found

    async def _newest(self, key: str, bounds: Bounds) -> Entry | Absence | None:
        """From memory while that is fresh; a sibling process may have renewed it since."""
        seen = self._catalog.peek(key)
        if isinstance(seen, Entry):
            before = before_request(seen, now=self._clock(), bounds=bounds)
            if isinstance(before, Fresh):
                return seen
        found = await self._catalog.get(key)
        return found if isinstance(found, Entry | Absence) else None

    async def _stored(
        self, plain: Plain, entry: Entry, status: CacheStatus, order: Order, want: Want
    ) -> Answer:
        blob = await self._blobs.open(entry.digest, entry.size)
        if blob is None:  # swept or damaged: as if it had never been here
            await self._catalog.forget([entry.key])
            return await self._asked(plain, replace(order, held=None), Miss(), want)
        answer = self._described(plain, order.mirror, entry, status)
        answer.body = Slice(blob, 0, blob.size)
        answer.length = blob.size
        answer.holding.callback(blob.close)
        return answer

    def _described(self, plain: Plain, mirror: Mirror, entry: Entry, status: CacheStatus) -> Answer:
        headers = {
            name: entry.headers[name]
            for name in ("content-disposition", "content-language")
            if name in entry.headers
        }
        counted = Counted(entry.checked_at, entry.fresh_for)
        headers["age"] = str(counted.age(self._clock()))
        vary = _names(entry.headers.get("vary", ""), chosen=_is_chosen(plain, mirror))
        return Answer(
            body=Nothing(),
            length=None,
            media_type=plain.media_type or entry.media_type,
            status=status,
            etag=_etag(entry),
            last_modified=parse_http_date(entry.headers.get("last-modified", "")),
            cache_control=entry.headers.get("cache-control")
            or f"public, max-age={int(entry.fresh_for)}",
            vary=vary,
            headers=headers,
            counted=counted,
        )

    # -- asking upstream -----------------------------------------------------------------

    async def _asked(self, plain: Plain, order: Order, before: Stale | Miss, want: Want) -> Answer:
        if order.mirror.offline:
            error = Offline(f"{order.mirror.key} is offline, and {plain.path} is not here")
            return await self._despite(error, plain, order, before, want)
        if self._is_passing(order.key):
            return await self.passed(order, want, plain.media_type)
        if want.head and isinstance(before, Miss):
            return await self.passed(replace(order), want, plain.media_type)
        try:
            async with asyncio.timeout(self._impatient if plain.absent_on_error else None):
                return await self._fetched(plain, order, want)
        except TimeoutError:
            raise UpstreamMissing(f"{plain.path} cannot be had in time") from None
        except UNOBTAINABLE as error:
            return await self._despite(error, plain, order, before, want)

    async def _fetched(self, plain: Plain, order: Order, want: Want) -> Answer:
        boarded = await self._fetching.fetch(order)
        match boarded.value:
            case Filling(fill=fill, entry=entry):
                fwd: Forward = "stale" if order.held else "uri-miss"
                status = CacheStatus.forwarded(
                    fwd, fwd_status=200, stored=True, collapsed=boarded.collapsed
                )
                answer = self._described(plain, order.mirror, entry, status)
                answer.etag = _etag(entry) if entry.validators.strong else None
                answer.body = fill
                answer.length = fill.length
                answer.holding.enter_context(fill.reader())
                return answer
            case Entry() as entry:
                status = CacheStatus.forwarded("stale", fwd_status=304, collapsed=boarded.collapsed)
                return await self._stored(plain, entry, status, order, want)
            case Unstorable(because=because):
                if because != "storage":
                    self._passing[order.key] = self._clock() + PASS_FOR
                return await self.passed(order, want, plain.media_type)
            case other:
                assert_never(other)

    async def _despite(
        self,
        error: ProxyError,
        plain: Plain,
        order: Order,
        before: Stale | Miss,
        want: Want,
    ) -> Answer:
        """Upstream failed: the stale file where allowed, "absent" where nobody minds."""
        missing = isinstance(error, UpstreamMissing)
        if isinstance(before, Stale) and before.servable_on_error and not missing:
            self._events.stale(order.mirror.key, type(error).__name__)
            status = CacheStatus.stale(-before.overdue, detail=type(error).__name__)
            return await self._stored(plain, before.entry, status, order, want)
        if plain.absent_on_error and not missing:
            raise UpstreamMissing(f"{plain.path} cannot be had at the moment") from error
        raise error

    def _renew_soon(self, plain: Plain, order: Order) -> None:
        try:
            self._fetching.start(order)
        except Elsewhere as elsewhere:
            self._team.nudge(elsewhere.leader, plain)

    def _is_passing(self, key: str) -> bool:
        until = self._passing.get(key, 0.0)
        if until and until <= self._clock():
            del self._passing[key]
            return False
        return bool(until)


def _asked_as(plain: Plain, mirror: Mirror, want: Want) -> tuple[str, dict[str, str]]:
    """What the file is known by here, and the headers that upstream is asked with.

    Upstream is told which R asks, as the client tells it, and nothing else of a User-Agent: that
    would only make variants. Where upstream chooses by it without a word, each R has an entry.
    """
    headers = {name: want.headers[name] for name in plain.forward if name in want.headers}
    agent = r_agent(want.headers.get(USER_AGENT, "")) if plain.by_platform else None
    if agent is None:
        return plain.key, headers
    key = f"{plain.key}\t{agent.platform}" if _is_chosen(plain, mirror) else plain.key
    return key, {**headers, USER_AGENT: agent.text}


def _is_chosen(plain: Plain, mirror: Mirror) -> bool:
    return plain.by_platform and chooses_by_agent(address(mirror, plain.source))


def _names(vary: str, *, chosen: bool) -> tuple[str, ...]:
    """What the answer depends on, for caches between us and the client."""
    names = [name.strip() for name in vary.split(",") if name.strip()]
    if chosen and USER_AGENT not in map(str.lower, names):
        names.append("User-Agent")
    return tuple(names)


def _etag(entry: Entry) -> str | None:
    """Upstream's strong validator, which is known from the first byte on, else the content's."""
    if entry.validators.strong:
        return entry.validators.etag
    return f'"{entry.digest}"' if entry.digest else None
