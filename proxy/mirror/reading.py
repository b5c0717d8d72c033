"""What a run has done by the gateway: indexes revalidated, surveyed, files opened or found here.

The one place where runs meet the gateway. Whatever they fetch goes through `gateway.open`, like a
client's request, with the same checks, the same single flights and the same entries.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from proxy.core.digest import digest_of
from proxy.core.model import Entry, Index, Mirror, Resource
from proxy.ecosystems.base import ROWS
from proxy.errors import UpstreamFailed, UpstreamMissing
from proxy.gateway.answer import Answer, Want
from proxy.gateway.engine import Engine
from proxy.gateway.presence import is_here
from proxy.mirror.ledger_file import Item
from proxy.mirror.plan import policy_of
from proxy.mirror.survey import Surveyed, SurveyJob, survey


class Reading:
    """The gateway, as runs use it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ports = engine.ports

    def begins(self, mirror: Mirror) -> list[str]:
        """The paths of the indexes that a run of *mirror* reads first."""
        assert mirror.active is not None
        found = self._ports.ecosystems[mirror.type].begins(mirror.key, mirror.active.scope)
        return [index.path for index in found]

    async def read(self, mirror: Mirror, path: str, *, newer_than: float) -> None:
        """See that the index at *path* is here as upstream has it after that time.

        Raises UpstreamMissing, the other upstream errors, BadIndex and StorageError.
        """
        with self._ports.team.alone():
            index = self._index(mirror, path)
            current = await self._engine.indexes.current(index, live(mirror), newer_than=newer_than)
        entry = current.generation.entry
        stand_in = self._ports.ecosystems[mirror.type].absent_body(index)
        if stand_in is not None and entry.digest == digest_of(stand_in):
            raise UpstreamMissing(f"{mirror.key} has no {path}")
        if entry.checked_at < newer_than:
            # Clients may be shown what is here; a run would take it for what upstream has.
            raise UpstreamFailed(f"{path} cannot be had anew: {current.status.detail}")

    async def settle(self, seconds: float) -> None:
        """Let what has come be remembered, which is a moment after its last byte was read."""
        await self._engine.fetching.drain(seconds)

    async def survey(self, mirror: Mirror, path: str, *, ledger: Path, run: str) -> Surveyed:
        """Plan what the index at *path*, which has been read, offers. Raises what `read` does."""
        assert mirror.active is not None
        index, blobs, scope = self._index(mirror, path), self._ports.blobs, mirror.active.scope
        with self._ports.team.alone():
            current = await self._engine.indexes.current(index, live(mirror))
            entry = current.generation.entry
            rows = closure = None
            if self.lists_files(mirror, path):
                rows = await self._engine.views.rows(current.generation)
                closure = await self._engine.indexes.closure(
                    index, live(mirror), entry, policy_of(scope, mirror.type)
                )
            job = SurveyJob(
                index=index,
                blob=blobs.path(entry.digest),
                source=entry.source,
                media_type=entry.media_type,
                url=entry.url,
                rows=None if rows is None else blobs.path(rows.digest),
                scope=scope,
                closure=None if closure is None else blobs.path(closure),
                ledger=ledger,
                run=run,
                now=self._ports.clock(),
            )
            return await self._engine.pool.run(survey, job, size=entry.size)

    def lists_files(self, mirror: Mirror, path: str) -> bool:
        """Whether the index at *path* has rows of files, which decide for themselves."""
        index, ecosystem = self._index(mirror, path), self._ports.ecosystems[mirror.type]
        rowed = any(ROWS in group for group in ecosystem.groups(index))
        return rowed and ecosystem.decided_by(index) is None

    async def is_here(self, mirror: Mirror, item: Item) -> bool:
        """Whether the file that *item* promises can be served without asking upstream."""
        held = await self._ports.catalog.get(f"{mirror.key} {item.path}")
        if not isinstance(held, Entry) or not _is_promised(held, item.promise):
            return False
        return await is_here(self._ports.blobs, held)

    async def look(self, mirror: str, path: str) -> None:
        """Know what another process may have written of *path*."""
        await self._ports.catalog.get(f"{mirror} {path}")

    async def open(self, mirror: Mirror, path: str) -> Answer:
        """Open a file as a client would. Raises what the gateway raises."""
        resource = self._resource(mirror, path)
        # Siblings see a frozen mirror frozen, and would not find what is new in it.
        alone = self._ports.team.alone() if mirror.frozen_at else contextlib.nullcontext()
        with alone:
            return await self._engine.gateway.open(resource, live(mirror), Want())

    async def forget(self, mirror: Mirror, paths: list[str]) -> None:
        """Let these files go; their bytes are removed when the store is next swept."""
        await self._ports.catalog.forget([f"{mirror.key} {path}" for path in paths])

    def _index(self, mirror: Mirror, path: str) -> Index:
        found = self._resource(mirror, path)
        assert isinstance(found, Index)
        return found

    def _resource(self, mirror: Mirror, path: str) -> Resource:
        return self._ports.ecosystems[mirror.type].classify(mirror.key, path)


def live(mirror: Mirror) -> Mirror:
    """*mirror* as upstream has it, whether frozen for clients or not."""
    return mirror if mirror.frozen_at is None else replace(mirror, frozen_at=None)


def _is_promised(held: Entry, promise: str) -> bool:
    if not promise:
        return True
    name, _, value = promise.partition("=")
    verified = held.headers.get("verified", "").split(",")
    return (name == "sha256" and held.digest == value) or promise in verified
