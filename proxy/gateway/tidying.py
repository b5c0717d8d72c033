"""What becomes of superseded views: they are forgotten after a few hours, but for parts of packs.

Clients use an index for a day without asking, and fail when a part that it names is missing;
everything else that an older index came in can be made again whenever somebody asks for it. So a
superseded pack is *thinned*: under its key there is then a remnant, a pack of those members that
neither the next nor the newest pack of its family has. Those were made later, are thinned later in
the same way and forgotten later: what any pack had is in it, or in one of those behind it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from proxy.core.model import Digest, View
from proxy.core.rows import Table, build
from proxy.errors import StorageError
from proxy.gateway.pool import Pool
from proxy.gateway.render import Output, mapped, written
from proxy.gateway.views import PACKS
from proxy.storage.ports import Blobs, Catalog, Stored
from proxy.storage.sweep import TURN

SERVED = 3 * 3600.0
"""Seconds for which a superseded view may still be the one that is shown: views are made ahead for
the next hour, and the present one is needed until that is over."""

Failed = Callable[[str, BaseException], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done with the views of one form of one index: some are forgotten, and of
    packs some are thinned, in this order, each down to what those lack that stand behind it.
    """

    forgotten: Sequence[View]
    thinned: Sequence[tuple[View, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tidied:
    """What a tidying did: how many views were forgotten, how many packs thinned.

    `dropped` names the blobs of both: those that nothing else needs may go.
    """

    forgotten: int
    thinned: int
    dropped: frozenset[Digest]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinJob:
    """Make a remnant of the pack at `pack`, which has what the `newer` ones lack."""

    pack: Path
    newer: tuple[Path, ...]
    workspace: Path


def thin(job: ThinJob) -> Output | None:
    """Run one such job; None: nothing is left of the pack. Raises StorageError."""
    try:
        known: set[str] = set()
        for path in job.newer:
            with mapped(path) as newer:
                known.update(Table(newer).keys())
        with mapped(job.pack) as pack:
            left = [(key, value) for key, value in Table(pack).views() if key not in known]
            return written("remnant", build(left), job.workspace) if left else None
    except OSError as error:
        raise StorageError(f"thinning {job.pack.name}: {error}") from error


def has_more_to_lose(job: ThinJob) -> bool:
    """Whether the job is worth doing: the last entry of a pack says what is in it, and has the
    same key in each generation; a remnant lacks it. Of packs that cannot be read it is worth it:
    that is told then.
    """
    try:
        with mapped(job.pack) as pack:
            table = Table(pack)
            last = table.key(len(table) - 1).decode(errors="replace") if len(table) else None
        return last is None or any(_has(path, last) for path in job.newer)
    except (OSError, StorageError):
        return True


def planned(views: Collection[View], *, keep_for: float, now: float) -> Plan:
    """What to do at *now* with *views*, at least one, all of one form of one index.

    Of the newest generation everything is kept whatever its age: its index may not have changed
    since. Packs, and what is left of them, are kept for *keep_for* seconds.
    """
    generations: dict[str, list[View]] = defaultdict(list)
    for view in views:
        generations[_name(view.key)].append(view)
    # The form itself was made before its codings, and has the shortest key.
    first = {name: min(some, key=lambda one: len(one.key)) for name, some in generations.items()}
    ordered = sorted(first.items(), key=lambda one: (one[1].made_at, one[0]))
    newest = ordered[-1][1]
    is_pack = _form(newest.key).rpartition("\t")[2] in PACKS
    kept_for = keep_for if is_pack else min(keep_for, SERVED)
    forgotten: list[View] = []
    thinned: list[tuple[View, ...]] = []
    for (name, view), (_, following) in pairwise(ordered):
        if view.made_at < now - kept_for:
            forgotten += generations[name]
        elif view.made_at < now - SERVED:
            thinned.append((view, *dict.fromkeys((following, newest))))
    return Plan(forgotten=forgotten, thinned=thinned)


class Tidying:
    """Tidies one store's views up. Several processes may do so at the same time."""

    def __init__(
        self, blobs: Blobs, catalog: Catalog, pool: Pool, *, keep_for: float, failed: Failed
    ) -> None:
        """*keep_for*: seconds for which superseded packs are kept. *failed* hears of those that
        could not be thinned, by key.
        """
        self._blobs = blobs
        self._catalog = catalog
        self._pool = pool
        self._keep_for = keep_for
        self._failed = failed

    async def run(self, now: float) -> Tidied:
        """Tidy up as of *now* (seconds since the epoch). Raises StorageError."""
        dropped: list[View] = []
        thinned: list[tuple[View, ...]] = []
        async for views in self._superseded():
            plan = planned(views, keep_for=self._keep_for, now=now)
            await self._catalog.forget([view.key for view in plan.forgotten])
            dropped += plan.forgotten
            thinned += plan.thinned
        forgotten = len(dropped)
        dropped += [pack for pack, *newer in thinned if await self._is_thinned(pack, newer)]
        return Tidied(
            forgotten=forgotten,
            thinned=len(dropped) - forgotten,
            dropped=frozenset(view.digest for view in dropped),
        )

    async def _superseded(self) -> AsyncIterator[list[View]]:
        """The views of those forms of which there is more than one generation."""
        keys = await self._catalog.keys("view ")
        number = 0
        for some in await asyncio.to_thread(_by_form, keys):
            views: list[View] = []
            for key in some:
                if number % TURN == 0:
                    await asyncio.sleep(0)
                number += 1
                value = await self._catalog.get(key)
                if isinstance(value, View):
                    views.append(value)
            if views:
                yield views

    async def _is_thinned(self, pack: View, newer: Sequence[View]) -> bool:
        """Thin *pack*, if there is need; returns whether its blob is no longer used for it."""
        job = ThinJob(
            pack=self._blobs.path(pack.digest),
            newer=tuple(self._blobs.path(one.digest) for one in newer),
            workspace=self._blobs.workspace,
        )
        # Where what is new goes to another folder, no room is made in that of the pack: it is only
        # read, or so full that the other one is used which is not kept.
        if not job.pack.is_relative_to(job.workspace.parent):
            return False
        try:
            if not await asyncio.to_thread(has_more_to_lose, job):
                return False
            for one in (*newer, pack):
                await self._check(one)
            output = await self._pool.run(thin, job, size=pack.size)
            return await self._is_replaced(pack, output)
        except StorageError as error:
            self._failed(pack.key, error)
            return False

    async def _is_replaced(self, pack: View, output: Output | None) -> bool:
        try:
            if await self._catalog.get(pack.key) != pack:  # it was made anew meanwhile
                return False
            if output is None:
                await self._catalog.forget([pack.key])
            else:
                stored = Stored(digest=output.digest, size=output.size)
                await self._blobs.adopt(output.path, stored)
                remnant = replace(pack, digest=stored.digest, size=stored.size)
                await self._catalog.put(remnant)
            return True
        finally:
            if output is not None:
                output.path.unlink(missing_ok=True)

    async def _check(self, pack: View) -> None:
        """Forget a pack that is damaged, or of an older version of this proxy: what is copied out
        of it would be found to be whole. Raises StorageError then.
        """
        is_whole = await self._blobs.check(pack.digest) is not None
        if not is_whole or not await asyncio.to_thread(_is_pack, self._blobs.path(pack.digest)):
            await self._catalog.forget([pack.key])
            raise StorageError(f"a pack of {pack.size} bytes cannot be read, and is forgotten")


def _has(path: Path, key: str) -> bool:
    with mapped(path) as content:
        return Table(content).find(key) is not None


def _is_pack(path: Path) -> bool:
    try:
        with mapped(path) as content:
            Table(content)
    except (OSError, StorageError):
        return False
    return True


def _by_form(keys: Iterable[str]) -> list[list[str]]:
    """The *keys* of all views of one form of one index, of all codings, together; only those of
    which there is more than one generation.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        found[_form(key)].append(key)
    return [some for some in found.values() if len({_name(key) for key in some}) > 1]


def _form(key: str) -> str:
    """What the key of a view begins with, whatever its coding: its index and its form."""
    index, _, form = key.rpartition("\t")[0].rpartition("\t")
    return f"{index}\t{form.partition('+')[0]}"


def _name(key: str) -> str:
    """The generation that the key of a view names."""
    return key.rpartition("\t")[2]
