"""Views: the forms of an index that clients see, made once for each distinct input.

A view is named by what it is made from: the index, upstream's bytes, the context and the recipe
of the code. When one of these changes so does the name, so nothing is ever invalidated; old
views are forgotten by age. The table of contents of a view is mapped into memory when first
asked for and kept while it is in use.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from proxy.core.blocks import Rows
from proxy.core.model import Digest, Entry, Form, Index, View
from proxy.ecosystems.base import ROWS, Context, Ecosystem
from proxy.errors import StorageError
from proxy.gateway.flights import Flights
from proxy.gateway.pool import Pool
from proxy.gateway.ports import Ports
from proxy.gateway.render import EncodeJob, Output, RenderJob, encode, render
from proxy.gateway.supplement import supplement_of
from proxy.gateway.tables import Tables
from proxy.storage.ports import Stored

PACKS = ("shardpack",)
"""The forms that are packs, of which unchanged parts are taken over."""

PASSING = frozenset({"batches"})
"""The forms that are there for the next generation alone: of each only the newest is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One version of an index as upstream sent it, seen in one context."""

    index: Index
    entry: Entry
    context: Context
    recipe: int

    @property
    def name(self) -> str:
        """What its views are named by: everything that a rendering depends on."""
        entry = self.entry
        parts = [entry.digest, entry.source, entry.url, entry.media_type, self.context.digest]
        parts += [str(self.recipe), *(supplement_of(entry) or ())]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def key(self, form: str) -> str:
        return f"{family(self.index, form)}{self.name}"


def family(index: Index, form: str) -> str:
    """The common beginning of the keys of all generations of one form."""
    return f"view {index.key}\t{form}\t"


def _lasting(group: frozenset[str]) -> str:
    """A form that is there whenever those are that are made with it."""
    return min(group - PASSING)


class Views:
    """Finds views, and has them made."""

    def __init__(self, ports: Ports, pool: Pool) -> None:
        self._blobs = ports.blobs
        self._catalog = ports.catalog
        self._ecosystems = ports.ecosystems
        self._clock = ports.clock
        self._events = ports.events
        self._pool = pool
        self._flights: Flights[str, None] = Flights(lambda _key, _error: None)
        self._tables = Tables()

    def generation(self, index: Index, entry: Entry, context: Context) -> Generation:
        """Bind *entry* to the way it is shown."""
        ecosystem = self._ecosystem(index)
        return Generation(index=index, entry=entry, context=context, recipe=ecosystem.recipe)

    async def get(self, generation: Generation, form: Form, coding: str = "identity") -> View:
        """The view in *form*, made if need be. Raises BadIndex, StorageError."""
        view = await self._named(generation, form.name)
        if coding == "identity":
            return view
        key = generation.key(f"{form.name}+{coding}")
        found = await self._find(key)
        if found is None:
            work = partial(self._encode, key, await self._here(generation, form.name), coding)
            found = await self._made(key, work)
        return found

    async def find(self, generation: Generation, form: str) -> View | None:
        """The view, if it has been made already."""
        return await self._find(generation.key(form))

    async def prepare(self, generation: Generation) -> None:
        """Make what clients will ask for: the first group, and what earlier generations had.

        Raises BadIndex where upstream's body is not a readable index: the generation must
        then not be used.
        """
        index = generation.index
        wanted = [
            _lasting(group)
            for number, group in enumerate(self._ecosystem(index).groups(index))
            if number == 0 or await self._catalog.keys(family(index, _lasting(group)))
        ]
        # All of them end before one's failure is told: none is left at work behind it.
        made = await asyncio.gather(
            *(self._named(generation, form) for form in wanted), return_exceptions=True
        )
        for result in made:
            if isinstance(result, BaseException):
                raise result

    async def table(self, generation: Generation, form: str = ROWS) -> Rows:
        """The row table (or pack) of this generation, mapped. Raises BadIndex, StorageError."""
        found = await self.readable(await self._named(generation, form))
        if found is not None:
            return found
        return await self.open_table(await self._named(generation, form))  # made again, once

    async def rows(self, generation: Generation) -> View:
        """The row table itself, which is there. Raises BadIndex, StorageError."""
        return await self._here(generation, ROWS)

    async def readable(self, view: View) -> Rows | None:
        """The table that *view* is; one that was swept, is damaged or is of an older version of
        this proxy is forgotten.
        """
        try:
            return await self.open_table(view)
        except StorageError:
            if await self.instead(view) is None:
                await self._catalog.forget([view.key])
                await self._blobs.remove([view.digest])
            return None

    async def instead(self, view: View) -> View | None:
        """What a sibling process has put in the place of *view*, as it is known here; None: it has
        not.
        """
        found = await self._catalog.get(view.key)
        return found if isinstance(found, View) and found.digest != view.digest else None

    async def open_table(self, view: View) -> Rows:
        """Map the table that *view* is."""
        self._blobs.used(view.digest)
        return await self._tables.open(view.digest, self._blobs.path(view.digest))

    async def packs(self, index: Index, form: str) -> list[View]:
        """All remembered generations of a pack, newest first."""
        found = [await self._find(key) for key in await self._catalog.keys(family(index, form))]
        return sorted((v for v in found if v is not None), key=lambda v: v.made_at, reverse=True)

    async def aclose(self) -> None:
        await self._flights.aclose()
        self._tables.clear()

    def _ecosystem(self, index: Index) -> Ecosystem:
        return self._ecosystems[index.mirror.partition("/")[0]]

    async def _named(self, generation: Generation, form: str) -> View:
        key = generation.key(form)
        found = await self._find(key)
        if found is not None:
            return found
        index = generation.index
        groups = self._ecosystem(index).groups(index)
        group = next((group for group in groups if form in group), None)
        if group is None:
            raise StorageError(f"{index.path} has no form {form}")
        flight = generation.key(_lasting(group))
        await self._flights.join(flight, partial(self._render, generation, group))
        found = await self._find(key)
        if found is None:
            raise StorageError(f"the {form} form of {index.path} vanished while it was made")
        return found

    async def _made(self, key: str, work: Callable[[Callable[[None], None]], object]) -> View:
        await self._flights.join(key, work)  # type: ignore[arg-type]
        found = await self._find(key)
        if found is None:
            raise StorageError("a view vanished while it was made")
        return found

    async def _here(self, generation: Generation, form: str) -> View:
        """The view in *form*, made again if its bytes are gone: a sibling process may have
        forgotten it.
        """
        view = await self._named(generation, form)
        blob = await self._blobs.open(view.digest, view.size)
        if blob is not None:
            blob.close()
            return view
        if await self.instead(view) is None:
            await self._catalog.forget([view.key])
        return await self._named(generation, form)

    async def _find(self, key: str) -> View | None:
        """A view as it was last seen; its bytes may be gone since."""
        seen = self._catalog.peek(key)
        found = seen if isinstance(seen, View) else await self._catalog.get(key)
        return found if isinstance(found, View) else None

    async def _render(
        self, generation: Generation, forms: frozenset[str], publish: Callable[[None], None]
    ) -> None:
        entry = generation.entry
        held = await self._blobs.open(entry.digest, entry.size)
        if held is None:
            raise StorageError(f"the bytes of {generation.index.path} are no longer in the store")
        with contextlib.closing(held):  # what is open is not evicted
            outputs = await self._rendered(generation, forms)
        for output in outputs:
            await self._keep(generation.key(output.form), output, "")
            if output.form == ROWS:
                self._events.hid(generation.index, output.hidden)
            if output.form in PASSING:
                await self._forget_others(generation, output.form)
        publish(None)

    async def _forget_others(self, generation: Generation, form: str) -> None:
        """Remember nothing of that form but what is of *generation*; a sweep removes the bytes."""
        keys = await self._catalog.keys(family(generation.index, form))
        await self._catalog.forget([key for key in keys if key != generation.key(form)])

    async def _rendered(self, generation: Generation, forms: frozenset[str]) -> list[Output]:
        entry, context = generation.entry, generation.context
        seen, gate, closure = context.first_seen, context.gate, context.closure
        job = RenderJob(
            index=generation.index,
            blob=self._blobs.path(entry.digest),
            source=entry.source,
            media_type=entry.media_type,
            url=entry.url,
            context=context,
            forms=forms,
            workspace=self._blobs.workspace,
            first_seen=None if seen is None else self._blobs.path(seen),
            gate=None if gate is None else self._blobs.path(gate),
            supplement=self._supplement(generation),
            gates=tuple((path, self._blobs.path(rows)) for path, rows in context.gates),
            closure=None if closure is None else self._blobs.path(closure),
            earlier=await self._earlier(generation.index, forms),
        )
        started = self._clock()
        outputs = await self._pool.run(render, job, size=entry.size)
        self._events.rendered(generation.index, forms, self._clock() - started)
        return outputs

    def _supplement(self, generation: Generation) -> tuple[Path, str] | None:
        found = supplement_of(generation.entry)
        return None if found is None else (self._blobs.path(found[0]), found[1])

    async def _earlier(self, index: Index, forms: frozenset[str]) -> dict[str, tuple[Path, Digest]]:
        """Those *forms* of the newest generation of which there is a pack."""
        pack = next((form for form in forms if form in PACKS), None)
        found = [] if pack is None else await self.packs(index, pack)
        if not found or pack is None:
            return {}
        name = found[0].key.removeprefix(family(index, pack))
        views = {form: await self._find(f"{family(index, form)}{name}") for form in forms}
        return {f: (self._blobs.path(one.digest), one.digest) for f, one in views.items() if one}

    async def _encode(
        self, key: str, view: View, coding: str, publish: Callable[[None], None]
    ) -> None:
        job = EncodeJob(
            blob=self._blobs.path(view.digest), coding=coding, workspace=self._blobs.workspace
        )
        (output,) = await self._pool.run(encode, job, size=view.size)
        await self._keep(key, output, view.media_type)
        publish(None)

    async def _keep(self, key: str, output: Output, media_type: str) -> None:
        await self._blobs.adopt(output.path, Stored(digest=output.digest, size=output.size))
        await self._catalog.put(
            View(
                key=key,
                digest=output.digest,
                size=output.size,
                media_type=media_type,
                made_at=self._clock(),
            )
        )
