"""The one flow: from a path, understood, to an answer that can be sent.

Index, artifact, member of an index or plain file: each is found in the catalog, judged fresh or
stale by pure functions, fetched at most once, and handed on as a body to be sent. No body is
read here and nothing of HTTP is decided here. What one kind of resource needs is in `indexes.py`,
`artifacts.py`, `members.py` and `plain.py`; this file tells how they meet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager
from typing import assert_never

from proxy.core import policy as policies
from proxy.core.cache_status import CacheStatus
from proxy.core.model import (
    Artifact,
    Form,
    Index,
    Member,
    Mirror,
    Plain,
    Resource,
    View,
)
from proxy.core.rows import decode_row
from proxy.ecosystems.base import REFUSAL, ROWS, WHOLE
from proxy.errors import (
    Blocked,
    Denied,
    StorageError,
    UpstreamMissing,
)
from proxy.gateway.answer import Answer, Nothing, Passing, Slice, Want
from proxy.gateway.answers import (
    heading,
    view_answer,
)
from proxy.gateway.artifacts import Artifacts
from proxy.gateway.basis import unsure
from proxy.gateway.contexts import Contexts
from proxy.gateway.fill import Landed
from proxy.gateway.indexes import Indexes
from proxy.gateway.members import Members
from proxy.gateway.plain import PlainFiles
from proxy.gateway.ports import Ports
from proxy.gateway.presence import forget_if_lost
from proxy.gateway.refusals import refusal
from proxy.gateway.resuming import rest
from proxy.gateway.team import Elsewhere
from proxy.gateway.views import Generation, Views
from proxy.gateway.warming import Warming

LANDING = 0.01
"""Seconds between a file's rename and its entry in the catalog, at the very most, unless whoever
does it is kept from going on: by other work on its processor, or by a slow disk.
"""

LOOKS = 25
"""How often it is looked for until then, each time `LANDING` later than the last: three seconds."""

_TRIES = 3
"""How often an answer is looked for when what the catalog names turns out to be gone."""


class Gateway:
    """Opens resources. One instance serves all mirrors of a process."""

    def __init__(
        self,
        ports: Ports,
        *,
        indexes: Indexes,
        artifacts: Artifacts,
        plain: PlainFiles,
        views: Views,
        contexts: Contexts,
        warming: Warming,
        members: Members,
    ) -> None:
        self._ports = ports
        self._blobs = ports.blobs
        self._catalog = ports.catalog
        self._team = ports.team
        self._indexes = indexes
        self._artifacts = artifacts
        self._plain = plain
        self._views = views
        self._contexts = contexts
        self._warming = warming
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
        answer = await self._found(resource, mirror, want)
        if not isinstance(answer.body, Slice | Passing | Nothing):

            def from_(offset: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
                return rest(self._found, resource, mirror, want, before=answer, offset=offset)

            answer.rest = from_
        return answer

    async def _found(self, resource: Resource, mirror: Mirror, want: Want) -> Answer:
        for _ in range(_TRIES):
            try:
                return await self._landed(resource, mirror, want)
            except Elsewhere as elsewhere:
                unsure()
                answer = await self._asked(elsewhere.leader, resource, want)
                if answer is not None:
                    return answer
        with self._team.alone():
            return await self._landed(resource, mirror, want)

    async def _landed(self, resource: Resource, mirror: Mirror, want: Want) -> Answer:
        """The answer, as soon as the catalog knows a file that has just been renamed."""
        for look in range(LOOKS):
            try:
                return await self._open(resource, mirror, want)
            except Landed:
                await asyncio.sleep(look * LANDING)
        raise StorageError(f"{resource.path} keeps vanishing from the store")

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
                return await self._artifacts.open(resource, mirror, want)
            case Member():
                return await self._members.open(resource, mirror)
            case Plain():
                return await self._plain.open(resource, mirror, want)
            case _:
                assert_never(resource)

    # -- indexes -------------------------------------------------------------------------

    async def _index(self, index: Index, mirror: Mirror, want: Want) -> Answer:
        form = want.form or index.forms[0]
        is_unknown = want.head and await self._indexes.held(index, mirror) is None
        if is_unknown and self._refusing(index, self._contexts.of(mirror.key).policy) is None:
            return await self._announced(index, mirror, form)
        self._warming.served(index)
        for _ in range(_TRIES):
            current = await self._indexes.current(index, mirror)
            await self._check_not_refused(current.generation)
            if want.head and not await self._views.find(current.generation, form.name):
                return heading(current, form)
            try:
                view = await self._views.get(current.generation, form, want.coding)
            except StorageError:
                if not await forget_if_lost(self._ports, current.generation):
                    raise
                continue
            blob = await self._blobs.open(view.digest, view.size)
            if blob is not None:
                return view_answer(current, form, want.coding, view, blob)
            await self._lost(current.generation, view)
        raise StorageError(f"the views of {index.path} keep vanishing from the store")

    async def _check_not_refused(self, generation: Generation) -> None:
        """Raises Denied where nothing is left of the index and that is to be said."""
        index, policy = generation.index, generation.context.policy
        form = self._refusing(index, policy)
        if policy is None or form is None:
            return
        value = (await self._views.table(generation, form)).get(WHOLE)
        if value is not None and (row := decode_row(value)).denied is not None:
            kind = Blocked if policy.blocked is policies.Blocked.REFUSE else Denied
            raise refusal(index.mirror, index.path, row, name=index.path, kind=kind)

    def _refusing(self, index: Index, policy: policies.Policy | None) -> str | None:
        """The form that says whether *index* is refused as a whole; None: it never is."""
        if policy is None:
            return None
        groups = self._ecosystems[index.mirror.partition("/")[0]].groups(index)
        forms = {form for group in groups for form in group}
        if REFUSAL in forms:
            return REFUSAL
        return ROWS if ROWS in forms and policy.blocked is policies.Blocked.REFUSE else None

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
        await forget_if_lost(self._ports, generation)
