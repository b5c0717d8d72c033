"""An index's row table: what the gate must know of one file, found without reading the index.

A sorted, memory-mappable map from a text key to a short byte value. `build` makes it in one
pass beside the rendering of a view; `Table` looks one key up in O(log n) without decoding the
rest, so that a file out of 600,000 is judged in microseconds.

Layout, little-endian: magic `b"ROWS2\0\0\0"`, u64 count, count+1 u64 offsets (from the start
of the file) of the keys in order, count+1 of their values, the keys (UTF-8), the values.
A pack (the shards of one generation) uses the same layout: its values are the members.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import msgspec

from proxy.core.model import Expected
from proxy.errors import StorageError

MAGIC = b"ROWS2\0\0\0"
_COUNT = struct.Struct("<8sQ")
_OFFSETS = struct.Struct("<2Q")
_OFFSET = 8  # bytes
_BATCH = 4096  # values written at a time


class Row(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """What one index says of one file, as far as serving it needs.

    `url` is where upstream has it: absolute, or None for "beside the index, under its own
    name". `hashes` are lower-case hex by algorithm name. `denied` is (rule, reason) where
    policy hides the file, and `until` when it will be old enough to be shown (seconds since the
    epoch), where it will. `derived`: the file is to be read out of the one at `url`, which is what
    `size` and `hashes` are of.
    """

    url: str | None = None
    size: int | None = None
    hashes: dict[str, str] = {}
    denied: tuple[str, str] | None = None
    derived: bool = False
    until: int | None = None

    @property
    def expected(self) -> Expected:
        return Expected(size=self.size, hashes=self.hashes)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Row)
_PLAIN = b"\xc1"  # which nothing in MessagePack begins with
_MARK = _PLAIN[0] << 56
# Arrays of 3, 2, 1 and 0, and rows with a size and a digest alone.
_WITHOUT = (b"\x93", b"\x92", b"\x91", b"\x90", _PLAIN)
_IS_LITTLE = array("H", [1]).tobytes() == b"\1\0"  # how this machine writes numbers
PLAIN = 40
_PLAIN_ROW = struct.Struct(">Q32s")
PLAIN_SIZE = 1 << 56


def encode_plain(sizes: Sequence[int], digests: Sequence[bytes]) -> bytes:
    """The values, end to end and each of `PLAIN` bytes, of as many rows of files beside their
    index: their sizes in bytes, below `PLAIN_SIZE`, and their SHA-256.
    """
    rows = bytearray(PLAIN * len(sizes))
    # In words of eight bytes a row is its size and the four of its digest.
    with memoryview(rows).cast("Q") as words, memoryview(b"".join(digests)).cast("Q") as said:
        words[::5] = memoryview(_big(array("Q", sizes)))
        for place in range(4):
            words[place + 1 :: 5] = said[place::4]
    rows[::PLAIN] = _PLAIN * len(sizes)
    return bytes(rows)


def encode_row(row: Row) -> bytes:
    """A row as the value of a table."""
    if row.denied is None and not row.derived:
        return _encoder.encode((row.url, row.size, row.hashes))
    return _encoder.encode(row)


def is_denied(value: bytes) -> bool:
    """Whether the row says that policy hides the file. Raises StorageError."""
    # In the array that a row is nothing follows the hashes where there is nothing to say.
    return value[:1] not in _WITHOUT and decode_row(value).denied is not None


def decode_row(value: bytes | memoryview) -> Row:
    """Read what `encode_row` or `encode_plain` wrote. Raises StorageError."""
    if value[:1] == _PLAIN and len(value) == PLAIN:
        marked, digest = _PLAIN_ROW.unpack(value)
        return Row(size=marked ^ _MARK, hashes={"sha256": digest.hex()})
    try:
        return _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StorageError(f"a row table holds an unreadable row: {error}") from error


Value = bytes | memoryview


def build(rows: Mapping[str, Value] | Iterable[tuple[str, Value]]) -> Iterator[bytes]:
    """Yield the table's bytes. Of two rows with one key the later one counts."""
    table = rows if isinstance(rows, dict) else dict(rows)
    keys = sorted(table)  # the order of code points is that of their UTF-8
    values = [table[key] for key in keys]
    yield head(keys, map(len, values))
    for at in range(0, len(values), _BATCH):
        yield b"".join(values[at : at + _BATCH])


def head(keys: Sequence[str], lengths: Iterable[int] | int, magic: bytes = MAGIC) -> bytes:
    """All of a table but its values, which follow, each of one of the *lengths* (in bytes), or all
    of that length; *keys* are sorted.
    """
    joined, sizes = _encoded(keys)
    start = _COUNT.size + 2 * _OFFSET * (len(keys) + 1)
    first = start + len(joined)
    ends = (
        range(first, first + lengths * len(keys) + 1, lengths)
        if isinstance(lengths, int)
        else accumulate(lengths, initial=first)
    )
    return b"".join(
        (
            _COUNT.pack(magic, len(keys)),
            _packed(accumulate(sizes, initial=start)),
            _packed(ends),
            joined,
        )
    )


def _encoded(keys: Sequence[str]) -> tuple[bytes, Iterable[int]]:
    """All keys in UTF-8, and how long each is."""
    joined = "".join(keys)
    if joined.isascii():
        return joined.encode(), map(len, keys)
    encoded = [key.encode() for key in keys]
    return b"".join(encoded), map(len, encoded)


def _packed(offsets: Iterable[int]) -> bytes:
    return _little(array("Q", offsets)).tobytes()


