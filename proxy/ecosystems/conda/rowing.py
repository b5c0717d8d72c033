"""The rows of an index's files, made some fifty at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from operator import attrgetter
from typing import Any
from urllib.parse import urljoin

import msgspec

from proxy.core import rows
from proxy.core.blocks import Block, block, build, is_run
from proxy.core.policy import Verdict
from proxy.core.rows import Row, Table, encode_row
from proxy.ecosystems.conda.records import Record, digest, digests_of
from proxy.ecosystems.conda.sections import Section
from proxy.ecosystems.conda.wheels import link
from proxy.errors import BadIndex

_encode = msgspec.msgpack.Encoder().encode
_REST = len(_encode((None, None, {"sha256": "0" * 64}))) - len(_encode(None))
_MANY = range(1 << 16, 1 << 32)  # sizes in bytes that take as much room as each other
_USUAL = len(_encode(_MANY[0]))
_size = attrgetter("size")
_sha256 = attrgetter("sha256")


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where upstream's files are: what its relative addresses refer to, and its `base_url`, made
    absolute; None where packages lie beside the index.
    """

    url: str
    base_url: str | None

    def rows(
        self, section: Section, records: Mapping[str, Any], denied: Mapping[str, Verdict]
    ) -> Block:
        """The rows of some of the section's *records*. Raises BadIndex."""
        keys = list(records)
        if len(section.path) > 1 or self.base_url is not None:
            return _block(self._each(section, records, denied))
        values, lengths = _plain(list(records.values()))
        if denied:
            parts = _cut(values, lengths)
            for place, key in enumerate(keys):
                if key in denied:
                    parts[place] = _value(records[key], None, denied[key])
            values, lengths = b"".join(parts), list(map(len, parts))
        if sorted(keys) != keys:
            return _block(dict(zip(keys, _cut(values, lengths), strict=True)))
        return block(keys, values, lengths)

    def _each(
        self, section: Section, records: Mapping[str, Any], denied: Mapping[str, Verdict]
    ) -> dict[str, bytes]:
        is_flat, is_wheel = len(section.path) == 1, section.kind == "wheel"
        base = self.base_url
        found = {}
        for key, record in records.items():
            filename = key if is_flat else section.filename(key)
            url = base and base + link(filename)
            if is_wheel:
                where = f"{section.where}, {key}"
                url = absolute(self.url, record.url or link(filename), where)
            found[filename] = _value(record, url, denied.get(key))
        return found


def absolute(base: str, reference: str, where: str) -> str:
    """*reference* as a URL, where it is relative to *base*. Raises BadIndex."""
    try:
        return urljoin(base, reference)
    except ValueError as error:
        raise BadIndex(f"{where}: {reference!r} is not a URL: {error}") from error


def table(sections: Iterable[Sequence[Block]]) -> Iterable[bytes]:
    """The row table of all *sections*; of two rows with one key the later one counts."""
    runs = list(sections)
    if all(map(is_run, runs)):
        return build(runs)
    blocks = chain.from_iterable(runs)
    return rows.build(dict(chain.from_iterable(Table(one.table).items() for one in blocks)))


def _block(several: Mapping[str, bytes]) -> Block:
    keys = sorted(several)
    values = [several[key] for key in keys]
    return block(keys, b"".join(values), map(len, values))


def _cut(values: bytes, lengths: Iterable[int]) -> list[bytes]:
    return [values[start:end] for start, end in pairwise(accumulate(lengths, initial=0))]


def _plain(records: Sequence[Record]) -> tuple[bytes, list[int]]:
    """The rows of files beside the index of which none is hidden, end to end, and their lengths."""
    digests = list(map(_sha256, records))
    raw = digests_of(digests, 32)
    if raw is None or raw.hex() != "".join(digests):  # not in lower case
        values = [_value(one, None, None) for one in records]
        return b"".join(values), list(map(len, values))
    sizes = list(map(_size, records))
    lengths = [
        _REST + (_USUAL if size is not None and size in _MANY else len(_encode(size)))
        for size in sizes
    ]
    packed = _encode(
        [(None, size, {"sha256": sha256}) for size, sha256 in zip(sizes, digests, strict=True)]
    )
    return packed[len(packed) - sum(lengths) :], lengths


def _value(record: Record, url: str | None, verdict: Verdict | None) -> bytes:
    """The row of a file that lies at *url*; None: beside the index. *verdict*: if it is hidden."""
    denied = None if verdict is None else (verdict.rule, verdict.reason)
    return encode_row(Row(url=url, size=record.size, hashes=_hashes(record), denied=denied))


def _hashes(record: Record) -> dict[str, str]:
    """The better of the digests; what is not one says nothing of the file."""
    for algorithm in ("sha256", "md5"):
        if found := digest(algorithm, getattr(record, algorithm)):
            return {algorithm: found.hex()}
    return {}
