"""A part of a large job for a second processor: in a copy of the process that runs it, or in a
thread where it is not Python's work.

A fork has the whole memory of this process without a copy; its result comes back as a file without
a name. It is less than a job of its own: whoever has it done can do without. Both take shares of
the work out of one pipe, one byte each, so that neither waits long for the other; the last one is
not for the copy, which has its result to write as well.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import tempfile
import termios
import threading
from array import array
from collections.abc import Callable
from concurrent.futures import Future
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from proxy.ecosystems.base import Aside, Claim, Work
from proxy.gateway.urgency import take_last_place

T = TypeVar("T")

_BUFFER = 1 << 20  # bytes of a result written at a time
_HIGHEST = 1 << 16  # descriptors that are looked for


def aside(workspace: Path) -> Aside | None:
    """How to have work done beside this process, files being made in *workspace*; None: there is
    no other processor for it, or a fork would not be safe here.
    """
    if len(os.sched_getaffinity(0)) < 2 or threading.active_count() > 1:
        return None

    def begin(work: Work, /, *, shares: int) -> tuple[Claim, Callable[[], memoryview | None]]:
        file = tempfile.TemporaryFile(dir=workspace)  # noqa: SIM115 - closed in `end`
        done, tell = os.pipe()
        left = _shares(shares)
        pid = os.fork()
        if not pid:
            _work(work, file.fileno(), tell, left)
        os.close(tell)

        def claim() -> bool:
            return bool(os.read(left, 1))

        def end() -> memoryview | None:
            with file:
                os.read(left, shares)  # where this process gave up, the other need not go on
                os.close(left)
                # It gives back its memory, which takes a while, after it has told.
                is_done = os.read(done, 1)
                os.close(done)
                threading.Thread(target=os.waitpid, args=(pid, 0), daemon=True).start()
                if not is_done or not os.fstat(file.fileno()).st_size:
                    return None
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

        return claim, end

    return begin


def _shares(count: int) -> int:
    """Where each of *count* shares is a byte that one process reads."""
    left, right = os.pipe()
    with os.fdopen(right, "wb") as file:
        file.write(bytes(count))
    return left


def _left(shares: int) -> int:
    """How many of the shares nobody has taken."""
    answer = array("i", [0])
    fcntl.ioctl(shares, termios.FIONREAD, answer)
    return answer[0]


def beside(work: Callable[[], T], /) -> Callable[[], T]:
    """Do *work* in a thread, which has ended when the result is there: a fork is safe then."""
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            done.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()

    def end() -> T:
        thread.join()
        return done.result()

    return end


def _work(work: Work, descriptor: int, tell: int, left: int) -> None:
    """All that the copy does; it never returns."""
    status = 1
    with contextlib.suppress(BaseException):
        # Whoever waits for this process's parent to end must not wait for us.
        kept = sorted((descriptor, tell, left))
        for before, after in pairwise((2, *kept, _HIGHEST)):
            os.closerange(before + 1, after)
        with os.fdopen(descriptor, "wb", buffering=_BUFFER) as file:
            file.writelines(work(lambda: _left(left) > 1 and bool(os.read(left, 1))))
        os.write(tell, b"1")
        status = 0
        take_last_place()  # to give all this memory back takes a while, and nobody waits for it
    os._exit(status)
