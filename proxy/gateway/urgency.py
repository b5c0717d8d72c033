"""Processes that do much at once take second place to those that serve; some the last.

A process that only has a smaller share of the processor is still in the way of one that wakes up:
the kernel lets it go on for some milliseconds. One in the last place (SCHED_IDLE) goes at once, and
may stand still for a second while all processors are busy, or have next to nothing for as long as
they are. So it must not have anything meanwhile that others wait for, and somebody should watch it
(see `proxy.app.starving`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

NICE = 10
"""How much less urgent they are."""


def take_second_place() -> None:
    """Make this thread, and what it starts, less urgent; a container may forbid it.

    What was started in second place keeps it: at nice 19 it would have next to nothing.
    """
    nice, policy = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)
    if nice >= NICE and policy == os.SCHED_BATCH:
        return
    with contextlib.suppress(OSError):
        os.nice(NICE)
    with contextlib.suppress(OSError):
        # It never takes the processor from one that serves, which has had it for less than its due.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def take_last_place() -> None:
    """Let this thread, and what it starts from now on, have what nobody else wants.

    There is no way back without privileges.
    """
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def stay() -> None:
    """Keep the place that this thread has."""


def started_in_second_place(start: Callable[[], None]) -> None:
    """Have *start* start a process that is less urgent from its first moment; blocks."""
    with ThreadPoolExecutor(1, initializer=take_second_place) as starter:
        starter.submit(start).result()
