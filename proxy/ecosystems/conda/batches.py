"""A table of records read a few at a time, without looking for where each of them ends.

A batch is the text between two closing braces that the decoder takes for whole members. Nearly
every record is flat, so where there are as many braces as members, each brace ends one, and a
member can be cut out of the text with its bytes as they are. What is not flat is read by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sized
from dataclasses import dataclass
from itertools import accumulate
from typing import Generic, TypeVar

import msgspec

from proxy.ecosystems.conda.text import UNREADABLE, objects
from proxy.errors import BadIndex

SIZE = 1 << 16
"""Bytes of a batch: about a hundred records."""

D = TypeVar("D", bound=Sized)
D_co = TypeVar("D_co", bound=Sized, covariant=True)

_BETWEEN = b", \t\r\n"  # two members (RFC 8259 section 2)
_TRIES = 16  # braces at which a record may end that has some within
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Batch(Generic[D_co]):
    """Some neighbouring members, as they were written, and what the decoder made of them."""

    text: memoryview
    decoded: D_co

    def runs(self, gone: Collection[int]) -> list[memoryview]:
        """The text without the members of the numbers *gone*: what of it stays, in pieces."""
        if len(gone) >= len(self.decoded):
            return []
        parts = bytes(self.text).split(b"}")
        ends = [0, *accumulate([len(part) + 1 for part in parts])]
        found = []
        last = -1
        for number in sorted(gone):
            found.append(self._run(parts, ends, last + 1, number))
            last = number
        found.append(self._run(parts, ends, last + 1, len(parts) - 1))
        return [run for run in found if run.nbytes]

    def _run(self, parts: list[bytes], ends: list[int], first: int, end: int) -> memoryview:
        start = ends[first] + _start(parts[first])
        return self.text[start : max(start, ends[end])]


def batches(
    table: bytes | memoryview, decode: Callable[[bytes], D], where: str, size: int = SIZE
) -> Iterator[Batch[D]]:
    """All of a JSON object whose members are objects; *decode* reads some of them, as an object.

    Raises BadIndex, naming the member that *decode* does not take. A key that is there twice is
    given twice, unless both stand in one batch.
    """
    text = memoryview(table)
    at, end = 1, len(text) - 1
    alone = at  # up to where members are read one by one
    while at < end:
        found = None
        if at >= alone:
            found = _batch(text[at : min(at + size, end)], decode, whole=at + size >= end)
            alone = at if found else at + size
        if found is None:
            found = _first(text[at:end], decode)
        if found is None:
            yield from _each(text[at:end], decode, where)
            return
        length, batch = found
        at += length
        if len(batch.decoded):
            yield batch


def _batch(
    window: memoryview, decode: Callable[[bytes], D], *, whole: bool
) -> tuple[int, Batch[D]] | None:
    """The members that end in *window* and how far they reach; None: not all are flat."""
    piece = bytes(window)
    stop = len(piece) if whole else piece.rfind(b"}") + 1
    start = _start(piece)
    text = piece[start:stop].rstrip(_BETWEEN)
    try:
        decoded = decode(b"{%b}" % text)
    except UNREADABLE:
        return None
    if not stop or text.count(b"}") != len(decoded):
        return None
    return stop, Batch(window[start : start + len(text)], decoded)


def _first(rest: memoryview, decode: Callable[[bytes], D]) -> tuple[int, Batch[D]] | None:
    """The first member of *rest* and how far it reaches; None: that is not soon found."""
    piece = bytes(rest[:SIZE])
    start = stop = _start(piece)
    for _ in range(_TRIES):
        stop = piece.find(b"}", stop) + 1
        if not stop:
            return None
        text = b"{%b}" % piece[start:stop]
        try:
            if len(_members(text)) == 1:
                return stop, Batch(rest[start:stop], decode(text))
        except UNREADABLE:
            continue
    return None


def _each(rest: memoryview, decode: Callable[[bytes], D], where: str) -> Iterator[Batch[D]]:
    """The members of *rest*, each split off by the decoder, which is slow. Raises BadIndex."""
    for key, raw in objects(b"{%b}" % bytes(rest).strip(_BETWEEN), where).items():
        text = b"%b:%b" % (msgspec.json.encode(key), raw)
        try:
            yield Batch(memoryview(text), decode(b"{%b}" % text))
        except UNREADABLE as error:
            raise BadIndex(f"{where}, {key}: {error}") from error


def _start(piece: bytes) -> int:
    """Where the first member begins."""
    return len(piece) - len(piece.lstrip(_BETWEEN))
