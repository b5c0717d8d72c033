"""Single flight: at most one task per key, its outcome shared by everyone who asked.

A flight may let its passengers board before it lands: it publishes its value (a `Fill`, say)
as soon as that is useful and keeps the key until its work is done. Whoever asks in between
gets the same value instead of a second flight. The work belongs to the server: a caller that
goes away leaves it running.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from proxy.errors import Abandoned

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Fly = Callable[[Callable[[V], None]], Coroutine[Any, Any, None]]
"""The work of a flight; it is given the function that it must publish its value through."""


@dataclass(frozen=True, slots=True)
class Boarded(Generic[V]):
    """What a flight published, and whether somebody else had started it."""

    value: V
    collapsed: bool


class _Gate(Generic[V]):
    """Where callers wait until there is a value. Each has a future of its own, which it may leave:
    one for all would have to be shielded, and all would board a turn of the loop later.
    """

    def __init__(self) -> None:
        self._value: list[V] = []  # one, or none yet
        self._waiting: list[asyncio.Future[V]] = []

    async def passed(self) -> V:
        """The value, as soon as there is one. Raises what `close` was given."""
        if self._value:
            return self._value[0]
        waiting: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return await waiting

    def open(self, value: V) -> None:
        """Whoever waits goes on in the next turn of the loop."""
        self._value.append(value)
        for one in self._left_waiting():
            one.set_result(value)

    def close(self, error: BaseException) -> None:
        """Nothing comes any more."""
        for one in self._left_waiting():
            one.set_exception(error)

    def _left_waiting(self) -> list[asyncio.Future[V]]:
        waiting, self._waiting = self._waiting, []
        return [one for one in waiting if not one.done()]  # others have left


class Flights(Generic[K, V]):
    """The flights in the air, by key."""

    def __init__(self, on_failure: Callable[[K, BaseException], None]) -> None:
        """*on_failure* hears of every flight that failed, even if nobody waits for it."""
        self._boarding: dict[K, _Gate[V]] = {}
        self._tasks: dict[K, asyncio.Task[None]] = {}
        self._on_failure = on_failure

    def __len__(self) -> int:
        return len(self._boarding)

    def __contains__(self, key: object) -> bool:
        return key in self._boarding

    def __repr__(self) -> str:
        return f"<Flights {len(self)} in the air>"

    async def join(self, key: K, fly: Fly[V]) -> Boarded[V]:
        """Return what the flight for *key* publishes, starting it if there is none.

        Raises whatever *fly* raised before publishing, to every caller alike.
        """
        gate = self._boarding.get(key)
        collapsed = gate is not None
        if gate is None:
            gate = self._start(key, fly)
        return Boarded(await gate.passed(), collapsed)

    def start(self, key: K, fly: Fly[V]) -> None:
        """Let a flight for *key* go, unless one is in the air, and do not wait for it."""
        if key not in self._boarding:
            self._start(key, fly)

    def _start(self, key: K, fly: Fly[V]) -> _Gate[V]:
        gate = self._boarding[key] = _Gate[V]()
        task = asyncio.create_task(fly(gate.open))
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._landed(key, done))
        return gate

    def _landed(self, key: K, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        gate = self._boarding.pop(key)
        error = Abandoned("the server is stopping") if task.cancelled() else task.exception()
        if error is not None:
            self._on_failure(key, error)
        gate.close(error or RuntimeError("landed without publishing"))

    async def drain(self, seconds: float) -> None:
        """Let what is in the air land for up to *seconds*."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=seconds)

    async def aclose(self) -> None:
        """Cancel what is in the air and wait for it to come down."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
