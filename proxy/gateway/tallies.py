"""A number of each worker's that all of them can see: how many files are on their way to it.

The numbers stand in one small file that every worker has mapped into its memory; each writes only
its own, so that nothing has to be locked or asked for.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

_NUMBER = struct.Struct("<Q")


class Tallies:
    """The numbers of *size* workers, seen by worker *number*. Raises OSError."""

    def __init__(self, path: Path, number: int, size: int) -> None:
        self._at = number * _NUMBER.size
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, size * _NUMBER.size)
            self._map = mmap.mmap(descriptor, size * _NUMBER.size)
        finally:
            os.close(descriptor)
        self.set(0)  # what a worker of this number wrote that was killed

    def set(self, count: int) -> None:
        """This worker's number."""
        _NUMBER.pack_into(self._map, self._at, count)

    def total(self) -> int:
        """The sum of all."""
        return sum(count for (count,) in _NUMBER.iter_unpack(self._map))
