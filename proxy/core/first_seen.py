"""When files were first seen here: for indexes that do not say themselves when they got a file.

What a builder says of the time is not believed: a file is as old as this proxy's knowledge of it.
Only of what an index lists when it is first looked at is its own date taken, because all of that
may be old. A table is a run of entries: 16 bytes that stand for the file, u32 little-endian
seconds since the epoch.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping

from proxy.errors import StorageError

_ENTRY = struct.Struct("<16sI")
_LATEST = (1 << 32) - 1


def identity(*parts: str) -> bytes:
    """What stands for a file of which only texts are known: its name, say."""
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=16).digest()


def read(table: bytes | memoryview) -> dict[bytes, int]:
    """The times by identity. Raises StorageError where *table* is none."""
    if len(table) % _ENTRY.size:
        raise StorageError("a table of first sights is cut short")
    return dict(_ENTRY.iter_unpack(table))


def before(table: bytes | memoryview, moment: float) -> frozenset[bytes]:
    """The files first seen before *moment*. Raises StorageError where *table* is none."""
    if len(table) % _ENTRY.size:
        raise StorageError("a table of first sights is cut short")
    return frozenset([file for file, at in _ENTRY.iter_unpack(table) if at < moment])


def merged(
    known: Mapping[bytes, int] | None, files: Iterable[tuple[bytes, float | None]], now: float
) -> bytes:
    """The table after *files* were seen at *now*: (identity, date to believe at the start).

    *known* is the table until then; None: this is the start. A date to come counts as now.
    """
    moment = _bounded(now)
    if known is None:
        times = {
            file: moment if date is None else min(_bounded(date), moment) for file, date in files
        }
    else:
        times = {**dict.fromkeys((file for file, _ in files), moment), **known}
    return b"".join([_ENTRY.pack(*item) for item in times.items()])


def _bounded(seconds: float) -> int:
    return min(max(int(seconds), 0), _LATEST)
