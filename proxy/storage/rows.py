"""The catalog's values as bytes, and what is read from its table beside diskcache.

Values are msgpack of a tagged union and nothing else, so that no row can be a way to run code.
Diskcache reads one key at a time, or lists them all; whole ranges of keys are read here.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence

import msgspec
from diskcache.core import MODE_RAW

from proxy.core.model import Absence, Digest, Entry, View
from proxy.storage.ports import Remembered

VERSION = 1
"""Of the values' layout; values of another version are not understood and count as absent."""

_DELETED = 500  # keys deleted by one statement

_PUT = (
    "INSERT INTO Cache (key, raw, store_time, access_time, access_count, size, mode, value)"
    " VALUES (?1, 1, ?2, ?2, 0, 0, ?3, ?4) ON CONFLICT (key, raw) DO UPDATE SET"
    " store_time = excluded.store_time, expire_time = NULL, access_time = excluded.access_time,"
    " access_count = 0, tag = NULL, size = 0, mode = excluded.mode, filename = NULL,"
    " value = excluded.value"
)

_PAGE = 1000  # rows read at a time: a longer reading would keep SQLite's log from being emptied
_KINDS: dict[str, type[Remembered]] = {"entry": Entry, "absence": Absence, "view": View}
_TAGS = {kind: tag for tag, kind in _KINDS.items()}
_encode = msgspec.msgpack.Encoder().encode


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    version: int
    kind: str
    value: msgspec.Raw


_decoder = msgspec.msgpack.Decoder(_Stored)


def encoded(value: Remembered) -> bytes:
    """*value* as it is stored."""
    return _encode(_Stored(VERSION, _TAGS[type(value)], msgspec.Raw(_encode(value))))


def decoded(data: bytes) -> Remembered:
    """Read what `encoded` made. Raises ValueError."""
    try:
        stored = _decoder.decode(data)
        if stored.version != VERSION or stored.kind not in _KINDS:
            raise ValueError(f"a value of version {stored.version}, kind {stored.kind!r}")
        return msgspec.msgpack.decode(stored.value, type=_KINDS[stored.kind])
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error


# Each of these two writes by a single statement outside of any transaction. SQLite takes its lock,
# writes and lets go of it without a turn in the interpreter, so that no thread that waits for the
# interpreter's lock, or for the processor that another thread with that lock is waiting for, keeps
# other processes from writing.


def put_in(connection: sqlite3.Connection, key: str, data: bytes) -> None:
    """Write a value, in place of what the key had."""
    connection.execute(_PUT, (key, time.time(), MODE_RAW, data))


def delete_in(connection: sqlite3.Connection, keys: Sequence[str]) -> None:
    """Delete these keys, where they are there."""
    for start in range(0, len(keys), _DELETED):
        some = keys[start : start + _DELETED]
        places = ", ".join("?" * len(some))
        connection.execute(f"DELETE FROM Cache WHERE raw = 1 AND key IN ({places})", some)  # noqa: S608 - no foreign text


def keys_in(connection: sqlite3.Connection, prefix: str) -> Iterator[str]:
    """All keys that start with *prefix*: a range scan of the key's index."""
    rows = connection.execute(
        "SELECT key FROM Cache WHERE raw = 1 AND key >= ? AND key < ?",
        (prefix, prefix + "\U0010ffff"),
    )
    return (row[0] for row in rows if isinstance(row[0], str))


def values_in(connection: sqlite3.Connection, prefix: str) -> Iterator[tuple[str, Remembered]]:
    """All values whose keys start with *prefix*, by key; those that can be decoded."""
    after, end = prefix, prefix + "\U0010ffff"
    operator = ">="
    while True:
        rows = connection.execute(
            f"SELECT key, value FROM Cache WHERE raw = 1 AND mode = ? AND key {operator} ? "  # noqa: S608 - no foreign text
            "AND key < ? ORDER BY key LIMIT ?",
            (MODE_RAW, after, end, _PAGE),
        ).fetchall()
        for key, data in rows:
            try:
                yield key, decoded(data)
            except (ValueError, TypeError):
                continue
        if len(rows) < _PAGE:
            return
        after, operator = rows[-1][0], ">"


def named_in(connection: sqlite3.Connection, prefix: str) -> Iterator[tuple[str, Digest]]:
    """The keys that start with *prefix* and the blob that the value of each names, if it does."""
    for key, value in values_in(connection, prefix):
        if not isinstance(value, Absence) and value.digest:
            yield key, value.digest
