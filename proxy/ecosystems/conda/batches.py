"""A table of records read a few at a time, without looking for where each of them ends.

A batch is the text between two closing braces that the decoder takes for whole members. Nearly
every record is flat, so where there are as many braces as members, each brace ends one, and a
member can be cut out of the text with its bytes as they are. What is not flat is read by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, TypeVar

import msgspec

from proxy.ecosystems.conda.text import UNREADABLE, objects
from proxy.errors import BadIndex

SIZE = 1 << 15
"""Bytes of a batch: about fifty records."""

BETWEEN = b", \t\r\n"
"""What stands between two members (RFC 8259 section 2)."""

_SPACE = b" \t\r\n"

WHOLE = slice(1, -1)
"""All that stands between the braces of an object."""

R = TypeVar("R")
Decode = Callable[[bytes], dict[str, R]]

_GAP = 16  # bytes between two members, as a rule
_TRIES = 16  # braces at which a record may end that has some within
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_named = msgspec.json.Decoder(dict[str, dict[str, msgspec.Raw]]).decode
_KEY = re.compile(rb'[, \t\r\n]*(?P<key>"[^"\\]*")')
_BORDER = re.compile(rb'\}\s*,\s*(?P<key>"[^"\\]*")\s*:\s*\{')


class Run(msgspec.Struct, frozen=True, gc=False):
    """Neighbours in a batch, the members from *start* to *stop*, that have the same label.

    Their text is at *at* in the table; -1: it does not stand there.
    """

    label: str
    text: memoryview
    at: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Batch(Generic[R]):
    """Some neighbouring members, as they were written, and as they are read. `at`: see `Run`;
    `ends`: where in `text` each of them ends.
    """

    text: memoryview
    at: int
    records: dict[str, R]
    ends: Sequence[int]

    def parted(self, labels: Sequence[str | None]) -> list[Run]:
        """Runs of neighbours with the same label; those without one are left out."""
        first = labels[0]
        if labels.count(first) == len(labels):
            return [] if first is None else [Run(first, self.text, self.at, 0, len(labels))]
        found = []
        stop = 0
        for label, group in groupby(labels):
            start, stop = stop, stop + len(list(group))
            if label is not None:
                begin = _start(self.text, self.ends[start - 1]) if start else 0
                end = self.ends[stop - 1]
                at = -1 if self.at < 0 else self.at + begin
                found.append(Run(label, self.text[begin:end], at, start, stop))
        return found


def batches(
    table: bytes | memoryview,
    decode: Decode[R],
    where: str,
    size: int = SIZE,
    span: slice = WHOLE,
) -> Iterator[Batch[R]]:
    """All of a JSON object whose members are objects; *decode* reads some of them, as an object.

    *span*: of the text between the braces; it begins and ends between two members. Raises BadIndex,
    naming the member that *decode* does not take. A key that is there twice is given twice, unless
    both stand in one batch.
    """
    text = memoryview(table)
    at, end, _ = span.indices(len(text))
    alone = at  # up to where members are read one by one
    while at < end:
        found = None
        if at >= alone:
            whole = end - at <= size + size // 2  # or the last batch may be one record
            found = _batch(text, at, end if whole else at + size, decode, whole=whole)
            alone = at if found else at + size
        if found is None:
            found = _first(text, at, end, decode)
        if found is None:
            yield from _each(text[at:end], decode, where)
            return
        length, batch = found
        at += length
        if batch.records:
            yield batch


def _batch(
    table: memoryview, at: int, end: int, decode: Decode[R], *, whole: bool
) -> tuple[int, Batch[R]] | None:
    """The members that end before *end* and how far they reach; None: not all are flat."""
    piece = bytes(table[at:end])
    stop = len(piece) if whole else piece.rfind(b"}") + 1
    start = _start(piece)
    text = piece[start:stop].rstrip(BETWEEN)
    try:
        decoded = decode(b"{%b}" % text)
    except UNREADABLE:
        return None
    ends = _ends(text)
    if not stop or len(ends) != len(decoded):
        return None
    begin = at + start
    return stop, Batch(table[begin : begin + len(text)], begin, decoded, ends)


def _ends(text: bytes) -> list[int]:
    """Where the flat members *text* end: after each brace."""
    ends = []
    end = text.find(b"}") + 1  # one after the other is sooner done than to count and to split
    while end:
        ends.append(end)
        end = text.find(b"}", end) + 1
    return ends


def _first(table: memoryview, at: int, end: int, decode: Decode[R]) -> tuple[int, Batch[R]] | None:
    """The first member and how far it reaches; None: that is not soon found."""
    piece = bytes(table[at : min(at + SIZE, end)])
    start = stop = _start(piece)
    for _ in range(_TRIES):
        stop = piece.find(b"}", stop) + 1
        if not stop:
            return None
        text = b"{%b}" % piece[start:stop]
        try:
            if len(_members(text)) == 1:
                member = table[at + start : at + stop]
                return stop, Batch(member, at + start, decode(text), (len(member),))
        except UNREADABLE:
            continue
    return None


def _each(rest: memoryview, decode: Decode[R], where: str) -> Iterator[Batch[R]]:
    """The members of *rest*, each split off by the decoder, which is slow. Raises BadIndex."""
    for key, raw in objects(b"{%b}" % bytes(rest).strip(BETWEEN), where).items():
        text = b"%b:%b" % (msgspec.json.encode(key), raw)
        try:
            yield Batch(memoryview(text), -1, decode(b"{%b}" % text), (len(text),))
        except UNREADABLE as error:
            raise BadIndex(f"{where}, {key}: {error}") from error


def are_all(table: memoryview, spans: Sequence[int]) -> bool:
    """Whether *spans*, pairs of places in the object *table*, are all of its members, with a comma
    between any two.
    """
    at, between = 1, b""
    for start, end in zip(spans[::2], spans[1::2], strict=True):
        if start < at or bytes(table[at:start]).strip(_SPACE) != between:
            return False
        at, between = end, b","
    return not bytes(table[at:-1]).strip(_SPACE)


def boundary(text: memoryview, near: int) -> int | None:
    """Where, after *near*, one member of an object most likely ends and another begins; None: that
    is not soon found. A reader of what stands before it finds out whether it is so.
    """
    piece = bytes(text[near : near + 4 * SIZE])
    for found in _BORDER.finditer(piece):
        end = piece.find(b"}", found.end())
        try:
            (member,) = _named(b"{%b}" % piece[found.start("key") : end + 1]).values()
        except (*UNREADABLE, ValueError):
            continue
        if "name" in member:
            return near + found.start() + 1
    return None


def key_at(text: memoryview, at: int) -> str | None:
    """The key of the member that begins at or after *at*."""
    found = _KEY.match(bytes(text[at : at + SIZE]))
    return None if found is None else found["key"].decode(errors="replace")


def _start(text: bytes | memoryview, at: int = 0) -> int:
    """Where the first member after *at* begins."""
    head = bytes(text[at : at + _GAP]).lstrip(BETWEEN)
    if not head:  # all of it stands between two members, or they are at an end
        head = bytes(text[at:]).lstrip(BETWEEN)
        return len(text) - len(head)
    return min(at + _GAP, len(text)) - len(head)
