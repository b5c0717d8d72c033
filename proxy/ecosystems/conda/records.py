"""What serving a file, and judging it, take of its record in an index.

Everything else in a record belongs to the clients and is never looked at here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from packaging.utils import canonicalize_name

from proxy.core import first_seen
from proxy.ecosystems.conda.text import UNREADABLE
from proxy.errors import BadIndex

_fromhex = bytes.fromhex
_PYPI = "pkg:pypi/"
_LENGTHS = {"sha256": 64, "md5": 32}

LATEST_IN_SECONDS = 253402300799
"""The end of the year 9999: a greater time is in milliseconds, as conda takes it."""


Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class Named(msgspec.Struct, gc=False):
    """The one field that every record has."""

    name: str


class Record(Named, gc=False):
    """The fields that matter to whoever serves the file."""

    size: Size | None = None
    sha256: str | None = None
    md5: str | None = None


class Dated(Record, gc=False):
    """The fields that tell a file from others, and how old it is."""

    version: Any = None
    build: Any = None
    timestamp: Any = None
    indexed_timestamp: Any = None


class Judgeable(Dated, gc=False):
    """The fields that policies look at, too. What is not of the type it should be is no error
    here: it is as if it were not given.
    """

    build_number: Any = None
    license: Any = None
    license_family: Any = None
    purls: Any = None


def records(raw: msgspec.Raw | None, kind: type[Any], where: str) -> dict[str, Any]:
    """A table of records, read as *kind*; an absent one is empty. Raises BadIndex."""
    if raw is None:
        return {}
    try:
        found: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, kind])  # type: ignore[valid-type]
    except UNREADABLE as error:
        raise BadIndex(f"{where}: {error}") from error
    return found


def digest(algorithm: str, value: object) -> bytes | None:
    """What *value* spells if it is a digest of that algorithm in hex; else None."""
    if not isinstance(value, str) or len(value) != _LENGTHS[algorithm]:
        return None
    try:
        found = bytes.fromhex(value)
    except ValueError:
        return None
    return found if 2 * len(found) == len(value) else None  # blanks are skipped


def identity(record: Dated) -> bytes:
    """What stands for the file in a table of first sights: its digest, else what tells it from
    others, of fields that everybody reads who asks.

    With another content under its name it is another file.
    """
    for text in (record.sha256, record.md5):
        if type(text) is str and len(text) >= 32:
            try:
                return _fromhex(text)[:16]
            except ValueError:
                continue
    told = record.version, record.build, record.size, record.sha256, record.md5, record.timestamp
    return first_seen.identity(record.name, repr(told))


def identities(digests: Sequence[str | None]) -> list[bytes] | None:
    """The identities of files that have these SHA-256 digests; None where one has none."""
    found = digests_of(digests, 32)
    return None if found is None else [one[:16] for one in found]


def sha256s(records: Iterable[Record]) -> Sequence[bytes] | None:
    """The SHA-256 of each record's file; None where one has none."""
    return digests_of([one.sha256 for one in records], 32)


def digests_of(values: Sequence[object], length: int) -> Sequence[bytes] | None:
    """What *values* spell, if each is a digest in hex of *length* bytes; else None."""
    try:
        joined = "".join(values)  # type: ignore[arg-type]
        if set(map(len, values)) != {2 * length}:  # type: ignore[arg-type]
            return None
        raw = _fromhex(joined)
    except (TypeError, ValueError):
        return None
    if len(raw) != length * len(values):  # blanks are skipped
        return None
    return _split(length, len(values)).unpack(raw)


@cache
def _split(length: int, count: int) -> struct.Struct:
    return struct.Struct(f"{length}s" * count)


def seconds(value: object) -> float | None:
    """A record's time in seconds since the epoch: it is in milliseconds, in old ones in seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return value / 1000 if value > LATEST_IN_SECONDS else float(value)


def built(record: Dated) -> float:
    """When the builder says that it made the file; old files say nothing."""
    return seconds(record.timestamp) or 0.0


def pypi_projects(purls: object) -> dict[str, str | None]:
    """The projects at PyPI that *purls* name, with their versions; None where none is given."""
    found: dict[str, str | None] = {}
    for purl in purls if isinstance(purls, list) else ():
        if isinstance(purl, str) and purl.startswith(_PYPI):
            name, _, version = purl.removeprefix(_PYPI).partition("?")[0].partition("@")
            found.setdefault(canonicalize_name(unquote(name)), unquote(version) or None)
    return found
