"""A large row table in blocks: rows of neighbours in an index, each block a table of its own.

The bytes of a block do not depend on where it is. So a refresh, in which nearly all of an index
stays, copies blocks without looking into them, and two processes make blocks of one table.

Several runs of blocks lie one after another (an index has several lists of files, each of them
sorted); in a run all keys of a block come before those of the next. The whole is a table (`rows`)
under another magic: its values are the blocks, its keys the number of the run as one character and
the first key of the block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from proxy.core.rows import MAGIC, Table, Value, head
from proxy.errors import StorageError

_MAGIC = b"BLOCKS1\0"
_BATCH = 16  # blocks written at a time


class Block(NamedTuple):
    """Some rows, with the first and the last of their keys."""

    first: str
    last: str
    table: Value


def block(keys: Sequence[str], values: bytes, lengths: Iterable[int] | int) -> Block:
    """The rows with these *keys*, which are sorted, and *values*, end to end, of these *lengths*
    (in bytes), or all of that length.
    """
    return Block(keys[0], keys[-1], head(keys, lengths) + values)


def is_run(blocks: Sequence[Block]) -> bool:
    """Whether no key of a block comes before one of an earlier block."""
    return all(one.last < other.first for one, other in pairwise(blocks))


def build(runs: Iterable[Sequence[Block]]) -> Iterator[bytes]:
    """Yield the bytes of the table. Of two rows with one key that of the later run counts."""
    places = [(chr(number) + one.first, one) for number, run in enumerate(runs) for one in run]
    tables = [one.table for _, one in places]
    yield head([key for key, _ in places], map(len, tables), _MAGIC)
    for at in range(0, len(tables), _BATCH):
        yield b"".join(tables[at : at + _BATCH])


class Blocks:
    """Look-up in such a table, as in any other. Raises StorageError if it is not one."""

    def __init__(self, buffer: Any) -> None:
        """*buffer*: anything with the buffer protocol: bytes, mmap."""
        self._view = memoryview(buffer)
        try:
            self._blocks = Table(buffer, _MAGIC)
        except StorageError:
            self._view.release()
            raise
        count = len(self._blocks)
        self.runs = self._blocks.key(count - 1)[0] + 1 if count else 0

    def __len__(self) -> int:
        return len(self._rows())

    def find(self, key: str) -> tuple[int, int] | None:
        """See `Table.find`."""
        wanted = key.encode(errors="surrogatepass")
        for run in reversed(range(self.runs)):
            number = self._block_of(bytes([run]) + wanted)
            if number is None:
                continue
            at, length = self._blocks.place(number)
            found = Table(self._view[at : at + length]).find(key)
            if found is not None:
                return at + found[0], found[1]
        return None

    def get(self, key: str) -> bytes | None:
        """See `Table.get`."""
        found = self.find(key)
        return None if found is None else bytes(self._view[found[0] : found[0] + found[1]])

    def keys(self) -> Iterator[str]:
        """All keys, in order of their UTF-8 bytes. Raises StorageError."""
        return iter(sorted(self._rows()))

    def items(self) -> Iterator[tuple[str, bytes]]:
        """All entries, in that order. Raises StorageError."""
        return iter(sorted(self._rows().items()))

    def run(self, number: int) -> list[Block]:
        """The blocks of one run. Raises StorageError."""
        start, stop = (self._blocks.number_of(bytes([run])) for run in (number, number + 1))
        return [self._block(place) for place in range(start, stop)]

    def close(self) -> None:
        """Let go of the buffer."""
        self._blocks.close()
        self._view.release()

    def _block(self, number: int) -> Block:
        at, length = self._blocks.place(number)
        view = self._view[at : at + length]
        table = Table(view)
        if not len(table):
            raise StorageError("a row table has an empty block")
        first, last = (table.key(place).decode(errors="replace") for place in (0, len(table) - 1))
        return Block(first, last, view)

    def _block_of(self, key: bytes) -> int | None:
        """The number of the only block of a run in which *key*, with the run's own, may be."""
        number = self._blocks.number_of(key)
        if number < len(self._blocks) and self._blocks.key(number) == key:
            return number
        is_before = number and self._blocks.key(number - 1)[:1] == key[:1]
        return number - 1 if is_before else None

    def _rows(self) -> dict[str, bytes]:
        rows: dict[str, bytes] = {}
        for _, table in self._blocks.views():
            rows.update(Table(table).items())
        return rows


Rows = Table | Blocks
"""A row table of either kind."""


def opened(buffer: Any) -> Rows:
    """The row table in *buffer* (bytes, or a memory map). Raises StorageError if it is none."""
    is_whole = bytes(memoryview(buffer)[: len(MAGIC)]) != _MAGIC
    return Table(buffer) if is_whole else Blocks(buffer)
