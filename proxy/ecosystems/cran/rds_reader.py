"""Reads R's serialisation, versions 2 and 3, as far as indexes of repositories are written in it.

Vectors, lists, their attributes and the compact forms that R 3.5 and later write for plain vectors.
Code, environments and pointers, which can have no meaning in an index, are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from proxy.ecosystems.cran.rds import (
    CHAR,
    HAS_ATTRIBUTES,
    HAS_TAG,
    INTEGER,
    LIST,
    LOGICAL,
    NULL,
    PAIRLIST,
    REAL,
    STRING,
    SYMBOL,
    Vector,
)
from proxy.errors import BadIndex

_REFERENCE = 255
_COMPACT = 238  # ALTREP
_LONGEST = 50_000_000  # members of a vector, of more than any index has
_COUNTED = 1_000_000  # members of a sequence, which is a few bytes long in the file
_DEEPEST = 32  # levels of vectors within vectors
_WRAPPERS = frozenset(
    {b"wrap_real", b"wrap_integer", b"wrap_logical", b"wrap_string", b"wrap_list"}
)
_INT = struct.Struct(">i")
_TEXT = struct.Struct(">ii")  # what it is, and its length

_Pairs = dict[bytes, Vector | None]


def read(content: bytes) -> Vector:
    """The value in *content*, a file of R's that is not packed. Raises BadIndex."""
    try:
        reader = _Reader(content)
        value = reader.value(0)
    except struct.error as error:
        raise BadIndex("the R data is cut short") from error
    if value is None or not reader.at_end:
        raise BadIndex("the R data is not one value")
    return value


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0
        self._symbols: list[bytes] = []
        self._header()

    @property
    def at_end(self) -> bool:
        return self._at == len(self._content)

    def value(self, depth: int) -> Vector | None:
        """The next value; None is R's NULL. Raises BadIndex, and struct.error at the end."""
        if depth > _DEEPEST:
            raise BadIndex("the R data is nested too deeply")
        flags = self._int()
        kind = flags & 0xFF
        if kind == NULL:
            return None
        if kind == _COMPACT:
            return self._compact(depth)
        read = _MEMBERS.get(kind)
        if read is None:
            raise BadIndex(f"the R data holds a value of type {kind}, which no index has")
        values = read(self, self._length(), depth)
        attributes = self._pairs(depth) if flags & HAS_ATTRIBUTES else {}
        return Vector(type=kind, values=values, attributes=attributes)

    def _header(self) -> None:
        if self._take(2) != b"X\n":
            raise BadIndex("the body is no R data in XDR form")
        version = self._int()
        self._take(8)
        if version == 3:
            self._take(self._length())  # the name of the encoding
        elif version != 2:
            raise BadIndex(f"the R data is of version {version}; 2 and 3 are known")

    def _pairs(self, depth: int) -> _Pairs:
        """A pair list with names. Raises BadIndex where it is anything else."""
        found: _Pairs = {}
        while (flags := self._int()) != NULL:
            if flags & 0xFF != PAIRLIST or not flags & HAS_TAG or flags & HAS_ATTRIBUTES:
                raise BadIndex("the R data has attributes that are no list of names and values")
            name = self._symbol()
            found[name] = self.value(depth + 1)
        return found

    def _symbol(self) -> bytes:
        flags = self._int()
        if flags & 0xFF == _REFERENCE:
            number = flags >> 8 or self._int()
            if not 0 < number <= len(self._symbols):
                raise BadIndex("the R data refers to a name that it has not")
            return self._symbols[number - 1]
        if flags & 0xFF != SYMBOL:
            raise BadIndex("the R data has a name that is none")
        (name,) = self.texts(1, 0)
        if name is None:
            raise BadIndex("the R data has a name that is not there")
        self._symbols.append(name)
        return name

    def _compact(self, depth: int) -> Vector:
        """A vector in a form of R's own: its class, what it is made of, its attributes."""
        name = self._class()
        if name in _WRAPPERS:
            made = self._wrapped(depth)
        elif name == b"compact_intseq":
            made = self._sequence(depth)
        else:
            raise BadIndex(f"the R data has a vector in the unknown form {name[:40]!r}")
        return Vector(type=made.type, values=made.values, attributes=self._pairs(depth))

    def _wrapped(self, depth: int) -> Vector:
        """A pair of the vector and what R knows of its order."""
        inner = self.value(depth + 1) if self._int() == PAIRLIST else None
        if inner is None:
            raise BadIndex("the R data has a wrapped vector without one in it")
        self.value(depth + 1)
        return inner

    def _class(self) -> bytes:
        """The first of a pair list without names: the form's name, its package's and its type."""
        found: list[bytes] = []
        while (flags := self._int()) != NULL:
            if flags & 0xFF != PAIRLIST or flags & (HAS_TAG | HAS_ATTRIBUTES) or len(found) > 2:
                raise BadIndex("the R data has a compact vector without a form")
            if len(found) < 2:
                found.append(self._symbol())
            else:
                self.value(1)
                found.append(b"")
        if len(found) != 3:
            raise BadIndex("the R data has a compact vector without a form")
        return found[0]

    def _sequence(self, depth: int) -> Vector:
        state = self.value(depth + 1)
        if state is None or state.type != REAL or len(state) != 3:
            raise BadIndex("the R data has a sequence without bounds")
        assert isinstance(state.values, bytes)
        count, first, step = struct.unpack(">ddd", state.values)
        if step not in (1, -1) or not 0 <= count <= _COUNTED or not abs(first) < 2**30:
            raise BadIndex("the R data has a sequence with impossible bounds")
        numbers = range(int(first), int(first) + int(count) * int(step), int(step))
        return Vector(type=INTEGER, values=struct.pack(f">{len(numbers)}i", *numbers))

    def _length(self) -> int:
        length = self._int()
        if not 0 <= length <= _LONGEST:
            raise BadIndex(f"the R data has a vector of {length} members")
        return length

    def _int(self) -> int:
        (number,) = _INT.unpack_from(self._content, self._at)
        self._at += 4
        return int(number)

    def _take(self, size: int) -> bytes:
        end = self._at + size
        if size < 0 or end > len(self._content):
            raise BadIndex("the R data is cut short")
        piece = self._content[self._at : end]
        self._at = end
        return piece

    def texts(self, length: int, _: int) -> list[bytes | None]:
        """Texts, of which an index has most; None is NA."""
        content, at, end = self._content, self._at, len(self._content)
        found: list[bytes | None] = []
        for _ in range(length):
            flags, size = _TEXT.unpack_from(content, at)
            at += _TEXT.size
            if flags & (0xFF | HAS_ATTRIBUTES) != CHAR:
                raise BadIndex("the R data has a text that is none")
            if size == -1:
                found.append(None)
                continue
            if not 0 <= size <= end - at:
                raise BadIndex("the R data is cut short")
            found.append(content[at : at + size])
            at += size
        self._at = at
        return found

    def members(self, length: int, depth: int) -> list[Vector | None]:
        return [self.value(depth + 1) for _ in range(length)]

    def four(self, length: int, _: int) -> bytes:
        return self._take(length * 4)

    def eight(self, length: int, _: int) -> bytes:
        return self._take(length * 8)


_MEMBERS: Mapping[int, Callable[[_Reader, int, int], Sequence[Any] | bytes]] = {
    LOGICAL: _Reader.four,
    INTEGER: _Reader.four,
    REAL: _Reader.eight,
    STRING: _Reader.texts,
    LIST: _Reader.members,
}
