"""How many bytes a store holds, counted on the way by all processes that share it.

Two numbers in a file: the bytes, corrected by whoever lists the store (a process that is killed
between a rename and its count leaves them a little wrong), and the size of the largest body that
there was no room for, which is what a process asks eviction to make. They say when to look closer,
no more.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path

_NUMBERS = struct.Struct("<qq")  # signed: corrections may cross


class Tally:
    """The count. Its methods wait for one another for microseconds."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self._path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._guard = threading.Lock()  # a file lock does not part the threads of a process

    def __repr__(self) -> str:
        return f"<Tally {self._path}>"

    def read(self) -> int:
        """Bytes in the store, about. Raises OSError."""
        return max(0, self._numbers()[0])

    def asked(self) -> int:
        """Bytes of the largest body that there was no room for; 0: there was for all."""
        return self._numbers()[1]

    def add(self, count: int) -> None:
        """*count* bytes more, or fewer. Raises OSError."""
        self._change(lambda total, asked: (total + count, asked))

    def ask(self, count: int) -> None:
        """There was no room for *count* bytes. Raises OSError."""
        if count > self.asked():
            self._change(lambda total, asked: (total, max(asked, count)))

    def answer(self) -> int:
        """What was asked, which is done with now. Raises OSError."""
        asked = self.asked()
        if asked:
            self._change(lambda total, _: (total, 0))
        return asked

    def close(self) -> None:
        """Give the descriptor back."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _numbers(self) -> tuple[int, int]:
        raw = os.pread(self._descriptor, _NUMBERS.size, 0)
        total, asked = _NUMBERS.unpack(raw.ljust(_NUMBERS.size, b"\0"))
        return total, asked

    def _change(self, change: Callable[[int, int], tuple[int, int]]) -> None:
        with self._guard:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                os.pwrite(self._descriptor, _NUMBERS.pack(*change(*self._numbers())), 0)
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
