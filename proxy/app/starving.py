"""Whether a process in the last place gets anything of the processors, and what to do if not.

Who has what nobody else wants has nothing while others want all, for hours if need be, and cannot
take a better place again without privileges. A process is starved if in all that time in which it
wanted a processor it had next to none; one that waits for upstream, or for its bandwidth, wants
none. Only a process in the last place can be: in second place it has a share of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from proxy.errors import StorageError

LOOK = 1.0
"""Seconds between two looks at a process."""

LONG = 30
"""Looks at which it wanted a processor, after which it is said whether it had enough."""

ENOUGH = 0.02
"""The share of that time that it must have had. In the last place beside two busy processes on each
processor it has some thousandths, in second place a twentieth."""

_TICKS = 100.0  # per second, in /proc on all of Linux (USER_HZ)


class Starved(StorageError):
    """All processors were busy with what is more urgent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A process in the last place: whether it has or wants a processor, and the seconds that it
    has had one since it began.
    """

    wants: bool
    had: float


class Hunger:
    """Judges by looks that come every `LOOK` seconds."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self._wanted = 0

    def starved(self, look: Look | None) -> bool:
        """Whether it is starved by now; None: it is not in the last place."""
        if look is None:
            return False
        if self._begun is None:
            self._begun = look.had
        self._wanted += look.wants
        if self._wanted < LONG:
            return False
        had, wanted = look.had - self._begun, self._wanted * LOOK
        self._begun, self._wanted = look.had, 0
        return had < ENOUGH * wanted


def look_at(pid: int) -> Look | None:
    """The process, unless it has ended or is not in the last place."""
    try:
        if os.sched_getscheduler(pid) != os.SCHED_IDLE:
            return None
        _, *fields = _stat(Path(f"/proc/{pid}/stat"))
        threads = Path(f"/proc/{pid}/task").iterdir()
        wants = any(_stat(thread / "stat")[0] == "R" for thread in threads)
    except OSError:
        return None
    return Look(wants=wants, had=(int(fields[10]) + int(fields[11])) / _TICKS)


@contextlib.asynccontextmanager
async def unless_starved(
    look: Callable[[], Look | None], pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> AsyncIterator[None]:
    """Leave the block when the process that *look* shows is starved, with Starved."""
    loop = asyncio.get_running_loop()

    async def watch() -> None:
        hunger = Hunger()
        while not hunger.starved(await asyncio.to_thread(look)):
            await pause(LOOK)
        patience.reschedule(loop.time())

    try:
        async with asyncio.timeout(None) as patience:
            watching = asyncio.create_task(watch())
            try:
                yield
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
    except TimeoutError:
        if not patience.expired():
            raise
        raise Starved("the processors were busy with what is more urgent") from None


def _stat(file: Path) -> list[str]:
    """The fields from the state on (the third; see proc_pid_stat(5)). Raises OSError."""
    return file.read_text().rpartition(")")[2].split()
