"""Parts of rendered indexes (repodata shards), asked for by their digests.

Clients hold an index for hours without asking again, and fail when a part it names is missing: so
parts of generations not long gone are served, too, unless they list what is now hidden.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from proxy.core.cache_status import CacheStatus
from proxy.core.model import Member, Mirror, View
from proxy.core.rows import decode_row
from proxy.errors import UpstreamMissing
from proxy.gateway.answer import IMMUTABLE, Answer, Slice
from proxy.gateway.contexts import Contexts
from proxy.gateway.indexes import Indexes
from proxy.gateway.ports import Ports
from proxy.gateway.refusals import denial
from proxy.gateway.views import Views


class Members:
    """Finds them."""

    def __init__(self, ports: Ports, *, indexes: Indexes, views: Views, contexts: Contexts) -> None:
        self._blobs = ports.blobs
        self._ecosystems = ports.ecosystems
        self._indexes = indexes
        self._views = views
        self._contexts = contexts

    async def open(self, member: Member, mirror: Mirror) -> Answer:
        """A part of an index by its digest: of this generation or of one not long gone.

        Clients hold an index for hours without asking again, and fail when a part it names is
        missing.
        """
        async for pack in self._packs(member, mirror):
            answer = await self._slice(member, pack)
            if answer is not None:
                try:
                    await self._check_shown(member, mirror, pack, answer)
                except BaseException:
                    await answer.close()
                    raise
                return answer
        current = await self._indexes.current(member.index, mirror)
        pack = await self._views.get(current.generation, member.pack)
        answer = await self._slice(member, pack)
        if answer is None:
            raise UpstreamMissing(f"no index of {mirror.key} names {member.path}")
        return answer

    async def _check_shown(
        self, member: Member, mirror: Mirror, pack: View, answer: Answer
    ) -> None:
        """Raises Denied where the policy now hides something that an older part lists."""
        if self._contexts.of(mirror.key).policy is None:
            return
        generation = (await self._indexes.current(member.index, mirror)).generation
        if pack.key == generation.key(member.pack.name):
            return
        part = answer.body
        assert isinstance(part, Slice)
        listed = os.pread(part.blob.fileno(), part.length, part.start)
        table = await self._views.table(generation)
        for filename in self._ecosystems[mirror.type].listed(listed):
            value = table.get(filename)
            row = None if value is None else decode_row(value)
            if row is not None and row.denied is not None:
                raise denial(row.denied, row.until, name=filename)

    async def _packs(self, member: Member, mirror: Mirror) -> AsyncIterator[View]:
        """The packs that are here; first the newest generation's, nearly always the right one."""
        entry = await self._indexes.held(member.index, mirror)
        if entry is not None:
            generation = await self._indexes.generation(member.index, mirror, entry)
            newest = await self._views.find(generation, member.pack.name)
            if newest is not None:
                yield newest
        for pack in await self._views.packs(member.index, member.pack.name):
            yield pack

    async def _slice(self, member: Member, pack: View) -> Answer | None:
        table = await self._views.readable(pack)
        found = None if table is None else table.find(member.row)
        if table is not None and found is None:
            return None
        blob = None if found is None else await self._blobs.open(pack.digest, pack.size)
        if found is None or blob is None:
            # What is left of one that was thinned just now has what no newer pack has.
            remnant = await self._views.instead(pack)
            return None if remnant is None else await self._slice(member, remnant)
        answer = Answer(
            body=Slice(blob, *found),
            length=found[1],
            media_type=member.media_type,
            status=CacheStatus.hit(),
            etag=f'"{member.row}"',
            cache_control=IMMUTABLE,
        )
        answer.holding.callback(blob.close)
        return answer
