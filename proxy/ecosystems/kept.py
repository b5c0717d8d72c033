"""What an allow-list keeps of an index, closed over dependencies: one table for each closure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from proxy.errors import StorageError


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One record that is kept: what stands for it, and through which package it came in.

    `subdir` is the part of the mirror that it is in. `through` is None for what a spec matches
    itself.
    """

    identity: bytes
    subdir: str
    filename: str
    name: str
    version: str
    through: str | None


Table = Mapping[str, list[Kept]]
"""What each list of specs keeps, by `key`."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, list[Kept]]).decode


def key(specs: Sequence[str]) -> str:
    """What a list of specs is found under."""
    return "\n".join(specs)


def encoded(table: Table) -> bytes:
    """The table as `read` reads it."""
    return _encode(table)


def read(table: bytes | memoryview) -> Table:
    """What `encoded` made. Raises StorageError where that has been damaged since."""
    try:
        return _decode(table)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise StorageError(f"a table of what allow-lists keep is damaged: {error}") from error
