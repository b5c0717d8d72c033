"""The one flow: from a path, understood, to an answer that can be sent.

Index, artifact, member of an index or plain file: each is found in the catalog, judged fresh or
stale by pure functions, fetched at most once, and handed on as a body to be sent. No body is
read here and nothing of HTTP is decided here. What one kind of resource needs is in `indexes.py`
and `plain.py`; this file tells how they meet.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import assert_never

from proxy.core import policy as policies
from proxy.core.cache_status import CacheStatus
from proxy.core.model import (
    Absence,
    Artifact,
    Entry,
    Form,
    Index,
    Member,
    Mirror,
    Plain,
    Resource,
    Source,
    View,
)
from proxy.core.rows import Row, decode_row
from proxy.ecosystems.base import ROWS, WHOLE
from proxy.errors import (
    UNOBTAINABLE,
    Blocked,
    Denied,
    IntegrityError,
    Offline,
    ProxyError,
    StorageError,
    UpstreamMissing,
)
from proxy.gateway.answer import IMMUTABLE, Answer, Nothing, Want
from proxy.gateway.answers import (
    etag,
    file_answer,
    heading,
    keeps_promise,
    verified,
    view_answer,
)
from proxy.gateway.basis import unsure
from proxy.gateway.contexts import Contexts
from proxy.gateway.deriving import ENDING, Deriving, origin
from proxy.gateway.fetching import Fetching, Filling, Order, Unstorable
from proxy.gateway.fill import Landed
from proxy.gateway.indexes import Indexes
from proxy.gateway.members import Members
from proxy.gateway.plain import PlainFiles
from proxy.gateway.ports import Ports
from proxy.gateway.presence import is_here
from proxy.gateway.team import Elsewhere
from proxy.gateway.views import Generation, Views
from proxy.gateway.warming import Warming

FAR = 4 << 20
"""Bytes of a file that is not here beyond which a bounded range is fetched alone: a resolver
peeking at the end of a 900 MB wheel must neither wait for it nor make us fetch it."""

LANDING = 0.01
"""Seconds between a file's rename and its entry in the catalog, at the very most."""

_BOUNDED = re.compile(r"bytes=(\d+-\d+|-\d+)")  # one range with an end: not a resumed download

_TRIES = 3
"""How often an answer is looked for when what the catalog names turns out to be gone."""


