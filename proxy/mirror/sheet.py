"""One run's part of the ledger, taken from it page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from proxy.mirror.ledger import Ledger
from proxy.mirror.ledger_file import IndexState, Item, State

PAGE = 200
"""Items taken from the ledger at a time."""


class Sheet:
    """The files and indexes of one run of one mirror."""

    def __init__(self, ledger: Ledger, mirror: str, run: str) -> None:
        self.ledger = ledger
        self.mirror = mirror
        self.run = run

    async def pages(
        self, states: Sequence[State], *, main: bool | None = None, fetched: bool = False
    ) -> AsyncIterator[list[Item]]:
        """All files in one of *states*, in order; see `Ledger.items`."""
        after = ""
        while page := await self.page(states, main=main, fetched=fetched, after=after):
            after = page[-1].path
            yield page

    async def page(
        self,
        states: Sequence[State],
        *,
        main: bool | None = None,
        fetched: bool = False,
        after: str = "",
    ) -> list[Item]:
        """The first of them behind *after*."""
        return await self.ledger.items(
            self.mirror, self.run, states, main=main, fetched=fetched, after=after, limit=PAGE
        )

    async def begun(self, states: Sequence[State], *, main: bool) -> AsyncIterator[Item]:
        """Files to be fetched; that this run begins with them is noted before."""
        async for page in self.pages(states, main=main):
            await self.ledger.begin(self.mirror, self.run, [item.path for item in page])
            for item in page:
                yield item

    async def indexes(self, state: IndexState) -> AsyncIterator[str]:
        """Paths of the indexes in *state*, in order. Each may leave it meanwhile."""
        after = ""
        while paths := await self.ledger.indexes(
            self.mirror, self.run, state, after=after, limit=PAGE
        ):
            after = paths[-1]
            for path in paths:
                yield path