def _little(numbers: array[int]) -> array[int]:
    """*numbers* in little-endian order, or from it."""
    if not _IS_LITTLE:
        numbers.byteswap()
    return numbers


def _big(numbers: array[int]) -> array[int]:
    """*numbers* in big-endian order, or from it."""
    if _IS_LITTLE:
        numbers.byteswap()
    return numbers


class Columns(NamedTuple):
    """A table: where its keys and its values begin, with the end of the last, and all of them."""

    keys: array[int]
    values: array[int]
    names: memoryview
    held: memoryview


def _texts(columns: Columns) -> list[str]:
    """All keys. Raises StorageError."""
    first = columns.keys[0]
    try:
        if columns.names.nbytes and bytes(columns.names).isascii():
            names = str(columns.names, "ascii")
            return [names[start - first : end - first] for start, end in pairwise(columns.keys)]
        return [
            str(columns.names[start - first : end - first], "utf-8")
            for start, end in pairwise(columns.keys)
        ]
    except UnicodeDecodeError as error:
        raise StorageError(f"a row table is damaged: {error}") from error


class Table:
    """Look-up in a table's bytes (usually a memory map). Raises StorageError if it is not one."""

    def __init__(self, buffer: Any, magic: bytes = MAGIC) -> None:
        """*buffer*: anything with the buffer protocol: bytes, mmap."""
        self._view = memoryview(buffer)
        self._magic = magic
        try:
            self._count = self._checked()
        except StorageError:
            self._view.release()  # or a memory map could not be closed
            raise

    def __len__(self) -> int:
        return int(self._count)

    def find(self, key: str) -> tuple[int, int] | None:
        """Where *key*'s value lies: (offset, length) in the buffer, or None."""
        wanted = key.encode(errors="surrogatepass")
        number = self.number_of(wanted)
        if number == len(self) or self.key(number) != wanted:
            return None
        return self.place(number)

    def number_of(self, key: bytes) -> int:
        """How many keys are below that one."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self.key(middle) < key:
                low = middle + 1
            else:
                high = middle
        return low

    def get(self, key: str) -> bytes | None:
        """*key*'s value, or None."""
        found = self.find(key)
        return None if found is None else bytes(self._view[found[0] : found[0] + found[1]])

    def view(self, key: str) -> memoryview | None:
        """The same without a copy."""
        found = self.find(key)
        return None if found is None else self._view[found[0] : found[0] + found[1]]

    def close(self) -> None:
        """Let go of the buffer."""
        self._view.release()

    def keys(self) -> Iterator[str]:
        """All keys, in order of their UTF-8 bytes. Raises StorageError, as the next three do."""
        return iter(_texts(self.columns()))

    def items(self) -> Iterator[tuple[str, bytes]]:
        """All entries, in order of their keys' bytes."""
        columns = self.columns()
        held, first = bytes(columns.held), columns.values[0]
        values = [held[start - first : end - first] for start, end in pairwise(columns.values)]
        return zip(_texts(columns), values, strict=True)

    def views(self) -> Iterator[tuple[str, memoryview]]:
        """The same without a copy."""
        view = self._view
        return ((key, view[at : at + length]) for key, (at, length) in self.places())

    def places(self) -> Iterator[tuple[str, tuple[int, int]]]:
        """All keys, and where their values lie, as `find` says it."""
        columns = self.columns()
        places = [(start, end - start) for start, end in pairwise(columns.values)]
        return zip(_texts(columns), places, strict=True)

    def columns(self) -> Columns:
        """All of it at once. Raises StorageError."""
        view = self._view
        keys, values = array("Q"), array("Q")
        keys.frombytes(view[_COUNT.size : self._values])
        values.frombytes(view[self._values : self._start])
        keys, values = _little(keys), _little(values)
        ends = [self._start, keys[0], keys[-1], values[0], values[-1], len(view)]
        if sorted(keys) != list(keys) or sorted(values) != list(values) or sorted(ends) != ends:
            raise StorageError("a row table is damaged")
        return Columns(keys, values, view[keys[0] : keys[-1]], view[values[0] : values[-1]])

    def _checked(self) -> int:
        if len(self._view) < _COUNT.size:
            raise StorageError("a row table is cut short")
        magic, count = _COUNT.unpack_from(self._view)
        if magic != self._magic:
            raise StorageError("a row table has the wrong magic")
        self._values = _COUNT.size + _OFFSET * (count + 1)  # where the values' offsets lie
        self._start = self._values + _OFFSET * (count + 1)  # where the keys do
        if self._start > len(self._view):
            raise StorageError("a row table is cut short")
        last = self._view[self._start - _OFFSET : self._start]
        if int.from_bytes(last, "little") != len(self._view):
            raise StorageError("a row table is cut short")
        return int(count)

    def _span(self, column: int, number: int) -> tuple[int, int]:
        """Between which bytes that lies which a column of offsets leads to. Raises StorageError."""
        start, end = _OFFSETS.unpack_from(self._view, column + _OFFSET * number)
        if not self._start <= start <= end <= len(self._view):
            raise StorageError("a row table is damaged")
        return int(start), int(end)

    def place(self, number: int) -> tuple[int, int]:
        """Where the value with that number lies. Raises StorageError."""
        start, end = self._span(self._values, number)
        return start, end - start

    def key(self, number: int) -> bytes:
        """The key with that number, in order, in UTF-8."""
        start, end = self._span(_COUNT.size, number)
        return bytes(self._view[start:end])
