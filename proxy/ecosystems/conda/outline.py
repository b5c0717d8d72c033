"""The top level of an index, found without reading its tables, which somebody reads anyway.

The document with empty tables in place of its own is read in no time. If that is JSON, and the text
of each table is a list of members, then the whole is JSON and has just these members: so this does
for whoever reads every table to its last byte (`conda.reader`).
"""

from __future__ import annotations

import re
from itertools import chain, pairwise

import msgspec

from proxy.ecosystems.conda.text import UNREADABLE

_NAMES = ("packages", "packages.conda")
_OPENING = re.compile(rb"\s*:\s*\{")
_objects = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def outline(text: bytes | memoryview) -> dict[str, msgspec.Raw] | None:
    """The members of a document, unread; None: that is to be found out by reading it.

    The tables are given as what stands between two braces, whatever that is.
    """
    whole = text.obj if isinstance(text, memoryview) else text
    if not isinstance(whole, bytes) or len(whole) != len(text):
        return None
    found = sorted((_opening(whole, name), name) for name in _NAMES)
    tables = [(at, name) for at, name in found if at >= 0]
    opens = [at for at, _ in tables]
    # A brace that closes something else leads to what is no list of members.
    ends = [*opens[1:], whole.rfind(b"}")]
    closes = (
        [whole.rfind(b"}", at, end) for at, end in zip(opens, ends, strict=True)] if opens else []
    )
    if not closes or min(closes) < 0:
        return None
    cuts = [0, *chain.from_iterable(zip([at + 1 for at in opens], closes, strict=True)), len(whole)]
    rest = b"".join([whole[start:end] for start, end in list(pairwise(cuts))[::2]])
    try:
        members = _objects(rest)
    except UNREADABLE:
        return None
    for (at, name), close in zip(tables, closes, strict=True):
        # Its name is there but once, and in no other spelling: so what was cut out is its value.
        if rest.count(_quoted(name)) != 1 or bytes(members.get(name, b"")) != b"{}":
            return None
        members[name] = msgspec.Raw(memoryview(whole)[at : close + 1])
    return None if b"\\" in rest else members


def _opening(whole: bytes, name: str) -> int:
    """Where the brace is that begins the table *name*; -1: it is not there."""
    quoted = _quoted(name)
    at = whole.find(quoted)
    found = None if at < 0 else _OPENING.match(whole, at + len(quoted))
    return -1 if found is None else found.end() - 1


def _quoted(name: str) -> bytes:
    return b'"%b"' % name.encode()
