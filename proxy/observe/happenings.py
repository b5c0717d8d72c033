"""What an operator should hear of, lately: refusals, wrong bodies, upstream's failures.

The last ones of each kind are kept in memory, a flood of one kind never pushing out another, and
those who follow hear of new ones at once. Several worker processes tell the one that keeps them
by datagrams: a loss is possible under load, waiting is not. The whole story is the log's.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import msgspec

KEPT = 500
"""Happenings of each kind that are kept."""

WAITING = 1000
"""Happenings that a slow follower may have in front of it; then it misses the oldest."""

LONGEST = 2000
"""Characters of a text: paths are the client's to choose, and a datagram has its bounds."""


_NOT_WAITING = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK


class Sort(enum.Enum):
    """What kind of thing happened."""

    REFUSAL = "refusal"  # policy refused a file that a client asked for
    INTEGRITY = "integrity"  # a body was not what its index promised
    UPSTREAM = "upstream"  # upstream failed, refused or did not answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One of them. `id` grows by one, beginning with 1 when the server starts; `at` is in seconds
    since the epoch; `what` is the path or key; `cause` the rule, or the name of the error.
    """

    id: int = 0
    at: float
    sort: Sort
    mirror: str
    what: str
    cause: str
    text: str


class Hearing(Protocol):
    """Whoever is told; must not raise and must not wait."""

    def tell(self, sort: Sort, *, mirror: str, what: str, cause: str, text: str) -> None: ...


class Happenings:
    """Those that are kept, in the process that shows them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[Sort, deque[Happening]] = {sort: deque(maxlen=KEPT) for sort in Sort}
        self._last = 0
        self._followers: set[asyncio.Queue[Happening | None]] = set()

    def tell(self, sort: Sort, *, mirror: str, what: str, cause: str, text: str) -> None:
        """Something happened now."""
        self.add(
            Happening(
                at=self._clock(),
                sort=sort,
                mirror=mirror,
                what=what[:LONGEST],
                cause=cause[:LONGEST],
                text=text[:LONGEST],
            )
        )

    def add(self, told: Happening) -> None:
        """Keep *told* under the next number, and pass it on."""
        self._last += 1
        kept = replace(told, id=self._last)
        self._kept[kept.sort].append(kept)
        for queue in self._followers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(kept)

    def since(self, number: int = 0) -> list[Happening]:
        """Those kept that came after *number*, oldest first."""
        found = (one for kept in self._kept.values() for one in kept if one.id > number)
        return sorted(found, key=lambda one: one.id)

    async def follow(self, number: int | None = None) -> AsyncIterator[Happening]:
        """Those kept after *number* (None: none of them), then new ones, until `close`."""
        queue: asyncio.Queue[Happening | None] = asyncio.Queue(WAITING)
        missed = [] if number is None else self.since(number)
        self._followers.add(queue)
        try:
            for one in missed:
                yield one
            while (new := await queue.get()) is not None:
                yield new
        finally:
            self._followers.discard(queue)

    def close(self) -> None:
        """Let the followers go: nothing more will be told."""
        for queue in self._followers:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)


class Mailbox(asyncio.DatagramProtocol):
    """Takes in what sibling processes tell."""

    def __init__(self, happenings: Happenings) -> None:
        self._happenings = happenings

    def datagram_received(self, data: bytes, addr: object) -> None:
        with contextlib.suppress(msgspec.MsgspecError):  # a stranger's: there is none to tell
            self._happenings.add(msgspec.msgpack.decode(data, type=Happening))


@contextlib.asynccontextmanager
async def collecting(happenings: Happenings, meeting: Path) -> AsyncIterator[None]:
    """Take in what siblings that meet in the folder *meeting* tell, while entered."""
    receiving = socket.socket(socket.AF_UNIX, _NOT_WAITING)
    receiving.bind(str(_post(meeting)))
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Mailbox(happenings), sock=receiving)
    try:
        yield
    finally:
        transport.close()
        _post(meeting).unlink(missing_ok=True)


class Sibling:
    """Tells the process that keeps them."""

    def __init__(self, meeting: Path, clock: Callable[[], float]) -> None:
        self._post = str(_post(meeting))
        self._clock = clock
        self._socket = socket.socket(socket.AF_UNIX, _NOT_WAITING)

    def tell(self, sort: Sort, *, mirror: str, what: str, cause: str, text: str) -> None:
        """Something happened now; where nobody listens, or too much is told, it is lost."""
        told = Happening(
            at=self._clock(),
            sort=sort,
            mirror=mirror,
            what=what[:LONGEST],
            cause=cause[:LONGEST],
            text=text[:LONGEST],
        )
        with contextlib.suppress(OSError):
            self._socket.sendto(msgspec.msgpack.encode(told), self._post)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


def _post(meeting: Path) -> Path:
    return meeting / "happenings"
