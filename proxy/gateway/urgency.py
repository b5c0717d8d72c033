"""Processes that do much at once take second place to those that serve."""

from __future__ import annotations

import contextlib
import os

NICE = 10
"""How much less urgent they are."""


def take_second_place() -> None:
    """Make this process less urgent, where that may be done: a container may forbid it."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
    with contextlib.suppress(OSError):
        # It never takes the processor from one that serves, which has had it for less than its due.
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