class Gateway:
    """Opens resources. One instance serves all mirrors of a process."""

    def __init__(
        self,
        ports: Ports,
        *,
        indexes: Indexes,
        plain: PlainFiles,
        fetching: Fetching,
        views: Views,
        contexts: Contexts,
        warming: Warming,
        deriving: Deriving,
        members: Members,
    ) -> None:
        self._blobs = ports.blobs
        self._catalog = ports.catalog
        self._team = ports.team
        self._clock = ports.clock
        self._indexes = indexes
        self._plain = plain
        self._fetching = fetching
        self._views = views
        self._contexts = contexts
        self._warming = warming
        self._deriving = deriving
        self._members = members
        self._ecosystems = ports.ecosystems

    def configure(self, mirrors: Iterable[Mirror]) -> None:
        """Serve *mirrors* from now on; answers that are under way are not disturbed."""
        known = list(mirrors)
        self._contexts.configure(known)
        self._warming.configure(known)

    async def open(self, resource: Resource, mirror: Mirror, want: Want) -> Answer:
        """Answer a request for *resource*. The caller closes the answer.

        Raises every error of `proxy.errors` but those of the request itself.
        """
        for attempt in range(_TRIES):
            try:
                return await self._open(resource, mirror, want)
            except Landed:  # the catalog is about to know it
                await asyncio.sleep(attempt * LANDING)
            except Elsewhere as elsewhere:
                unsure()
                answer = await self._asked(elsewhere.leader, resource, want)
                if answer is not None:
                    return answer
        with self._team.alone():
            try:
                return await self._open(resource, mirror, want)
            except Landed as error:
                raise StorageError(f"{resource.path} keeps vanishing from the store") from error

    async def _asked(self, leader: int, resource: Resource, want: Want) -> Answer | None:
        """What the leader answers; None where one must look again or do it oneself."""
        try:
            return await self._team.ask(leader, resource, want)
        except Landed:
            await asyncio.sleep(LANDING)
            return None

    async def refresh(self, resource: Resource, mirror: Mirror) -> None:
        """Revalidate *resource* (a sibling worker, which served it stale, asks for it)."""
        if isinstance(resource, Index):
            self._indexes.refresh_soon(resource, mirror)
        else:
            answer = await self.open(resource, mirror, Want(head=True))
            await answer.close()

    async def _open(self, resource: Resource, mirror: Mirror, want: Want) -> Answer:
        match resource:
            case Index():
                return await self._index(resource, mirror, want)
            case Artifact():
                return await self._artifact(resource, mirror, want)
            case Member():
                return await self._members.open(resource, mirror)
            case Plain():
                return await self._plain.open(resource, mirror, want)
            case _:
                assert_never(resource)

    # -- indexes -------------------------------------------------------------------------

    async def _index(self, index: Index, mirror: Mirror, want: Want) -> Answer:
        form = want.form or index.forms[0]
        if want.head and await self._indexes.held(index, mirror) is None:
            return await self._announced(index, mirror, form)
        self._warming.served(index)
        for _ in range(_TRIES):
            current = await self._indexes.current(index, mirror)
            await self._check_not_blocked(current.generation)
            if want.head and not await self._views.find(current.generation, form.name):
                return heading(current, form)
            try:
                view = await self._views.get(current.generation, form, want.coding)
            except StorageError:
                if not await self._forget_if_lost(current.generation):
                    raise
                continue
            blob = await self._blobs.open(view.digest, view.size)
            if blob is not None:
                return view_answer(current, form, want.coding, view, blob)
            await self._lost(current.generation, view)
        raise StorageError(f"the views of {index.path} keep vanishing from the store")

    async def _check_not_blocked(self, generation: Generation) -> None:
        """Raises Blocked where nothing is left of the index and that is to be said."""
        policy = generation.context.policy
        if policy is None or policy.blocked is not policies.Blocked.REFUSE:
            return
        index = generation.index
        groups = self._ecosystems[index.mirror.partition("/")[0]].groups(index)
        if not any(ROWS in group for group in groups):
            return
        table = await self._views.table(generation)
        value = table.get(WHOLE)
        if value is not None and (denied := decode_row(value).denied) is not None:
            rule, reason = denied
            raise Blocked(index.path, rule=rule, reason=reason)

    async def _announced(self, index: Index, mirror: Mirror, form: Form) -> Answer:
        """HEAD of what is not here yet: true, and without waiting for the body."""
        if not await self._indexes.exists(index, mirror):
            raise UpstreamMissing(f"{mirror.key} has no {index.path}")
        self._indexes.refresh_soon(index, mirror)
        status = CacheStatus.forwarded("uri-miss", detail="head")
        return Answer(body=Nothing(), length=None, media_type=form.media_type, status=status)

    async def _lost(self, generation: Generation, view: View) -> None:
        """A view's blob is gone: forget it, and the generation too if its source is gone."""
        await self._catalog.forget([view.key])
        await self._forget_if_lost(generation)

    async def _forget_if_lost(self, generation: Generation) -> bool:
        """A generation whose bytes are gone is none: the next to ask fetches it anew."""
        lost = not await is_here(self._blobs, generation.entry)
        if lost:
            await self._catalog.forget([generation.index.key])
        return lost

    # -- artifacts -----------------------------------------------------------------------

    async def _artifact(self, artifact: Artifact, mirror: Mirror, want: Want) -> Answer:
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
        if want.head:  # the index does not tell the size: upstream does, without the body
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
                await self._forget_if_lost(generation)
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
    rule, reason = row.denied
    if rule == policies.ABSENT.name:
        raise Offline(f"{artifact.mirror} is offline, and {artifact.path} is not here")
    raise Denied(artifact.path.rpartition("/")[2], rule=rule, reason=reason)


def _unlisted(artifact: Artifact) -> ProxyError:
    """What to say of a file that the index does not list."""
    filename = artifact.path.rpartition("/")[2]
    if artifact.fallback is None:
        return UpstreamMissing(f"{artifact.index.path} of {artifact.mirror} lists no {filename}")
    reason = "the index does not list it, so that the policy cannot judge it"
    return Denied(filename, rule="unlisted", reason=reason)


def _as_plain(artifact: Artifact, source: Source) -> Plain:
    """An artifact whose bytes no index vouches for is treated as any shared cache would."""
    return Plain(
        mirror=artifact.mirror,
        path=artifact.path,
        source=source,
        media_type=artifact.media_type,
        by_platform=artifact.by_platform,
    )
