"""The cache over the API: statistics, search, purge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec

from proxy.errors import UnknownMirror
from proxy.gateway.upkeep import Holding, Purged, Statistics, Upkeep
from proxy.storage.verify import Findings
from proxy.web.admin.operations import ROOT, Call, Operation
from proxy.web.paths import Mirrors

Limit = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Paths of a mirror that match `pattern` (with `*` and `?`), from behind `after` on."""

    mirror: Text
    pattern: Text = "*"
    after: str = ""
    limit: Limit = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Some of the `matching` paths; `next` is what to give as `after` for more, or None."""

    matching: int
    entries: tuple[Holding, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """What of a mirror to take out: a path, or a pattern with `*` and `?` (`*`: everything)."""

    mirror: Text
    pattern: Text


class CacheDesk:
    """Answers for the cache of a running server."""

    def __init__(
        self,
        upkeep: Upkeep,
        mirrors: Callable[[], Mirrors],
        verify: Callable[[], Awaitable[Findings]],
    ) -> None:
        """*verify* raises Conflict where it is at work already."""
        self._upkeep = upkeep
        self._mirrors = mirrors
        self._verify = verify

    def operations(self) -> tuple[Operation, ...]:
        """Those of the API."""
        unknown = {404: "Neither a mirror nor anything in the cache is called so."}
        return (
            Operation(
                method="GET",
                path=f"{ROOT}/cache",
                name="cache_statistics",
                summary="What the cache holds, by mirror. Reads the whole catalog.",
                answer=Statistics,
                run=self._statistics,
            ),
            Operation(
                method="GET",
                path=f"{ROOT}/cache/entries",
                name="search_cache",
                summary="What is remembered of a mirror's paths.",
                query=Search,
                answer=Found,
                run=self._search,
                fails=unknown,
            ),
            Operation(
                method="POST",
                path=f"{ROOT}/cache/purge",
                name="purge_cache",
                summary="Take out what a mirror has at some paths; it is fetched again when asked.",
                body=Purge,
                answer=Purged,
                run=self._purge,
                fails=unknown,
            ),
            Operation(
                method="POST",
                path=f"{ROOT}/cache/verify",
                name="verify_cache",
                summary="Read the whole cache through, and repair it. Takes its time.",
                answer=Findings,
                run=self._verified,
                fails={409: "It is being read through already."},
            ),
        )

    async def search(self, wanted: Search) -> Found:
        """Raises UnknownMirror, StorageError."""
        found, matching = await self._upkeep.search(
            wanted.mirror, wanted.pattern, after=wanted.after, limit=wanted.limit
        )
        if not matching:
            self._check(wanted.mirror)
        more = len(found) == wanted.limit
        return Found(matching=matching, entries=tuple(found), next=found[-1].path if more else None)

    async def _statistics(self, call: Call) -> Statistics:
        return await self._upkeep.statistics()

    async def _search(self, call: Call) -> Found:
        return await self.search(call.query)

    async def _purge(self, call: Call) -> Purged:
        purge: Purge = call.body
        purged = await self._upkeep.purge(purge.mirror, purge.pattern)
        if not purged.paths:  # of a mirror that is gone something may well be here
            self._check(purge.mirror)
        return purged

    async def _verified(self, call: Call) -> Findings:
        return await self._verify()

    def _check(self, key: str) -> None:
        if self._mirrors().get(key) is None:
            raise UnknownMirror(f"there is no mirror {key!r}; write it as <type>/<name>")
