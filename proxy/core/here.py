"""Which files of an index are here: for mirrors that are offline and list nothing else.

A table holds the beginnings of the digests of what was verified and is stored, in one order, so
that the same files make the same table and a view can be named by it. Of what no index gives a
digest it holds what stands for the name.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.core import first_seen

_DIGEST = 16  # bytes of a digest that are kept: all of an MD5


def table(digests: Iterable[str], names: Iterable[str] = ()) -> bytes:
    """The table of files with those *digests*, in hexadecimal, and of those known by name."""
    named = (first_seen.identity(name) for name in names)
    return b"".join(sorted({*_beginnings(digests), *named}))


def read(table: bytes) -> frozenset[bytes]:
    """What `holds` looks into."""
    return frozenset(table[at : at + _DIGEST] for at in range(0, len(table), _DIGEST))


def holds(here: frozenset[bytes], digests: Iterable[object], name: str | None = None) -> bool:
    """Whether a file with one of those *digests* is here; without any, the one of that *name*."""
    known = _beginnings(digests)
    if known or name is None:
        return any(one in here for one in known)
    return first_seen.identity(name) in here


def _beginnings(digests: Iterable[object]) -> list[bytes]:
    found = []
    for text in digests:
        if isinstance(text, str) and len(text) >= 2 * _DIGEST:
            try:
                found.append(bytes.fromhex(text[: 2 * _DIGEST]))
            except ValueError:
                continue
    return found
