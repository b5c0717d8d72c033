"""Several worker processes behind one address.

The parent binds the address, forks the workers and then only waits: it passes SIGHUP and
SIGTERM on and replaces a worker that dies. Each worker has a listening socket of its own on the
same port (SO_REUSEPORT), so the kernel spreads connections and no worker wakes in vain.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType

EARLY = 10.0
"""Seconds from its start in which a worker that gives up is not replaced: it cannot start."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def bind(host: str, port: int, *, shared: bool) -> socket.socket:
    """A listening-to-be socket on (host, port). Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound


class Supervisor:
    """Runs `size` copies of *work* and keeps them running until told to stop.

    *work* is called in a child with the worker's number and must return its exit status. *ended*
    is told the process id of every child that has ended.
    """

    def __init__(
        self,
        work: Callable[[int], int],
        size: int,
        *,
        patience: float,
        ended: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._work = work
        self._tell_ended = ended
        self._size = size
        self._patience = patience  # seconds a worker has to stop before it is killed
        self._workers: dict[int, tuple[int, float]] = {}  # pid -> number, start (monotonic)
        self._stopping = False
        self._failed = False

    def run(self) -> int:
        """Returns 0 after SIGTERM or SIGINT, 1 if a worker ended with an error of its own."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, self._stop)
        signal.signal(signal.SIGHUP, self._reload)
        for number in range(self._size):
            self._fork(number)
        while self._workers:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.wait()
                self._ended(pid, os.waitstatus_to_exitcode(status))
        return 1 if self._failed else 0

    def _fork(self, number: int) -> None:
        # Held until the child has handlers of its own, and while the books are not in order:
        # a worker must not be born unheard of after the others were told to stop.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            if self._stopping:
                return
            sys.stdout.flush()
            sys.stderr.flush()
            pid = os.fork()
            if pid == 0:
                self._child(number)
            self._workers[pid] = (number, time.monotonic())
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _child(self, number: int) -> None:
        status = 1
        try:
            for name in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
                signal.signal(name, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            # A reload that comes now waits until the worker can carry it out, and unblocks it.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})
            status = self._work(number)
        except BaseException:  # noqa: BLE001 - nothing above this frame belongs to the child
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _ended(self, pid: int, status: int) -> None:
        number, started = self._workers.pop(pid)
        self._tell_ended(pid)
        if self._stopping:
            return
        sys.stderr.write(f"worker {number} (pid {pid}) ended with status {status}\n")
        if status > 0 and time.monotonic() - started < EARLY:
            # It said why; the next one would say the same, over and over.
            self._failed = True
            self._stop(signal.SIGTERM, None)
            return
        self._fork(number)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._tell(signal.SIGTERM)
        signal.signal(signal.SIGALRM, lambda *_: self._tell(signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, self._patience)

    def _reload(self, number: int, frame: FrameType | None) -> None:
        self._tell(signal.SIGHUP)

    def _tell(self, number: signal.Signals) -> None:
        for pid in self._workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
