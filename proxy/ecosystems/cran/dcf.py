"""The format of PACKAGES: records of fields, as Debian's control files have them and R reads them.

A reader of our own (see docs/decisions/0010): strict, because what it passed over a client might
read otherwise; fast, because a repository has 24,000 records. Their bytes are kept as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from proxy.errors import BadIndex

# Names have no blanks and continuation lines begin with one, so there is one way to read a line;
# repetitions give nothing back, so that no text takes more than one pass. A line of blanks ends a
# record, and a carriage return alone would be the end of a line: as R reads them.
_MORE = rb"(?:\r?+\n[ \t]++[^ \t\r\n\0][^\r\n\0]*+)*+"
_LINES = rb"[^\r\n\0]*+" + _MORE
_ENDS = rb"(?:[ \t]*+\r?+\n)*+"
_RECORD = re.compile(rb"((?:[!-9;-~]++:" + _LINES + rb"\r?+\n)++)" + _ENDS)
_FIELD = re.compile(rb"^([!-9;-~]++):[ \t]*+(" + _LINES + rb")", re.MULTILINE)
_EMPTY = re.compile(_ENDS)
_FOLD = re.compile(rb"[ \t\r]*+\n[ \t]*+")

_BLANKS = b" \t\r\n"
_SHOWN = 60  # bytes of a wrong line that a message quotes


class Record(NamedTuple):
    """The fields of one record, as written after the colon, and where its bytes end.

    They begin where those of the record before end, so that nothing is between two.
    """

    fields: Mapping[bytes, bytes]
    end: int


def records(text: bytes) -> Iterator[Record]:
    """The records of *text*, in order. Raises BadIndex, naming the line."""
    whole = text if text.endswith(b"\n") else text + b"\n"
    start = _EMPTY.match(whole).end()  # type: ignore[union-attr]  # it matches nothing, too
    while start < len(whole):
        found = _RECORD.match(whole, start)
        if found is None or found.end(1) == found.end() < len(whole):
            raise BadIndex(_wrong(whole, start if found is None else found.end()))
        pairs = _FIELD.findall(whole, start, found.end(1))
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise BadIndex(f"line {line_of(whole, start)}: a record has a field twice")
        start = found.end()
        yield Record(fields, min(start, len(text)))


def value(raw: bytes) -> bytes:
    """A field's value as R reads it: its lines without the blanks around them."""
    whole = raw.strip(_BLANKS)
    return _FOLD.sub(b"\n", whole) if b"\n" in whole else whole


def _wrong(text: bytes, at: int) -> str:
    line = text[at : text.find(b"\n", at)]
    shown = line[:_SHOWN].decode("utf-8", "replace")
    what = "is neither a field nor the continuation of one"
    if b"\0" in line or b"\r" in line[:-1]:
        what = "holds a NUL or a carriage return"
    return f"line {line_of(text, at)}: {shown!r} {what}"


def line_of(text: bytes, at: int) -> int:
    """The number, from 1, of the line in which the byte *at* is."""
    return text.count(b"\n", 0, at) + 1
