"""Answers that were given before and hold still, as the bytes that go to the socket.

The flow gave each of them once; here they lie ready by the request they were given to, until
what they rest on changes (`Shelf.changed`), their time is over, or others need the room. Their
bodies are in memory, or long ones in files that are open; nothing is parsed to give one again.
Heads are written anew when a second, or a lifetime that they count down, has moved on.
"""

from __future__ import annotations

import math
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

from proxy.core.cache_status import CacheStatus
from proxy.core.http_date import format_http_date
from proxy.gateway.answer import Counted, public
from proxy.gateway.basis import Basis
from proxy.storage.ports import Remembered
from proxy.web.heads import Understood, understand

ROOM = 64 << 20
"""Bytes of all ready answers of a process, with what tells requests apart."""

JOINED = 16 << 10
"""Bytes of a body up to which copying it behind its head is cheaper than two pieces of a write."""

FILES = 256
"""Open files of all ready answers of a process."""

LASTS = 15.0
"""Seconds after which the flow is asked again, whatever an answer rests on: the flow also sees
whether a blob is still there, and notes which indexes are in use."""

OVERHEAD = 3000
"""Bytes of a ready answer besides its body and its request line, about; measured: 2,800."""

BLOCK_OVERHEAD = 1000
"""Bytes of a block besides its lines, about."""


class Answers(dict[bytes, "Ready"]):
    """By their first lines, the ready answers to requests that nothing else tells apart."""


@dataclass(slots=True, eq=False)
class Block:
    """The lines of a request's head, but the first: they are a client's, so it is named here.

    `own` are the answers that depend on the User-Agent, too.
    """

    answers: Answers
    own: Answers
    agent: str
    forwarded: str
    closes: bool  # whether the connection ends with the answer
    size: int  # of what is remembered of it, in bytes
    words: Any = None  # whoever reports requests keeps here what it says of the agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A head as the flow sent it, and what in it moves on with time."""

    status_line: bytes
    headers: tuple[tuple[str, str], ...]
    cache: CacheStatus
    counted: Counted | None
    is_index: bool  # then max-age counts down

    def at(self, now: float) -> tuple[bytes, float]:
        """The head at *now*, with the empty line, and until when it stays so."""
        until = math.floor(now) + 1.0
        moving = {"date": format_http_date(now)}
        counted = self.counted
        if counted is not None and self.cache.ttl is not None:
            ttl = counted.ttl(now)
            moving["cache-status"] = str(replace(self.cache, ttl=ttl))
            # By a clock that was wrong when upstream was asked the lifetime grows for a while.
            until = min(until, now + ttl % 1) if now >= counted.checked_at else now
            if self.is_index:
                moving["cache-control"] = public(ttl)
            else:
                moving["age"] = str(counted.age(now))
                until = min(until, counted.checked_at + math.floor(now - counted.checked_at) + 1)
        lines = [f"{name}: {moving.get(name.lower(), text)}\r\n" for name, text in self.headers]
        return self.status_line + "".join(lines).encode() + b"\r\n", until


class Part:
    """A body that stays in its file, and which bytes of that: the descriptor is its own."""

    __slots__ = ("descriptor", "span")

    def __init__(self, descriptor: int, span: range) -> None:
        """*descriptor* is from now on closed here."""
        self.descriptor = descriptor
        self.span = span

    def __len__(self) -> int:
        return len(self.span)

    def close(self) -> None:
        """Give the descriptor back. Who is still sending has a duplicate."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class Ready:
    """One answer: `wire` is what to write at a time between `since` and `until`.

    Then `body`, or what `part` names.
    """

    __slots__ = (
        *("_template", "_whole", "among", "body", "ends", "given", "keys", "line", "noted_at"),
        *("part", "since", "size", "told", "until", "wire"),
    )

    def __init__(
        self, line: bytes, among: Answers, template: Template, content: bytes | Part, told: Any
    ) -> None:
        body = b"" if isinstance(content, Part) else content
        self.part = content if isinstance(content, Part) else None
        self.line = line
        self.among = among
        self.told = told
        self.size = len(body) * (1 if len(body) > JOINED else 2) + len(line) + OVERHEAD
        self.keys: tuple[str, ...] = ()
        self.noted_at = self.ends = self.since = self.until = 0.0
        self.given = False
        self._template = template
        self._whole = body
        self.body = body if len(body) > JOINED else b""
        self.wire = b""

    def renew(self, now: float) -> bool:
        """Write the head anew for *now*; False where the answer's time is over, or not yet come."""
        if not self.noted_at <= now < self.ends:
            return False
        head, self.until = self._template.at(now)
        self.until = min(self.until, self.ends)
        self.since = now
        self.wire = head if self.body else head + self._whole
        return True


@dataclass(slots=True)
class _Ground:
    """A value that answers rest on."""

    value: Remembered | None
    answers: set[Ready] = field(default_factory=set)


