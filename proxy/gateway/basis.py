"""What an answer rests on: what was looked at in the catalog, and for how long that holds.

Whoever wants to give an answer again without asking the flow must know when the flow would give
another one. So while `gathered` is entered, what the flow reads is noted (`Watched`), and what
depends on time says until when it holds (`holds_until`). Answers that rest on something that
cannot be named so are `unsure` and are not to be kept.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

from proxy.core.digest import Digest
from proxy.core.freshness import Before, Fresh
from proxy.storage.ports import Catalog, Remembered

Changed = Callable[[str, Remembered | None], None]
"""Hears that under a key there is this value now, perhaps the same as before; for the key of a
mirror: that this value is new there."""


@dataclass(slots=True)
class Basis:
    """What one answer rests on: values by key, and of which mirrors it is known what is here.

    `until`: seconds since the epoch at which it ends by itself.
    """

    seen: dict[str, Remembered | None] = field(default_factory=dict)
    mirrors: set[str] = field(default_factory=set)
    until: float = math.inf

    @property
    def is_sound(self) -> bool:
        """Whether it can be told when it changes: another process may add what was absent."""
        return self.until > 0 and None not in self.seen.values()


_gathered: ContextVar[Basis | None] = ContextVar("gathered", default=None)


@contextlib.contextmanager
def gathered() -> Iterator[Basis]:
    """While entered, what the current task looks at is gathered."""
    basis = Basis()
    token = _gathered.set(basis)
    try:
        yield basis
    finally:
        _gathered.reset(token)


def holds_until(moment: float) -> None:
    """What was just decided holds until *moment*, in seconds since the epoch."""
    basis = _gathered.get()
    if basis is not None and moment < basis.until:
        basis.until = moment


def judged(before: Before) -> None:
    """What is held was found to be *before*, which holds while it is fresh."""
    if isinstance(before, Fresh):
        holds_until(before.entry.checked_at + before.entry.fresh_for)
    else:
        unsure()


def rests_on_all_of(mirror: str) -> None:
    """What was just decided holds until something is added to what is here of *mirror*."""
    basis = _gathered.get()
    if basis is not None:
        basis.mirrors.add(mirror)


def unsure() -> None:
    """What was just decided may be decided otherwise the next moment."""
    holds_until(0.0)


class Watched:
    """A catalog that notes what is looked at, and tells of what it has seen to change.

    Of other processes' writes it knows as much as the catalog's `peek` and `get` do.
    """

    def __init__(self, catalog: Catalog, changed: Changed) -> None:
        self._catalog = catalog
        self._changed = changed

    def still(self, basis: Basis) -> bool:
        """Whether what *basis* rests on is as it was seen, as far as memory knows."""
        peek = self._catalog.peek
        return all(peek(key) is value for key, value in basis.seen.items())

    def peek(self, key: str) -> Remembered | None:
        value = self._catalog.peek(key)
        # "Not in memory" says nothing of the catalog: who needs to know will `get` it.
        if value is not None and (basis := _gathered.get()) is not None:
            basis.seen[key] = value
        return value

    async def get(self, key: str) -> Remembered | None:
        value = await self._catalog.get(key)
        self._changed(key, value)
        if (basis := _gathered.get()) is not None:
            basis.seen[key] = value
        return value

    async def put(self, value: Remembered) -> None:
        is_new = self._catalog.peek(value.key) is None
        await self._catalog.put(value)
        self._changed(value.key, value)
        if is_new:
            self._changed(value.key.partition(" ")[0], value)

    async def forget(self, keys: Iterable[str]) -> None:
        doomed = list(keys)
        await self._catalog.forget(doomed)
        for key in doomed:
            self._changed(key, None)

    async def count(self) -> int:
        return await self._catalog.count()

    async def keys(self, prefix: str = "") -> list[str]:
        # What will be added below a prefix cannot be named.
        unsure()
        return await self._catalog.keys(prefix)

    async def digests(self, prefix: str = "") -> set[Digest]:
        unsure()
        return await self._catalog.digests(prefix)

    async def naming(self, digests: Collection[Digest]) -> list[str]:
        unsure()
        return await self._catalog.naming(digests)
