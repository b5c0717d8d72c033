"""When files were first seen here: for indexes that do not say themselves when they got a file.

What a builder says of the time is not believed: a file is as old as this proxy's knowledge of it.
Only of what an index lists when it is first looked at is its own date taken, because all of that
may be old. A table is a column of 16 bytes for each file, then one of u32, little-endian: the
seconds since the epoch.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping

from proxy.errors import StorageError

_FILE = 16  # bytes that stand for a file
_ENTRY = _FILE + 4
_LATEST = (1 << 32) - 1


def identity(*parts: str) -> bytes:
    """What stands for a file of which only texts are known: its name, say."""
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=_FILE).digest()


def read(table: bytes | memoryview) -> dict[bytes, int]:
    """The times by identity. Raises StorageError where *table* is none."""
    files, times = _columns(table)
    return dict(zip(files, times, strict=True))


def before(seen: Mapping[bytes, float], moment: float) -> frozenset[bytes]:
    """The files first seen before *moment*."""
    return frozenset([file for file, at in seen.items() if at < moment])


def holds(table: bytes | memoryview, file: bytes) -> bool:
    """Whether *table* has that file."""
    column = bytes(table[: len(table) // _ENTRY * _FILE])
    at = column.find(file)
    while at % _FILE and at >= 0:
        at = column.find(file, at + 1)
    return at >= 0


def _columns(table: bytes | memoryview) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    if len(table) % _ENTRY:
        raise StorageError("a table of first sights is cut short")
    end = len(table) // _ENTRY * _FILE
    whole = bytes(table)
    times = struct.unpack(f"<{end // _FILE}I", whole[end:])
    files = struct.Struct(f"{_FILE}s" * len(times)).unpack_from(whole)  # twice as fast as slices
    return files, times


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
    return b"".join([*times, struct.pack(f"<{len(times)}I", *times.values())])


def _bounded(seconds: float) -> int:
    return min(max(int(seconds), 0), _LATEST)
