"""The rows of an index's files, made some fifty at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import Any
from urllib.parse import urljoin

from proxy.core import rows
from proxy.core.blocks import Block, block, build, is_run
from proxy.core.policy import Verdict
from proxy.core.rows import PLAIN, PLAIN_SIZE, Row, Table, encode_plain, encode_row
from proxy.ecosystems.conda.records import Record, digest
from proxy.ecosystems.conda.sections import Section
from proxy.ecosystems.conda.wheels import link
from proxy.errors import BadIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where upstream's files are: what its relative addresses refer to, and its `base_url`, made
    absolute; None where packages lie beside the index.
    """

    url: str
    base_url: str | None

    def rows(
        self,
        section: Section,
        records: Mapping[str, Any],
        denied: Mapping[str, Verdict],
        digests: Sequence[bytes] | None,
    ) -> Block:
        """The rows of some of the section's *records*, those that are *denied* with the reason.

        *digests*: the SHA-256 of their files, if all are known. Raises BadIndex.
        """
        if len(section.path) > 1 or self.base_url is not None:
            return _block(self._each(section, records, denied))
        keys = list(records)
        sizes = [record.size for record in records.values()]
        if digests is None or None in sizes or max(sizes) >= PLAIN_SIZE:
            return _block({key: _value(records[key], None, denied.get(key)) for key in keys})
        values = encode_plain(sizes, digests)
        if not denied and sorted(keys) == keys:
            return block(keys, values, PLAIN)
        odd = {key: _value(records[key], None, verdict) for key, verdict in denied.items()}
        if sorted(keys) == keys:
            return _block_with(keys, values, odd)
        found = {key: values[at : at + PLAIN] for at, key in zip(count(0, PLAIN), keys)}
        return _block(found | odd)

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


def _block_with(keys: Sequence[str], plain: bytes, odd: Mapping[str, bytes]) -> Block:
    """The *plain* rows of *keys*, which are sorted, but for the *odd* ones."""
    lengths = [PLAIN] * len(keys)
    pieces: list[bytes] = []
    done = 0
    for place in [place for place, key in enumerate(keys) if key in odd]:
        row = odd[keys[place]]
        lengths[place] = len(row)
        pieces += (plain[done * PLAIN : place * PLAIN], row)
        done = place + 1
    pieces.append(plain[done * PLAIN :])
    return block(keys, b"".join(pieces), lengths)


def _block(several: Mapping[str, bytes]) -> Block:
    keys = sorted(several)
    values = [several[key] for key in keys]
    return block(keys, b"".join(values), map(len, values))


def _value(record: Record, url: str | None, verdict: Verdict | None) -> bytes:
    """The row of a file that lies at *url*; None: beside the index. *verdict*: if it is hidden.

    It is the same whatever its neighbours are.
    """
    sha256 = digest("sha256", record.sha256)
    size = record.size
    if url is None and verdict is None and sha256 and size is not None and size < PLAIN_SIZE:
        return encode_plain([size], [sha256])
    denied, until = (None, None) if verdict is None else (verdict.denied, verdict.until)
    return encode_row(Row(url=url, size=size, hashes=_hashes(record), denied=denied, until=until))


def _hashes(record: Record) -> dict[str, str]:
    """The better of the digests; what is not one says nothing of the file."""
    for algorithm in ("sha256", "md5"):
        if found := digest(algorithm, getattr(record, algorithm)):
            return {algorithm: found.hex()}
    return {}
