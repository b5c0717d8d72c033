"""Compressed bytes, told apart by how they begin: what R and CRAN pack with gzip, bzip2 or xz.

A server may send `PACKAGES.gz` with the packing taken off, so names decide nothing.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from typing import Protocol

from proxy.errors import BadIndex

LARGEST = 1 << 30
"""Bytes that are unpacked at the most; CRAN's longest index, unpacked, is a tenth of this."""

_LEVEL = 3  # on PACKAGES an eighth larger than with 6, in half the time


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def unpacked(content: bytes | memoryview) -> bytes:
    """The bytes within *content*, or itself where it is not packed. Raises BadIndex."""
    rest = bytes(content)
    if _unpacker(rest) is None:
        return rest
    pieces: list[bytes] = []
    size = 0
    while rest:  # one member after the other, as gzip and xz allow
        one = _unpacker(rest)
        if one is None:
            raise BadIndex("the body goes on behind the end of its packed part")
        try:
            piece = one.decompress(rest, LARGEST + 1 - size)
        except (zlib.error, OSError, EOFError, lzma.LZMAError) as error:
            raise BadIndex(f"the body cannot be unpacked: {error}") from error
        size += len(piece)
        if size > LARGEST:
            raise BadIndex(f"unpacked the body is longer than {LARGEST} bytes")
        if not one.eof:
            raise BadIndex("the body is cut short")
        pieces.append(piece)
        rest = one.unused_data
    return b"".join(pieces)


def is_gzip(content: bytes | memoryview) -> bool:
    """Whether *content* begins as gzip does."""
    return bytes(content[:2]) == b"\x1f\x8b"


def gzipped(content: bytes) -> bytes:
    """*content* packed, the same bytes each time."""
    return gzip.compress(content, _LEVEL, mtime=0)


def _unpacker(content: bytes) -> _Unpacker | None:
    if is_gzip(content):
        return zlib.decompressobj(31)
    if content.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    if content.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ)
    return None
