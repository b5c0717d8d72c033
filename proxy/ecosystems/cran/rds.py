"""R's serialisation ("R Internals", section 1.8), as far as the indexes of repositories need it.

Vectors with attributes are written in version 2, which every R since 1.4 reads. `matrix` is the
quick way for the one large thing that is written: PACKAGES as a table of texts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NULL = 254
SYMBOL = 1
PAIRLIST = 2
CHAR = 9
LOGICAL = 10
INTEGER = 13
REAL = 14
STRING = 16
LIST = 19
"""The types of R's values, as they are numbered in its files."""

IS_OBJECT = 1 << 8
HAS_ATTRIBUTES = 1 << 9
HAS_TAG = 1 << 10

_LATIN1, _UTF8, _ASCII = 1 << 14, 1 << 15, 1 << 18  # flags of a text
_HEADER = b"X\n" + struct.pack(">iii", 2, 0x030500, 0x020300)
_INT = struct.Struct(">i")
_TEXT = struct.Struct(">Ii")

NA_TEXT = _TEXT.pack(CHAR, -1)
"""The text that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """A value: `values` are floats, ints, texts (as bytes; None: NA) or vectors.

    Numbers are kept as they lie in the file, big-endian, so that NA survives. `None` among the
    members of a list is R's NULL.
    """

    type: int
    values: Sequence[Any] | bytes
    attributes: Mapping[bytes, Vector | None] = field(default_factory=dict)

    def __len__(self) -> int:
        width = _WIDTHS.get(self.type, 1)
        return len(self.values) // width


_WIDTHS = {LOGICAL: 4, INTEGER: 4, REAL: 8}


def integers(*values: int) -> Vector:
    """A vector of integers."""
    return Vector(type=INTEGER, values=struct.pack(f">{len(values)}i", *values))


def texts(values: Sequence[bytes | None]) -> Vector:
    """A vector of texts."""
    return Vector(type=STRING, values=values)


def written(value: Vector) -> bytes:
    """*value* as a file of R's, not packed."""
    return _HEADER + b"".join(_pieces(value))


def matrix(
    columns: Sequence[bytes], rows: Sequence[bytes], cells: Sequence[Sequence[bytes]]
) -> bytes:
    """A table of texts with the names of its rows and columns, as a file of R's.

    *cells* are encoded (`text`), column by column.
    """
    names = Vector(type=LIST, values=(texts(rows), texts(columns)))
    size = len(rows) * len(columns)
    return b"".join(
        [
            _HEADER,
            struct.pack(">Ii", STRING | HAS_ATTRIBUTES, size),
            *(b"".join(column) for column in cells),
            *_attributes({b"dim": integers(len(rows), len(columns)), b"dimnames": names}),
        ]
    )


def text(value: bytes | None) -> bytes:
    """One text as it stands in a file; what is not UTF-8 is taken for Latin-1."""
    if value is None:
        return NA_TEXT
    if value.isascii():
        return _TEXT.pack(CHAR | _ASCII, len(value)) + value
    try:
        value.decode()
    except UnicodeDecodeError:
        return _TEXT.pack(CHAR | _LATIN1, len(value)) + value
    return _TEXT.pack(CHAR | _UTF8, len(value)) + value


def _pieces(value: Vector | None) -> Iterator[bytes]:
    if value is None:
        yield _INT.pack(NULL)
        return
    yield struct.pack(">Ii", value.type | _flags(value.attributes), len(value))
    values: Any = value.values
    if isinstance(values, bytes):
        yield values
    elif value.type == STRING:
        yield from map(text, values)
    else:
        for member in values:
            yield from _pieces(member)
    if value.attributes:
        yield from _attributes(value.attributes)


def _flags(attributes: Mapping[bytes, Vector | None]) -> int:
    """R finds the methods of a class by a flag beside the attribute."""
    return HAS_ATTRIBUTES * bool(attributes) | IS_OBJECT * (b"class" in attributes)


def _attributes(attributes: Mapping[bytes, Vector | None]) -> Iterator[bytes]:
    # A symbol may be written anew each time: R looks it up by its name.
    for name, value in attributes.items():
        yield struct.pack(">II", PAIRLIST | HAS_TAG, SYMBOL) + text(name)
        yield from _pieces(value)
    yield _INT.pack(NULL)
