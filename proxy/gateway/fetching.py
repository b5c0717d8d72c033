"""Bodies from upstream into the store, followed by whoever asks meanwhile.

One flight per key. It publishes as soon as upstream's headers are there: a `Fill` to follow, or
an entry that a 304 renewed, or `Unstorable` where the answer is for one client only. The entry
is written after the blob, so the catalog never names what is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from proxy.core.cache_control import CacheControl
from proxy.core.model import Absence, Digest, Entry, Expected, Mirror, Source, Validators
from proxy.errors import IntegrityError, StorageError, UpstreamMissing
from proxy.gateway.addresses import address, shown
from proxy.gateway.fill import Fill
from proxy.gateway.flights import Boarded, Flights
from proxy.gateway.ports import Ports
from proxy.gateway.responses import entry_of, renewed
from proxy.storage.ports import Stored
from proxy.upstream.port import Ask, Reply

SUSPECT_FOR = 60.0
"""Seconds for which a file whose bytes were wrong is not fetched again with the same promise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to fetch, what it must be, and what is already held."""

    key: str
    mirror: Mirror
    source: Source
    expected: Expected = Expected()
    held: Entry | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Filling:
    """A body on its way, and what upstream said of it."""

    fill: Fill
    entry: Entry  # as it will be; its digest is empty until the body is whole


@dataclass(frozen=True, slots=True)
class Unstorable:
    """Upstream's answer may not be shared, or cannot be stored here; each client asks itself."""

    because: str


@dataclass(frozen=True, slots=True)
class _Suspect:
    since: float
    expected: Expected
    error: IntegrityError


Fetched = Filling | Entry | Unstorable


class Fetching:
    """Fetches bodies, each at most once at a time."""

    def __init__(self, ports: Ports) -> None:
        self._upstream = ports.upstream
        self._blobs = ports.blobs
        self._catalog = ports.catalog
        self._team = ports.team
        self._clock = ports.clock
        self._events = ports.events
        self._flights: Flights[str, Fetched] = Flights(ports.events.failed)
        self._suspects: dict[str, _Suspect] = {}

    async def fetch(self, order: Order) -> Boarded[Fetched]:
        """Have *order* carried out, or join the flight that does. Raises upstream's errors.

        Raises IntegrityError for a file that was wrong a moment ago, and Elsewhere where
        another worker leads this key.
        """
        self._refuse_suspect(order)
        self._team.claim(order.key)
        boarded = await self._flights.join(order.key, partial(self._fly, order))
        if boarded.collapsed:
            self._events.collapsed(order.mirror.key)
        return boarded

    def start(self, order: Order) -> None:
        """Have *order* carried out in the background. Raises Elsewhere."""
        self._team.claim(order.key)
        self._flights.start(order.key, partial(self._fly, order))

    def suspected_since(self, key: str) -> float | None:
        """When upstream's bytes were found to be wrong, if that was a moment ago."""
        suspect = self._suspects.get(key)
        return suspect.since if suspect else None

    def in_the_air(self, key: str) -> bool:
        """Whether *key* is being fetched by this worker."""
        return key in self._flights

    async def drain(self, seconds: float) -> None:
        """Let running fetches end for up to *seconds*."""
        await self._flights.drain(seconds)

    async def aclose(self) -> None:
        await self._flights.aclose()

    # -- the flight ----------------------------------------------------------------------

    async def _fly(self, order: Order, publish: Callable[[Fetched], None]) -> None:
        known = await self._adopted(order)
        if known is not None:
            await self._catalog.put(known)
            publish(known)
            return
        try:
            with self._team.fetching():
                async with self._upstream.open(self._ask(order)) as reply:
                    await self._received(order, reply, publish)
        except UpstreamMissing as error:
            await self._remember_absence(order, error)
            raise
        except IntegrityError as error:
            self._suspects[order.key] = _Suspect(self._clock(), order.expected, error)
            self._events.wrong(order.mirror.key, shown(order.mirror, order.source), error)
            raise

    async def _adopted(self, order: Order) -> Entry | None:
        """The entry for bytes that are here under no name, or under another mirror's.

        They are read through first: nobody has vouched for them since they were written.
        """
        digest, size = order.expected.digest, order.expected.size
        stored = None if digest is None else await self._blobs.check(digest)
        if stored is None or size not in (None, stored.size):
            return None
        entry = Entry(
            key=order.key,
            digest=stored.digest,
            size=stored.size,
            media_type="application/octet-stream",
            source=order.source.path,
            url=shown(order.mirror, order.source),
            validators=Validators(),
            checked_at=self._clock(),
            fresh_for=0.0,
        )
        return _entries(order, entry)[0]

    def _ask(self, order: Order) -> Ask:
        return Ask(
            mirror=order.mirror,
            url=address(order.mirror, order.source),
            headers=order.headers,
            validators=order.held.validators if order.held else Validators(),
            anonymous=order.anonymous,
            verified=bool(order.expected),
        )

    async def _received(
        self, order: Order, reply: Reply, publish: Callable[[Fetched], None]
    ) -> None:
        now, bounds = self._clock(), order.mirror.bounds
        if reply.status == 304 and order.held is not None:
            entry = renewed(order.held, reply, now=now, bounds=bounds)
            await self._catalog.put(entry)
            publish(entry)
            return
        reason = "" if order.expected else _unshareable(reply)
        if reason:
            publish(Unstorable(reason))
            return
        expected = _completed(order, reply)
        try:
            spool = await self._blobs.spool(expected.size)
        except StorageError as error:
            self._events.unstored(order.mirror.key, error)
            publish(Unstorable("storage"))
            return
        fill = Fill(spool, expected=expected, length=expected.size)
        with fill.reader():
            promised = _promised(order, reply, expected, now)
            publish(Filling(fill, promised))
            # A turn of the loop, in which whoever waits boards: a body that is there, or breaks
            # off, at once would be over before.
            await asyncio.sleep(0)
            stored = await self._filled(order, reply, fill)
            if stored is None:
                return
            entry = replace(promised, digest=stored.digest, size=stored.size)
            for one in _entries(order, entry):
                await self._catalog.put(one)

    async def _filled(self, order: Order, reply: Reply, fill: Fill) -> Stored | None:
        """None where the store fails: its clients get the rest past it."""
        self._events.filling(order.mirror.key, 1)
        try:
            return await fill.run(reply.chunks)
        except StorageError as error:
            self._events.unstored(order.mirror.key, error)
            return None
        finally:
            self._events.filling(order.mirror.key, -1)

    async def _remember_absence(self, order: Order, error: UpstreamMissing) -> None:
        # A verified file that vanished upstream is missed only by those who lack it.
        await self._catalog.put(
            Absence(
                key=order.key,
                checked_at=self._clock(),
                fresh_for=order.mirror.bounds.negative,
                gone=error.gone,
            )
        )

    def _refuse_suspect(self, order: Order) -> None:
        """A wrong body is not fetched over and over; a new promise in the index clears it."""
        suspect = self._suspects.get(order.key)
        if suspect is None:
            return
        recent = suspect.since + SUSPECT_FOR > self._clock()
        if recent and suspect.expected == order.expected:
            raise suspect.error
        del self._suspects[order.key]


