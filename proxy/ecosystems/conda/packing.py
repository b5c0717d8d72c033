"""Records as shards have them: read whole, with their digests as bytes (CEP 16).

Nearly every record has no other fields than those that are known here, and is read into them at
once. One that has others, or null or something odd where a text or a number should be, is read for
itself, as it is written.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from proxy.ecosystems.conda.records import Judgeable, Size, digest, digests_of
from proxy.ecosystems.conda.text import UNREADABLE

_ABSENT: Any = None
_encode = msgspec.msgpack.Encoder().encode
_exports = msgspec.json.Decoder(dict[str, list[str]]).decode

Exports = Mapping[str, Mapping[str, bytes]]
"""Run exports as JSON, by package name and file name."""


class Whole(Judgeable, forbid_unknown_fields=True, omit_defaults=True, kw_only=True, gc=False):
    """A record with all its fields, as conda-index and its like write them (CEP 36)."""

    size: Size = _ABSENT
    sha256: str = _ABSENT
    md5: str = _ABSENT
    timestamp: int | float = _ABSENT
    indexed_timestamp: int | float = _ABSENT
    version: str = _ABSENT
    build: str = _ABSENT
    build_number: int | float = _ABSENT
    license: str = _ABSENT
    license_family: str = _ABSENT
    purls: list[str] = _ABSENT
    # Nobody here looks at these.
    arch: Any = UNSET
    constrains: Any = UNSET
    depends: Any = UNSET
    extra_depends: Any = UNSET
    features: Any = UNSET
    legacy_bz2_md5: Any = UNSET
    legacy_bz2_size: Any = UNSET
    noarch: Any = UNSET
    platform: Any = UNSET
    python_site_packages_path: Any = UNSET
    run_exports: Any = UNSET
    subdir: Any = UNSET
    track_features: Any = UNSET


Loose = dict[str, Any]
"""A record of which more is known only to whoever wrote it."""

Records = Mapping[str, Whole | Loose]
"""Some records by their keys."""

_wholes = msgspec.json.Decoder(dict[str, Whole]).decode
_loose = msgspec.json.Decoder(dict[str, Loose]).decode


def decode(text: bytes) -> dict[str, Any]:
    """The `Records` in a JSON object. Raises what the decoder raises."""
    try:
        return _wholes(text)
    except msgspec.ValidationError:
        return {key: _read(record) for key, record in _loose(text).items()}


def _read(record: Loose) -> Whole | Loose:
    """What becomes of a record does not depend on its neighbours."""
    try:
        return msgspec.convert(record, Whole)
    except msgspec.ValidationError:
        return record


def judgeable(records: Records) -> Mapping[str, Judgeable]:
    """The same as far as policies look at them. Raises ValidationError."""
    if _are_whole(records):
        return records  # type: ignore[return-value]
    return {
        key: record if isinstance(record, Whole) else msgspec.convert(record, Judgeable)
        for key, record in records.items()
    }


def with_digests(records: Records, sha256s: Sequence[bytes] | None = None) -> None:
    """Turn the digests into bytes, as shards have them; what is not one is left out.

    *sha256s*: those of all records, if they are known.
    """
    wholes: list[Any] = list(records.values())
    if not _are_whole(records):
        sha256s = None
        wholes = [one for one in wholes if isinstance(one, Whole)]
        for record in records.values():
            if not isinstance(record, Whole):
                _put("sha256", record)
                _put("md5", record)
    found = sha256s or _digests("sha256", [one.sha256 for one in wholes], 32)
    md5s = _digests("md5", [one.md5 for one in wholes], 16)
    for record, sha256, md5 in zip(wholes, found, md5s, strict=True):
        record.sha256 = sha256
        record.md5 = md5


def _digests(algorithm: str, values: Sequence[Any], length: int) -> Sequence[bytes | None]:
    return digests_of(values, length) or [digest(algorithm, value) for value in values]


def _are_whole(records: Records) -> bool:
    return set(map(type, records.values())) == {Whole}


def _put(algorithm: str, record: Loose) -> None:
    if record.get(algorithm) is None:  # CEP 36 allows null
        return
    value = digest(algorithm, record[algorithm])
    if value is None:
        del record[algorithm]
    else:
        record[algorithm] = value


def with_exports(
    records: Iterable[tuple[str, Whole | Loose]], exported: Mapping[str, bytes], ending: str
) -> None:
    """Add what is *exported* by each file to its record, unless that says so itself (CEP 21).

    *ending* is what keys lack of a file name.
    """
    for key, record in records if exported else ():
        exports = exported.get(f"{key}{ending}")
        if exports is None:
            continue
        with contextlib.suppress(*UNREADABLE):  # of what is none nothing is known
            if not isinstance(record, Whole):
                record.setdefault("run_exports", _exports(exports))
            elif record.run_exports is UNSET:
                record.run_exports = _exports(exports)


def head(count: int) -> bytes:
    """How a map of *count* members begins (the MessagePack specification, map format family)."""
    if count < 1 << 4:
        return bytes([0x80 | count])
    if count < 1 << 16:
        return b"\xde" + count.to_bytes(2, "big")
    return b"\xdf" + count.to_bytes(4, "big")


def packed(members: Sequence[str | Whole | Loose]) -> bytes:
    """Some records as msgpack, without the head of their map; *members*: keys and records in turn.

    Raises OverflowError for an integer of more than 64 bits, and RecursionError.
    """
    # A map has the same body as an array of its keys and values, and a head as long as that of one
    # with as many members as the map has keys and values.
    return _encode(members)[len(head(len(members))) :]