class Shelf:
    """All ready answers of a process, the least asked for making room for others."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        room: int = ROOM,
        sized: Callable[[int, int], None] = lambda _answers, _size: None,
    ) -> None:
        """*clock* gives seconds since the epoch; *room* is in bytes.

        *sized* hears how many answers there are, and how many bytes with all that belongs to them.
        """
        self.clock = clock
        self.blocks: dict[bytes, Block] = {}
        self.size = 0
        self._room = room
        self._sized = sized
        self._blocks_size = 0
        self._answers: WeakValueDictionary[Hashable, Answers] = WeakValueDictionary()
        self._order: OrderedDict[Ready, None] = OrderedDict()
        self._files: OrderedDict[Ready, None] = OrderedDict()  # those of them with a part
        self._grounds: dict[str, _Ground] = {}
        self._epoch = 0
        self._grown: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __repr__(self) -> str:
        return f"<Shelf {len(self)} answers, {self.size} bytes>"

    def met(self, lines: bytes) -> Block | None:
        """Remember a block that is not in `blocks` yet; None: it is not understood."""
        understood = understand(lines)
        return None if understood is None else self._remembered(lines, understood)

    def mark(self, mirror: str) -> tuple[int, int]:
        """Something else as soon as everything, or what is here of *mirror*, may be otherwise."""
        return self._epoch, self._grown.get(mirror, 0)

    def put(self, ready: Ready, basis: Basis) -> None:
        """Have *ready* given from now on, until its *basis* changes."""
        now = self.clock()
        ready.noted_at, ready.ends = now, min(basis.until, now + LASTS)
        earlier = ready.among.get(ready.line)
        if earlier is not None:
            self._drop(earlier)
        if not ready.renew(now):
            if ready.part is not None:
                ready.part.close()
            return
        # Values by key; of mirrors only that something was added is ever told.
        grounds: Mapping[str, Remembered | None] = basis.seen | dict.fromkeys(basis.mirrors)
        for key, value in grounds.items():
            ground = self._grounds.get(key)
            if ground is None or ground.value != value:
                self._fell(key)
                ground = self._grounds[key] = _Ground(value)
            ground.answers.add(ready)
        ready.keys = tuple(grounds)
        ready.among[ready.line] = ready
        self._order[ready] = None
        self.size += ready.size
        if ready.part is not None:
            self._files[ready] = None
            _spared(self._files, self._drop, lambda: len(self._files) > FILES)
        _spared(self._order, self._drop, lambda: self.size > self._room)
        self._sized(len(self), self.size)

    def drop(self, ready: Ready) -> None:
        """Forget *ready*: its time is over."""
        if ready in self._order:
            self._drop(ready)
            self._sized(len(self), self.size)

    def changed(self, key: str, value: Remembered | None) -> None:
        """Under *key* there is *value* now (`Changed`): what rests on another is forgotten."""
        if " " not in key:
            self._grown[key] = self._grown.get(key, 0) + 1
        ground = self._grounds.get(key)
        if ground is not None and ground.value != value:
            self._fell(key)
            self._sized(len(self), self.size)

    def clear(self) -> None:
        """Forget everything, and what is on its way here: all of it may be otherwise now."""
        self._epoch += 1
        for ready in list(self._order):
            self._drop(ready)
        self._sized(len(self), self.size)

    def _remembered(self, lines: bytes, understood: Understood) -> Block:
        signature, agent = understood.signature, understood.agent
        block = Block(
            answers=self._answered(signature),
            own=self._answered((signature, agent)),
            agent=agent,
            forwarded=understood.forwarded,
            closes=understood.closes,
            size=3 * len(lines) + BLOCK_OVERHEAD,
        )
        self.blocks[lines] = block
        self.size += block.size
        self._blocks_size += block.size
        while self._blocks_size > self._room // 8:  # the oldest; dictionaries keep their order
            oldest = self.blocks.pop(next(iter(self.blocks)))
            self.size -= oldest.size
            self._blocks_size -= oldest.size
        return block

    def _answered(self, alike: Hashable) -> Answers:
        """The ready answers to requests that are *alike*."""
        answers = self._answers.get(alike)
        if answers is None:
            answers = self._answers[alike] = Answers()
        return answers

    def _fell(self, key: str) -> None:
        """What rests on *key* is forgotten."""
        ground = self._grounds.get(key)
        for ready in () if ground is None else tuple(ground.answers):
            self._drop(ready)

    def _drop(self, ready: Ready) -> None:
        del self._order[ready]
        if ready.part is not None:
            del self._files[ready]
            ready.part.close()
        self.size -= ready.size
        ready.ends = ready.until = 0.0
        if ready.among.get(ready.line) is ready:
            del ready.among[ready.line]
        for key in ready.keys:
            ground = self._grounds[key]
            ground.answers.discard(ready)
            if not ground.answers:
                del self._grounds[key]


def _spared(
    order: OrderedDict[Ready, None], drop: Callable[[Ready], None], is_full: Callable[[], bool]
) -> None:
    """Make room. Second chance: what was given since it was last looked at goes to the end."""
    while order and is_full():
        oldest = next(iter(order))
        if oldest.given:
            oldest.given = False
            order.move_to_end(oldest)
        else:
            drop(oldest)
