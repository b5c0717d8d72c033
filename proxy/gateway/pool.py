"""Where rendering runs: small bodies in a thread, large ones in a process of their own.

A conda index of 300 MB would hold the interpreter's lock for seconds; a page of 20 kB is done
before another process has even been told of it. The processes start when first needed and end
after a while of idleness, so that an idle proxy stays small.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TypeVar

from proxy.errors import StorageError
from proxy.gateway.urgency import take_second_place

J = TypeVar("J")
R = TypeVar("R")

THREAD_LIMIT = 48 * 1024
"""Source bytes up to which a thread is used: parsing so much takes about a millisecond or two,
less than the switch interval after which the event loop gets its turn."""

LARGE = THREAD_LIMIT + 1
"""The size of a job that belongs into a process however little it reads."""

IDLE = 120.0
"""Seconds without work after which the processes end (starting one takes about 0.3 s)."""


PROCESSES = min(2, os.cpu_count() or 1)
"""Large jobs at a time: a channel's subdir and its noarch are asked for together."""


class Pool:
    """Runs pure jobs. `processes` bounds how many large ones run at a time."""

    def __init__(self, *, processes: int = PROCESSES, idle: float = IDLE) -> None:
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="render")
        self._processes: ProcessPoolExecutor | None = None
        self._limit = processes
        self._idle = idle
        self._busy = 0
        self._ending: asyncio.TimerHandle | None = None

    async def run(self, work: Callable[[J], R], job: J, *, size: int) -> R:
        """Return work(job); *size* is how many bytes it has to read. Raises what *work* raises."""
        if size <= THREAD_LIMIT:
            return await self._in(self._threads, work, job)
        self._busy += 1
        if self._ending is not None:
            self._ending.cancel()
        try:
            return await self._in(self._started(), partial(_collected, work), job)
        except BrokenProcessPool as error:
            self._processes = None  # killed from outside (out of memory): the next job starts anew
            raise StorageError("the rendering process died; is there enough memory?") from error
        finally:
            self._busy -= 1
            if not self._busy:
                self._ending = asyncio.get_running_loop().call_later(self._idle, self._end)

    async def _in(self, executor: Executor, work: Callable[[J], R], job: J) -> R:
        return await asyncio.get_running_loop().run_in_executor(executor, work, job)

    def _started(self) -> ProcessPoolExecutor:
        if self._processes is None:
            # spawn: this process has threads and an event loop, which must not be forked.
            context = multiprocessing.get_context("spawn")
            self._processes = ProcessPoolExecutor(
                self._limit, mp_context=context, initializer=_prepare
            )
        return self._processes

    def _end(self) -> None:
        processes, self._processes = self._processes, None
        if processes is not None:
            processes.shutdown(wait=False, cancel_futures=True)

    async def aclose(self) -> None:
        """Wait for running jobs, then end threads and processes."""
        if self._ending is not None:
            self._ending.cancel()
        processes, self._processes = self._processes, None
        if processes is not None:
            await asyncio.to_thread(processes.shutdown, cancel_futures=True)
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)


def _prepare() -> None:
    """Make a process fit for large jobs, and less urgent than those that serve."""
    gc.disable()  # millions of records are made and freed without a cycle
    take_second_place()
    for number in (signal.SIGHUP, signal.SIGINT):  # meant for the server, sent to its whole group
        signal.signal(number, signal.SIG_IGN)


def _collected(work: Callable[[J], R], job: J) -> R:
    try:
        return work(job)
    finally:
        gc.collect()
