"""How many bytes a store holds, counted on the way by all processes that share it.

A count of eight bytes in a file, corrected by whoever lists the store: a process that is killed
between a rename and its count leaves it a little wrong. It says when to look closer, no more.
"""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

_LENGTH = 8  # bytes, signed: corrections may cross


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
        """Bytes, about. Raises OSError."""
        raw = os.pread(self._descriptor, _LENGTH, 0)
        return max(0, int.from_bytes(raw, "little", signed=True))

    def add(self, count: int) -> None:
        """*count* bytes more, or fewer. Raises OSError."""
        with self._guard:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                raw = os.pread(self._descriptor, _LENGTH, 0)
                total = int.from_bytes(raw, "little", signed=True) + count
                os.pwrite(self._descriptor, total.to_bytes(_LENGTH, "little", signed=True), 0)
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the descriptor back."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
