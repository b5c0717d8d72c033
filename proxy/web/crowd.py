"""The connections of a worker: as many as there is room for, and who gives way to the next one.

A client that only holds its connection open, or has sent half a request, gives way to a newcomer,
the one that has waited for longest first: it connects again when it needs to, as pip and conda do
by themselves. Where everybody is being served a newcomer is told to come again. So descriptors and
memory are bounded, and those who open connections to keep them open keep nobody out.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Protocol, cast

from proxy.errors import Crowded, Overlong
from proxy.web.errors import refusal_bytes

MOST = 4096
"""Connections where nothing else is said."""

YOUNG = 1.0
"""Seconds in which a connection is not taken for idle: what it was opened for is on its way."""

AT_ONCE = 32
"""The part (one in so many) of all connections that gives way at a time, so that looking for them
is not done anew for every newcomer."""

LOOK_AGAIN = 0.1
"""Seconds after which it is looked again where nobody gave way."""

ASKING = 5.0
"""Seconds in which who is turned away must have asked: an answer before that would be none."""

FEW = 8
"""As many may be on their way out whatever the bound is; else as many as may be served."""

LINGER = 1.0
"""Seconds that a connection is kept after the last answer, which the system takes back from a
client where bytes come in that nobody reads."""


class Guest(Protocol):
    """A connection that was let in."""

    @property
    def idle_since(self) -> float | None:
        """The moment, on the event loop's clock; None: it is being served."""
        ...

    def leave(self) -> None:
        """Make room."""
        ...


class Crowd:
    """Everybody who has connected."""

    def __init__(
        self,
        most: int = MOST,
        *,
        clock: Callable[[], float],
        counted: Callable[[int], None] = lambda _change: None,
        crowded: Callable[[str, int], None] = lambda _what, _count: None,
    ) -> None:
        """*clock* is the event loop's. *counted* hears of each that comes (+1) or goes (-1),
        *crowded* of how many were `dropped`, idle, and how many newcomers `refused`.
        """
        self._most = most
        self._clock = clock
        self._tell_counted = counted
        self._tell_crowded = crowded
        self._guests: set[Guest] = set()
        self._full_until = 0.0
        self.turned_away = 0  # whose connections are not closed yet

    def __len__(self) -> int:
        return len(self._guests)

    def __repr__(self) -> str:
        return f"<Crowd {len(self)} of {self._most}>"

    def admit(self, guest: Guest) -> bool:
        """Whether *guest* may come in."""
        if len(self._guests) >= self._most and not self._made_room():
            self._tell_crowded("refused", 1)
            return False
        self._guests.add(guest)
        self._tell_counted(+1)
        return True

    def left(self, guest: Guest) -> None:
        """*guest* has gone, or was never let in."""
        if guest in self._guests:
            self._guests.remove(guest)
            self._tell_counted(-1)

    def may_linger(self) -> bool:
        """Whether there is room to tell one more that there is none."""
        return self.turned_away < max(FEW, self._most)

    def _made_room(self) -> bool:
        now = self._clock()
        if now < self._full_until:
            return False
        idle = (
            (since, id(guest), guest)
            for guest in self._guests
            if (since := guest.idle_since) is not None and now - since >= YOUNG
        )
        going = heapq.nsmallest(max(1, self._most // AT_ONCE), idle)
        for _, _, guest in going:
            self.left(guest)
            guest.leave()
        if not going:
            self._full_until = now + LOOK_AGAIN
            return False
        self._tell_crowded("dropped", len(going))
        return True


class Farewell(asyncio.Protocol):
    """The other end of a connection that gets one answer, whatever it asks, and is closed.

    It is answered when it has asked, and closed when the client has had time to read that.
    """

    def __init__(self, answer: bytes, *, ended: Callable[[], None] = lambda: None) -> None:
        self._answer = answer
        self._tell_ended = ended
        self._transport: asyncio.Transport | None = None
        self._closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._close_in(ASKING)

    def data_received(self, data: bytes) -> None:
        answer, self._answer = self._answer, b""
        if not answer or self._transport is None:
            return  # what comes in is read, so that the system does not take the answer back
        if data.startswith(b"HEAD "):
            answer = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        self._transport.write(answer)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._close_in(LINGER)

    def eof_received(self) -> bool:
        return False  # which closes it

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._closing is not None:
            self._closing.cancel()
        self._transport = None
        self._tell_ended()

    def _close_in(self, seconds: float) -> None:
        if self._closing is not None:
            self._closing.cancel()
        assert self._transport is not None
        loop = asyncio.get_running_loop()
        self._closing = loop.call_later(seconds, self._transport.abort)


def turn_away(transport: asyncio.Transport, crowd: Crowd) -> None:
    """Tell whoever has connected that there is no room, or nothing where even that is too much."""
    if not crowd.may_linger():
        transport.abort()
        return

    def ended() -> None:
        crowd.turned_away -= 1

    crowd.turned_away += 1
    error = Crowded("this proxy has too many connections; try again")
    _hand_over(transport, Farewell(refusal_bytes(error), ended=ended))


def cut_short(transport: asyncio.Transport, most: int) -> None:
    """Tell whoever sends a head without an end that it has at most so many bytes."""
    error = Overlong(f"the head of a request has at most {most} bytes")
    farewell = Farewell(refusal_bytes(error))
    _hand_over(transport, farewell)
    farewell.data_received(b"")


def _hand_over(transport: asyncio.Transport, farewell: Farewell) -> None:
    transport.set_protocol(farewell)
    farewell.connection_made(transport)
