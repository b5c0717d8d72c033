"""The JSON text of an index: unpacked, and split into members that stay as they were written.

What a member means is left to others; here it is bytes between two commas.
"""

from __future__ import annotations

from typing import Any

import msgspec
import zstandard

from proxy.core.model import Index
from proxy.ecosystems.base import Body
from proxy.errors import BadIndex

LARGEST = 4 << 30
"""Bytes of decompressed JSON that are accepted; conda-forge's largest is below a tenth of it."""

RATIO = 200
"""Bytes of JSON that one byte of Zstandard may stand for: real indexes need a tenth of it."""

SMALL = 64 << 20
"""Bytes of decompressed JSON that are accepted whatever they were compressed to."""

EMPTY = b"{}"
"""What an empty file stands for (CEP 36)."""

UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What the decoder raises for JSON that is not what it should be."""

_PIECE = 4096  # bytes fed at a time: Zstandard makes 128 MiB of them at worst
_LARGE_PIECE = 1 << 18
_HEADER = 18  # bytes that a frame's header has at the most (RFC 8878 section 3.1.1.1)


def plain_text(index: Index, body: Body, *, largest: int = LARGEST) -> bytes | memoryview:
    """The JSON text of *body*, decompressed where its source's name says so. Raises BadIndex."""
    if not body.source.endswith(".zst"):
        return body.content if len(body.content) else EMPTY
    packed = memoryview(body.content)
    largest = min(largest, max(SMALL, RATIO * len(packed)))
    text: bytes | bytearray | None
    try:
        text = _one_frame(packed, largest) or _decompressed(packed, largest)
    except zstandard.ZstdError as error:
        raise BadIndex(f"{index.path}: {body.source} is not Zstandard: {error}") from error
    except _TooLong as error:
        raise BadIndex(f"{index.path} is longer than {largest} bytes") from error
    if text is None:
        raise BadIndex(f"{index.path}: {body.source} is cut short")
    return memoryview(text) if text else EMPTY


def objects(text: bytes | memoryview | msgspec.Raw, where: str) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, unread. Raises BadIndex."""
    try:
        return msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except UNREADABLE as error:
        raise BadIndex(f"{where} is not a JSON object: {error}") from error


def values(raw: msgspec.Raw | None, where: str) -> dict[str, Any]:
    """A small JSON object, read; an absent one is empty. Raises BadIndex."""
    if raw is None:
        return {}
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except UNREADABLE as error:
        raise BadIndex(f"{where} is not a JSON object: {error}") from error


class _TooLong(Exception):
    """More text than is accepted."""


def _one_frame(packed: memoryview, largest: int) -> bytes | None:
    """The text of a file that is one frame, which says how long it is; None: it is not, or odd."""
    try:
        if 0 < zstandard.frame_content_size(packed[:_HEADER]) <= largest:
            return zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError:  # another way of reading finds out what is wrong
        pass
    return None


def _decompressed(packed: memoryview, largest: int) -> bytearray | None:
    """All frames of *packed*; None where the last one lacks its end.

    A frame object knows whether its frame ended; the library's stream reader does not say, and
    takes a file that was cut short for a short one.
    """
    decompressor = zstandard.ZstdDecompressor()
    text = bytearray()
    at = 0
    frame = None
    size = _PIECE
    while at < len(packed):
        if frame is None:
            # No more comes of a frame than it says, and who says nothing gets little at a time.
            said = zstandard.frame_content_size(packed[at : at + _HEADER])
            size = _LARGE_PIECE if 0 <= said <= largest else _PIECE
            frame = decompressor.decompressobj()
        piece = packed[at : at + size]
        text += frame.decompress(piece)
        if len(text) > largest:
            raise _TooLong
        at += len(piece) - len(frame.unused_data)
        if frame.eof:
            frame = None
    return text if at and frame is None else None
