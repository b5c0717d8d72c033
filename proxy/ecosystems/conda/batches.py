"""A table of records read a few at a time, without looking for where each of them ends.

A batch is the text between two closing braces that the decoder takes for whole members. Nearly
every record is flat, so where there are as many braces as members, each brace ends one, and a
member can be cut out of the text with its bytes as they are. What is not flat is read by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Generic, TypeVar

import msgspec

from proxy.ecosystems.conda.text import UNREADABLE, objects
from proxy.errors import BadIndex

SIZE = 1 << 16
"""Bytes of a batch: about a hundred records."""

R = TypeVar("R")
Decode = Callable[[bytes], dict[str, R]]

_BETWEEN = b", \t\r\n"  # two members (RFC 8259 section 2)
_TRIES = 16  # braces at which a record may end that has some within
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Batch(Generic[R]):
    """Some neighbouring members, as they were written, and as they are read."""

    text: memoryview
    records: dict[str, R]

    def parted(self, labels: Sequence[str | None]) -> list[tuple[str, memoryview]]:
        """The text in runs of neighbours with the same label; those without one are left out."""
        first = labels[0]
        if labels.count(first) == len(labels):
            return [] if first is None else [(first, self.text)]
        parts = bytes(self.text).split(b"}")
        ends = [0, *accumulate([len(part) + 1 for part in parts])]
        found = []
        at = 0
        for label, run in groupby(labels):
            start = at
            at += sum(1 for _ in run)
            if label is not None:
                found.append((label, self.text[ends[start] + _start(parts[start]) : ends[at]]))
        return found


def batches(
    table: bytes | memoryview,
    decode: Decode[R],
    where: str,
    size: int = SIZE,
) -> Iterator[Batch[R]]:
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
        if batch.records:
            yield batch


def _batch(window: memoryview, decode: Decode[R], *, whole: bool) -> tuple[int, Batch[R]] | None:
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


def _first(rest: memoryview, decode: Decode[R]) -> tuple[int, Batch[R]] | None:
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


def _each(rest: memoryview, decode: Decode[R], where: str) -> Iterator[Batch[R]]:
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
