"""Which blobs were used, written behind: a hit costs one entry in a dictionary and no disk write.

A blob's last use is its file's modification time: it needs no second store, outlives the
catalog, is shared by all processes, and is not moved by backups, as the access time is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from proxy.core.model import Digest

GRAIN = 600.0
"""Seconds within which a second use of a blob is not written down: eviction knows no finer."""

MOST = 100_000
"""Uses that wait to be written; further ones are not noted until these are."""


class Uses:
    """Notes uses in memory; writes them down when told to."""

    def __init__(self, place: Callable[[Digest], Path]) -> None:
        """*place* says where a blob lies."""
        self._place = place
        self._noted: dict[Digest, None] = {}

    def __len__(self) -> int:
        return len(self._noted)

    def note(self, digest: Digest) -> None:
        """*digest* is used now."""
        if len(self._noted) < MOST:
            self._noted[digest] = None

    def write(self) -> int:
        """Write down what was noted; returns for how many blobs. For a thread.

        What cannot be written is forgotten: it only makes a blob look older than it is.
        """
        noted, self._noted = self._noted, {}
        before = time.time() - GRAIN
        return sum(_touched(self._place(digest), before) for digest in noted)


def _touched(path: Path, before: float) -> bool:
    try:
        if path.stat().st_mtime >= before:
            return False
        os.utime(path)
    except OSError:  # removed since, or not ours to change
        return False
    return True
