"""Files that an index lists: found in the index, judged, verified, and from where they are now.

The index says what a file must be and whether the policy lets it through. What no index vouches
for is left to `plain.py`; what is read out of another file, to `deriving.py`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import assert_never

from proxy.core.cache_status import CacheStatus
from proxy.core.model import Absence, Artifact, Entry, Index, Mirror, Plain, Source, View
from proxy.core.policy import UNLISTED
from proxy.core.rows import Row, decode_row
from proxy.errors import (
    UNOBTAINABLE,
    Denied,
    IntegrityError,
    Offline,
    ProxyError,
    StorageError,
    UpstreamMissing,
)
from proxy.gateway.answer import IMMUTABLE, Answer, Nothing, Want
from proxy.gateway.answers import etag, file_answer, keeps_promise, verified
from proxy.gateway.contexts import Contexts
from proxy.gateway.deriving import ENDING, Deriving, origin
from proxy.gateway.fetching import Fetching, Filling, Order, Unstorable
from proxy.gateway.fill import Landed
from proxy.gateway.indexes import Indexes
from proxy.gateway.plain import PlainFiles
from proxy.gateway.ports import Ports
from proxy.gateway.presence import forget_if_lost
from proxy.gateway.refusals import refusal
from proxy.gateway.views import Generation, Views

FAR = 4 << 20
"""Bytes of a file that is not here beyond which a bounded range is fetched alone: a resolver
peeking at the end of a 900 MB wheel must neither wait for it nor make us fetch it."""

_BOUNDED = re.compile(r"bytes=(\d+-\d+|-\d+)")  # one range with an end: not a resumed download


class Artifacts:
    """Opens artifacts. One instance serves all mirrors of a process."""

    def __init__(
        self,
        ports: Ports,
        *,
        indexes: Indexes,
        plain: PlainFiles,
        fetching: Fetching,
        views: Views,
        contexts: Contexts,
        deriving: Deriving,
    ) -> None:
        self._ports = ports
        self._blobs = ports.blobs
        self._catalog = ports.catalog
        self._clock = ports.clock
        self._indexes = indexes
        self._plain = plain
        self._fetching = fetching
        self._views = views
        self._contexts = contexts
        self._deriving = deriving

    async def open(self, artifact: Artifact, mirror: Mirror, want: Want) -> Answer:
        """Answer a request for *artifact*. Raises upstream's errors, Denied, Offline, Elsewhere and
        Landed.
        """
        is_judged = self._contexts.of(mirror.key).policy is not None
        # Where the index is the only authority, what upstream has withdrawn is gone here, too.
        strictly = is_judged or artifact.fallback is None
        if not (artifact.vouched or is_judged):
            return await self._unlisted(artifact, mirror, want)
        try:
            row = await self._row(artifact, mirror, strictly=strictly)
        except UNOBTAINABLE as error:
            if is_judged:  # what cannot be judged is not let through
                raise
            return await self._without_index(artifact, error)
        if row is None:
            if not strictly:
                return await self._unlisted(artifact, mirror, want)
            if artifact.moved is None:
                raise _unlisted(artifact)
            return await self._moved(artifact.moved, mirror, want)
        _check_allowed(artifact, row)
        if row.derived:
            return await self._derived(artifact, mirror, row)
        try:
            return await self._listed(artifact, mirror, row, want)
        except (UpstreamMissing, IntegrityError) as error:
            return await self._newly_listed(artifact, mirror, row, want, error)

    async def _newly_listed(
        self, artifact: Artifact, mirror: Mirror, row: Row, want: Want, error: ProxyError
    ) -> Answer:
        """Upstream's files and our index disagree: perhaps the index has moved on since."""
        since = self._fetching.suspected_since(artifact.key)
        generation = await self._revalidated(artifact.index, mirror, since)
        newer = await self._row_from(artifact, generation)
        if newer is not None and newer != row:
            _check_allowed(artifact, newer)
            return await self._listed(artifact, mirror, newer, want)
        if artifact.moved is None or isinstance(error, IntegrityError):
            raise error
        if newer is None:
            return await self._moved(artifact.moved, mirror, want)
        # Some servers have a file elsewhere sooner than the index that does not list it any more.
        there = Row(size=row.size, hashes=row.hashes)
        return await self._listed(artifact.moved, mirror, there, want)

    async def _derived(self, artifact: Artifact, mirror: Mirror, row: Row) -> Answer:
        """What is read out of another file, and stored."""
        held = await self._remembered(artifact.key)
        status = CacheStatus.hit()
        blob = None
        if isinstance(held, Entry) and held.headers.get("derived") == origin(row):
            blob = await self._blobs.open(held.digest, held.size)
        if blob is None:
            held = await self._deriving.fetch(artifact, mirror, row)
            status = CacheStatus.forwarded("uri-miss", stored=True)
            blob = await self._blobs.open(held.digest, held.size)
        if blob is None:
            raise Landed
        answer = file_answer(artifact, Row(hashes={"sha256": blob.digest}), blob)
        answer.status = status
        return answer

    async def _listed(self, artifact: Artifact, mirror: Mirror, row: Row, want: Want) -> Answer:
        source = Source(path=row.url or artifact.path)
        if not row.hashes:
            answer = None if artifact.vouched else await self._verified_before(artifact)
            return answer or await self._plain.open(_as_plain(artifact, source), mirror, want)
        held = await self._remembered(artifact.key)
        if isinstance(held, Entry) and keeps_promise(held, row):
            blob = await self._blobs.open(held.digest, held.size)
            if blob is not None:
                return file_answer(artifact, row, blob)
        if isinstance(held, Absence) and self._clock() < held.checked_at + held.fresh_for:
            raise UpstreamMissing(f"{mirror.key} has no {artifact.path}", gone=held.gone)
        if mirror.offline:
            return await self._here_in_another_file(artifact, mirror, row)
        if want.head and row.size is not None:
            status = CacheStatus.forwarded("uri-miss", detail="head")
            return verified(artifact, row, Nothing(), row.size, status)
        order = Order(key=artifact.key, mirror=mirror, source=source, expected=row.expected)
        # Of a HEAD the index does not tell the size: upstream does, without the body.
        if want.head or want.unstored:
            answer = await self._plain.passed(order, want, artifact.media_type)
            answer.etag, answer.cache_control = etag(row), IMMUTABLE
            return answer
        if self._is_far(order, want):
            return await self._plain.passed(order, want, artifact.media_type)
        return await self._followed(artifact, row, order, want)

    async def _here_in_another_file(self, artifact: Artifact, mirror: Mirror, row: Row) -> Answer:
        """A wheel's metadata out of the wheel that is here. Raises Offline where that is all."""
        offline = Offline(f"{mirror.key} is offline, and {artifact.path} is not here")
        if not artifact.path.endswith(ENDING):
            raise offline
        held = await self._deriving.fetch(artifact, mirror, row)
        blob = await self._blobs.open(held.digest, held.size)
        if blob is None:
            raise Landed
        if not keeps_promise(held, row):
            blob.close()
            raise offline
        return file_answer(artifact, row, blob)

    async def _followed(self, artifact: Artifact, row: Row, order: Order, want: Want) -> Answer:
        boarded = await self._fetching.fetch(order)
        match boarded.value:
            case Filling(fill=fill):
                status = CacheStatus.forwarded("uri-miss", stored=True, collapsed=boarded.collapsed)
                answer = verified(artifact, row, fill, fill.length, status)
                answer.holding.enter_context(fill.reader())
                return answer
            case Entry(digest=digest, size=size):  # it was here all the while
                blob = await self._blobs.open(digest, size)
                if blob is None:
                    raise Landed
                return file_answer(artifact, row, blob)
            case Unstorable():
                return await self._plain.passed(order, want, artifact.media_type)
            case other:
                assert_never(other)

    def _is_far(self, order: Order, want: Want) -> bool:
        return (
            want.byte_range is not None
            and _BOUNDED.fullmatch(want.byte_range) is not None
            and (order.expected.size is None or order.expected.size > FAR)
            and not self._fetching.in_the_air(order.key)
        )

    async def _unlisted(self, artifact: Artifact, mirror: Mirror, want: Want) -> Answer:
        """No index lists it (any more): what was once verified stays; else upstream decides."""
        answer = await self._verified_before(artifact)
        if answer is not None:
            return answer
        assert artifact.fallback is not None
        try:
            return await self._plain.open(_as_plain(artifact, artifact.fallback), mirror, want)
        except UNOBTAINABLE as error:
            if artifact.moved is None:
                raise
            try:
                return await self._moved(artifact.moved, mirror, want)
            except UpstreamMissing:  # not there; whether it is here only the first answer says
                raise error from None

    async def _moved(self, moved: Artifact, mirror: Mirror, want: Want) -> Answer:
        """From where upstream has put it, judged by the index of that place."""
        if self._contexts.of(mirror.key).policy is not None:
            row = await self._row(moved, mirror, strictly=True)
            if row is None:
                raise _unlisted(moved)
            _check_allowed(moved, row)
        return await self._unlisted(moved, mirror, want)

    async def _without_index(self, artifact: Artifact, error: Exception) -> Answer:
        """The index cannot be had at all: what was once verified is still good."""
        answer = await self._verified_before(artifact)
        if answer is None:
            raise error
        return answer

    async def _verified_before(self, artifact: Artifact) -> Answer | None:
        """What is here under its name, or under that which it had when an index vouched for it."""
        keys = [artifact.key]
        if artifact.former is not None:
            keys.append(replace(artifact, path=artifact.former).key)
        for key in keys:
            held = await self._remembered(key)
            if not isinstance(held, Entry) or "verified" not in held.headers:
                continue
            blob = await self._blobs.open(held.digest, held.size)
            if blob is not None:
                row = Row(size=held.size, hashes={"sha256": held.digest})
                return file_answer(artifact, row, blob)
        return None

    async def _row(self, artifact: Artifact, mirror: Mirror, *, strictly: bool) -> Row | None:
        """What the index says of it, asking upstream only where the held index does not say.

        *strictly*: what is held counts no longer than clients would be shown it.
        """
        index = artifact.index
        try:
            generation = await self._known(index, mirror, strictly=strictly)
        except UpstreamMissing:
            return None
        if generation is not None:
            try:
                row = await self._row_from(artifact, generation)
            except StorageError:
                row = None
                await forget_if_lost(self._ports, generation)
            if row is not None:
                return row
        try:
            generation = await self._revalidated(index, mirror)
        except UpstreamMissing:
            return None
        return await self._row_from(artifact, generation)

    async def _known(self, index: Index, mirror: Mirror, *, strictly: bool) -> Generation | None:
        """The generation to look into first."""
        if strictly:
            return (await self._indexes.current(index, mirror)).generation
        entry = await self._indexes.held(index, mirror)
        return None if entry is None else await self._indexes.generation(index, mirror, entry)

    async def _revalidated(
        self, index: Index, mirror: Mirror, since: float | None = None
    ) -> Generation:
        """The generation as of *since*, or of a moment ago: a burst causes one request."""
        moment = self._clock() - mirror.bounds.negative if since is None else since
        current = await self._indexes.current(index, mirror, newer_than=moment)
        return current.generation

    async def _row_from(self, artifact: Artifact, generation: Generation) -> Row | None:
        table = await self._views.table(generation)
        value = table.get(artifact.row)
        return None if value is None else decode_row(value)

    async def _remembered(self, key: str) -> Entry | Absence | View | None:
        """Entries of verified files never change, so memory is as good as the catalog."""
        seen = self._catalog.peek(key)
        return seen if isinstance(seen, Entry) else await self._catalog.get(key)


def _check_allowed(artifact: Artifact, row: Row) -> None:
    """Raises Denied where policy hides the file, Offline where it cannot be had."""
    if row.denied is None:
        return
    name = artifact.path.rpartition("/")[2]
    raise refusal(artifact.mirror, artifact.path, row, name=name)


def _unlisted(artifact: Artifact) -> ProxyError:
    """What to say of a file that the index does not list."""
    filename = artifact.path.rpartition("/")[2]
    if artifact.fallback is None:
        return UpstreamMissing(f"{artifact.index.path} of {artifact.mirror} lists no {filename}")
    reason = "the index does not list it, so that the policy cannot judge it"
    return Denied(filename, rule=UNLISTED, reason=reason)


def _as_plain(artifact: Artifact, source: Source) -> Plain:
    """An artifact whose bytes no index vouches for is treated as any shared cache would."""
    return Plain(
        mirror=artifact.mirror,
        path=artifact.path,
        source=source,
        media_type=artifact.media_type,
        by_platform=artifact.by_platform,
    )
