"""Which worker process leads the work on a key, so that all of them make one flight of it.

Every key has one leader, found by hashing, without asking anybody. A worker that is not the
leader hands the whole request to it (`crew.py`); where that fails it does the work itself:
leading saves bandwidth and is never needed for correctness, because blobs are named by content.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Protocol

from proxy.core.model import Resource
from proxy.gateway.answer import Answer, Want


class Elsewhere(Exception):
    """Another worker leads the work that this request needs."""

    def __init__(self, leader: int) -> None:
        super().__init__(f"worker {leader} leads this")
        self.leader = leader


class Team(Protocol):
    """The worker processes, seen from one of them."""

    def claim(self, key: str) -> None:
        """Return if this worker may work on *key*. Raises Elsewhere."""
        ...

    def nudge(self, leader: int, resource: Resource) -> None:
        """Ask *leader* to refresh *resource* some time soon; nobody waits for it."""
        ...

    async def ask(self, leader: int, resource: Resource, want: Want) -> Answer | None:
        """What *leader* answers; None where it cannot be reached.

        Raises what the leader raised, and Landed where its answer is in the catalog by now.
        """
        ...

    def alone(self) -> AbstractContextManager[None]:
        """While entered, the current task may work on every key."""
        ...

    def fetching(self) -> AbstractContextManager[None]:
        """While entered, one more file is on its way from upstream to this worker."""
        ...

    @property
    def under_way(self) -> int:
        """How many files are on their way from upstream to all workers."""
        ...


class Solo:
    """The only worker leads everything."""

    def __init__(self) -> None:
        self.under_way = 0

    @contextlib.contextmanager
    def fetching(self) -> Iterator[None]:
        """See `Team.fetching`."""
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    def claim(self, key: str) -> None:
        """Always."""

    def nudge(self, leader: int, resource: Resource) -> None:
        raise AssertionError("a single worker has nobody to nudge")

    async def ask(self, leader: int, resource: Resource, want: Want) -> Answer | None:
        raise AssertionError("a single worker has nobody to ask")

    def alone(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


_alone: ContextVar[bool] = ContextVar("alone", default=False)


class Place:
    """Worker `number` of `size`: the hashing half of a team."""

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.size = size

    def leader_of(self, key: str) -> int:
        """The number of the worker that leads *key*."""
        return zlib.crc32(key.encode()) % self.size

    def claim(self, key: str) -> None:
        """See `Team.claim`."""
        leader = self.leader_of(key)
        if leader != self.number and not _alone.get():
            raise Elsewhere(leader)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """See `Team.alone`."""
        token = _alone.set(True)
        try:
            yield
        finally:
            _alone.reset(token)
