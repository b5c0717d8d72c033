"""How many bytes a store holds, counted on the way by all processes that share it.

Two numbers in a file for each process: the bytes that it added, corrected by whoever lists the
store (a process that is killed between a rename and its count leaves them a little wrong), and the
size of the largest body that there was no room for, which is what a process asks eviction to make.
They say when to look closer, no more. Nobody waits for another process: each writes numbers of its
own, and what they come to is the sum.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from pathlib import Path

_NUMBERS = struct.Struct("<qq")  # signed: corrections may cross
_NUMBER = struct.Struct("<q")
_MOST = 1 << 16  # bytes of the file that are looked at: thousands of processes
_LOCK = struct.Struct("hhqqi4x")  # struct flock of a 64-bit Linux


class Tally:
    """The count. `answer` alone writes other processes' numbers."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._place = _claimed(self._descriptor)
        self._guard = threading.Lock()  # numbers are of a process, not of a thread

    def __repr__(self) -> str:
        return f"<Tally {self._path}>"

    def read(self) -> int:
        """Bytes in the store, about. Raises OSError."""
        return max(0, sum(total for total, _ in self._all()))

    def asked(self) -> int:
        """Bytes of the largest body that there was no room for; 0: there was for all."""
        return max((asked for _, asked in self._all()), default=0)

    def add(self, count: int) -> None:
        """*count* bytes more, or fewer. Raises OSError."""
        with self._guard:
            total, _ = self._own()
            os.pwrite(self._descriptor, _NUMBER.pack(total + count), self._place)

    def ask(self, count: int) -> None:
        """There was no room for *count* bytes. Raises OSError."""
        if count > self.asked():
            with self._guard:
                self._set_asked(self._place, count)

    def answer(self) -> int:
        """What was asked, which is done with now. Raises OSError."""
        found = self._all()
        for number, (_, asked) in enumerate(found):
            if asked:
                self._set_asked(number * _NUMBERS.size, 0)
        return max((asked for _, asked in found), default=0)

    def close(self) -> None:
        """Give the descriptor back, and with it the place, whose numbers stay."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _all(self) -> list[tuple[int, int]]:
        raw = os.pread(self._descriptor, _MOST, 0)
        return list(_NUMBERS.iter_unpack(raw + bytes(-len(raw) % _NUMBERS.size)))

    def _own(self) -> tuple[int, int]:
        raw = os.pread(self._descriptor, _NUMBERS.size, self._place)
        total, asked = _NUMBERS.unpack(raw.ljust(_NUMBERS.size, b"\0"))
        return total, asked

    def _set_asked(self, place: int, count: int) -> None:
        os.pwrite(self._descriptor, _NUMBER.pack(count), place + _NUMBER.size)


def _claimed(descriptor: int) -> int:
    """The first place in the file that no living process has; its numbers are gone on with."""
    place = 0
    while True:
        wanted = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, place, _NUMBERS.size, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, wanted)
        except BlockingIOError:
            place += _NUMBERS.size
        else:
            return place
