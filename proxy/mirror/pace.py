"""How gently a run fetches: its time of the day, its bandwidth, and clients' requests first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from proxy.core.active import Limits

BUSY_STEP = 0.05
"""Seconds between two looks at whether clients still wait for upstream."""

LONGEST_YIELD = 5.0
"""Seconds that one file gives way to clients at the most: a run is to end some day, too."""

Pause = Callable[[float], Awaitable[None]]
"""Waits so many seconds, or less where the run is stopped meanwhile."""


class Pace:
    """What one run may do when."""

    def __init__(
        self,
        limits: Limits,
        *,
        clock: Callable[[], float],
        pause: Pause,
        waiting: Callable[[], int],
    ) -> None:
        """*waiting*: how many requests of clients wait for upstream now."""
        self.limits = limits
        self._clock = clock
        self.pause = pause
        self._waiting = waiting
        self._free_at = clock()

    async def turn(self) -> None:
        """Wait until one more file may be begun."""
        window = self.limits.window
        if window is not None and (closed := window.wait(self._clock())):
            await self.pause(closed)
        if (debt := self._free_at - self._clock()) > 0:
            await self.pause(debt)
        yielded = 0.0
        while self._waiting() and yielded < LONGEST_YIELD:
            await self.pause(BUSY_STEP)
            yielded += BUSY_STEP

    def spent(self, size: int) -> None:
        """*size* bytes came; whoever comes next waits for as long as they should have taken."""
        bandwidth = self.limits.bandwidth
        if bandwidth is not None:
            self._free_at = max(self._free_at, self._clock()) + size / bandwidth

    def hold(self, seconds: float) -> None:
        """Upstream asks for patience."""
        self._free_at = max(self._free_at, self._clock() + seconds)


class Meter:
    """How fast bytes come, over the last while, and how long the rest will take."""

    SPAN = 20.0
    """Seconds that the rate looks back."""

    LEAST = 1.0
    """Seconds over which a rate says something."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._marks: list[tuple[float, int, int]] = [(clock(), 0, 0)]

    def mark(self, files: int, size: int) -> None:
        """So many files and bytes have come in all."""
        now = self._clock()
        if now - self._marks[-1][0] >= self.LEAST or len(self._marks) == 1:
            self._marks.append((now, files, size))
        while len(self._marks) > 2 and self._marks[1][0] < now - self.SPAN:
            self._marks.pop(0)

    def rates(self) -> tuple[float, float] | None:
        """Files and bytes per second; None while nothing can be said."""
        (first, files, size), (last, more_files, more_size) = self._marks[0], self._marks[-1]
        if last - first < self.LEAST:
            return None
        return (more_files - files) / (last - first), (more_size - size) / (last - first)

    def remaining(self, files: int, size: int) -> float | None:
        """Seconds for so much more: what takes longer at these rates, its files or its bytes."""
        rates = self.rates()
        if rates is None or not rates[0]:
            return None
        return max(files / rates[0], size / rates[1] if rates[1] else 0.0)