def variant_key(key: str, vary: str, headers: Mapping[str, str]) -> str:
    """The key of the representation that these request headers select (RFC 9111 section 4.1)."""
    names = sorted(name.strip().lower() for name in vary.split(",") if name.strip())
    chosen = "\t".join(f"{name}={headers.get(name, '')}" for name in names)
    return f"{key}\t{chosen}"


def _entries(order: Order, entry: Entry) -> list[Entry]:
    """The entry under its own key and, where upstream varies it, under its variant's, too."""
    if order.expected:
        promised = ",".join(f"{name}={value}" for name, value in order.expected.hashes.items())
        return [replace(entry, fresh_for=float("inf"), headers={"verified": promised})]
    vary = entry.headers.get("vary", "")
    if not vary:
        return [entry]
    return [entry, replace(entry, key=variant_key(entry.key, vary, order.headers))]


def _promised(order: Order, reply: Reply, expected: Expected, now: float) -> Entry:
    """The entry as far as the headers tell, for those who follow the fill."""
    stored = Stored(digest=expected.digest or Digest(""), size=expected.size or 0)
    return entry_of(
        reply,
        stored,
        key=order.key,
        source=order.source.path,
        now=now,
        bounds=order.mirror.bounds,
    )


def _completed(order: Order, reply: Reply) -> Expected:
    """The index's promise, with the length that upstream announces. Raises IntegrityError."""
    size = order.expected.size
    if size is not None and reply.length is not None and size != reply.length:
        raise IntegrityError(
            f"{shown(order.mirror, order.source)} is {reply.length} bytes long, "
            f"its index says {size}"
        )
    return Expected(size=reply.length if size is None else size, hashes=order.expected.hashes)


def _unshareable(reply: Reply) -> str:
    """Why a shared cache must not store this (RFC 9111 section 3); "" if it may."""
    control = CacheControl.parse(reply.headers.get("cache-control", ""))
    if control.no_store:
        return "no-store"
    if control.private:
        return "private"
    if "*" in reply.headers.get("vary", ""):
        return "vary-star"
    return ""
