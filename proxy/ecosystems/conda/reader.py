"""One pass over the tables of an index, for all that is made of them: what is hidden, the rows, the
text that is left, and what the shards hold.

600,000 records are read once, some fifty at a time; of a record only what is made of it is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from urllib.parse import urljoin

import msgspec

from proxy.core.policy import Verdict
from proxy.core.rows import patched
from proxy.ecosystems.conda import packing
from proxy.ecosystems.conda.batches import WHOLE, Batch
from proxy.ecosystems.conda.gate import Gate
from proxy.ecosystems.conda.packing import Exports
from proxy.ecosystems.conda.pieces import Kept
from proxy.ecosystems.conda.records import (
    Judgeable,
    Named,
    Record,
    row_value,
    row_values,
)
from proxy.ecosystems.conda.sections import Section, Sections
from proxy.ecosystems.conda.shards import ByName, Piece, merged, packed
from proxy.ecosystems.conda.taking import Earlier, Noted, Stretch, noted
from proxy.ecosystems.conda.text import UNREADABLE
from proxy.ecosystems.conda.wheels import Wheel, link
from proxy.errors import BadIndex, StorageError

Hiding = Callable[[Mapping[str, Any]], dict[str, Verdict]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where upstream's files are: what its relative addresses refer to, and its `base_url`, made
    absolute; None where packages lie beside the index.
    """

    url: str
    base_url: str | None


@dataclass(slots=True, kw_only=True)
class Part:
    """What was found in a part of a section."""

    by_name: ByName
    hidden: dict[str, Verdict] = field(default_factory=dict)
    kept: list[Piece] = field(default_factory=list)  # what is left of the text
    keys: set[str] = field(default_factory=set)  # of what has been read
    names: set[str] = field(default_factory=set)  # the packages of that which are shown
    count: int = 0  # of records that have been read
    noted: list[Noted] | None = None  # for the next generation; None: that is not to be
    newest: bytes | None = None  # what stands for a file first seen with this generation

    @property
    def is_distinct(self) -> bool:
        """Whether every key is there but once."""
        return len(self.keys) == self.count

    def note(self, one: Noted | None) -> None:
        """The next batch came to that; None: it cannot be told, so that nothing is."""
        if self.noted is not None and one is not None:
            self.noted.append(one)
        else:
            self.noted = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What has become of an earlier generation: the row table, and the packages of which a record
    has been read or is gone; all others have the shards that they had.
    """

    rows: Iterable[bytes | memoryview]
    changed: AbstractSet[str]


class Reader:
    """Reads sections. *rowed*, *sharded*, *noting*: whether rows, shards and notes for the next
    generation are to be made; *packing*: shards are begun at once, with these run exports, as most
    need that are not there yet.
    """

    def __init__(
        self,
        gate: Gate | None,
        links: Links,
        *,
        rowed: bool,
        sharded: bool,
        packing: Exports | None = None,
        noting: bool = False,
    ) -> None:
        self._gate = gate
        self._links = links
        self._rowed = rowed
        self._sharded = sharded
        self._packing = packing
        self._noting = noting
        self.rows: dict[str, bytes] = {}
        self.shards: dict[tuple[str, ...], ByName] = {}
        self.noted: dict[tuple[str, ...], list[Noted] | None] = {}
        self.newest: bytes | None = None

    def read(self, section: Section) -> None:
        """Find what of the section is hidden and make what is to be made. Raises BadIndex."""
        part = self.part(section)
        if not part.is_distinct:
            section.make_distinct()
            part = self.part(section)  # what has been kept is rows, which are made anew
        self.note(section, part)

    def note(self, section: Section, part: Part) -> None:
        """*part* is all of the section."""
        section.hidden = part.hidden
        section.kept = None
        if part.hidden:
            section.kept = Kept([piece.text for piece in merged(part.kept, section.text)])
        if self._sharded:
            self.shards[section.path] = part.by_name
        self.noted[section.path] = part.noted
        self.newest = part.newest or self.newest

    def take(self, sections: Sections, earlier: Earlier) -> Taken | None:
        """Read the sections, but for what can be taken over of *earlier*; None: that cannot be."""
        if (self._links.base_url or "") != earlier.notes.base_url:
            return None
        try:
            plans = {path: earlier.plan(path, one.text) for path, one in sections.items()}
            gone = list(earlier.gone(plans))
            parts = {path: self._part(one, plans[path]) for path, one in sections.items()}
            keys = {f"{key}{ending}" for ending, one in gone for key in one.keys}
            rows = patched(earlier.rows, keys, self.rows)
        except (BadIndex, StorageError):  # told by who reads it whole
            return None
        if len(self.rows) != sum(part.count for part in parts.values()):  # a file is there twice
            return None
        self.newest = earlier.notes.newest
        for path, part in parts.items():
            self.note(sections[path], part)
        changed = {name for _, one in gone for name in one.names}
        changed.update(name for part in parts.values() for name in part.names)
        return Taken(rows=rows, changed=changed)

    def part(self, section: Section, span: slice = WHOLE) -> Part:
        """Read the records in *span* of the section's text. Raises BadIndex."""
        start, stop, _ = span.indices(len(section.text))
        return self._part(section, [Stretch(start, stop, None)])

    def _part(self, section: Section, stretches: Iterable[Stretch]) -> Part:
        """Read what of *stretches* is not known. Raises BadIndex."""
        found = Part(by_name=ByName(section.text, section.ending))
        found.noted = [] if self._noting and section.is_plain else None
        hiding = None if self._gate is None else self._gate.hiding(section)
        for start, stop, same in stretches:
            if same is None:
                self._read(section, slice(start, stop), hiding, found)
            else:
                _take_over(section, start, same, found)
        return found

    def _read(self, section: Section, span: slice, hiding: Hiding | None, found: Part) -> None:
        """Add the records in *span* to what was *found*. Raises BadIndex."""
        for batch, records in self._batches(section, self._model(section), span):
            found.keys.update(records)
            found.count += len(records)
            denied = {} if hiding is None else hiding(records)
            if self._rowed and section.kind is not None:
                self.rows.update(self._rows(section, records, denied))
            until, newest = self._holds(found, records)
            pieces = self._pieces(section, batch, records, denied)  # digests are bytes from here on
            if self._sharded:
                found.by_name.add(pieces)
                found.names.update([name for name, _ in pieces])
            whole = [Piece(batch.text, batch.at)]
            found.kept += [piece for _, piece in pieces] if denied else whole
            found.hidden |= denied
            if found.noted is not None:
                found.note(noted(batch, list(records), pieces, denied, until))
                found.newest = found.newest or newest

    def _holds(self, found: Part, records: Mapping[str, Any]) -> tuple[float, bytes | None]:
        """See `Gate.holds`; it is asked for notes alone."""
        if self._gate is None or found.noted is None:
            return math.inf, None
        return self._gate.holds(records)

    def _batches(
        self, section: Section, model: type[Named], span: slice
    ) -> Iterator[tuple[Batch[Any], Mapping[str, Any]]]:
        """Some records at a time, and what is looked at of them."""
        if not self._packs(section):
            yield from ((batch, batch.records) for batch in section.batches(model, span))
            return
        for batch in section.read(packing.decode, span):
            try:
                yield batch, packing.judgeable(batch.records)
            except UNREADABLE as error:
                raise _misread(section, batch.records, model) from error

    def _packs(self, section: Section) -> bool:
        return self._packing is not None and self._sharded and not section.rewritten

    def _model(self, section: Section) -> type[Named]:
        """As what the records are read: the more, the longer it takes."""
        if section.kind is None:
            return Named
        if section.kind == "wheel":
            return Wheel
        return Record if self._gate is None else Judgeable

    def _pieces(
        self,
        section: Section,
        batch: Batch[Any],
        records: Mapping[str, Named],
        denied: Mapping[str, Verdict],
    ) -> list[tuple[str, Piece]]:
        """What clients get of the batch, neighbours of one name together."""
        if not (self._sharded or denied):
            return []
        names: list[str | None] = [record.name for record in records.values()]
        if denied:
            names = [
                None if key in denied else name for key, name in zip(records, names, strict=True)
            ]
        if section.rewritten:
            return [
                (name, Piece(section.written(key), -1))
                for key, name in zip(records, names, strict=True)
                if name is not None
            ]
        runs = batch.parted(names)
        if self._packing is not None:
            return packed(runs, batch.records, self._packing, section.ending)
        return [(run.label, Piece(run.text, run.at)) for run in runs]

    def _rows(
        self, section: Section, records: Mapping[str, Any], denied: Mapping[str, Verdict]
    ) -> Iterable[tuple[str, bytes]]:
        base = self._links.base_url
        is_flat, is_wheel = len(section.path) == 1, section.kind == "wheel"
        get = denied.get
        if is_flat and base is None:
            values = zip(records, row_values(list(records.values())), strict=True)
            hidden = [(key, row_value(records[key], None, one)) for key, one in denied.items()]
            return chain(values, hidden)
        rows = []
        for key, record in records.items():
            filename = key if is_flat else section.filename(key)
            url = base and base + link(filename)
            if is_wheel:
                where = f"{section.where}, {key}"
                url = absolute(self._links.url, record.url or link(filename), where)
            rows.append((filename, row_value(record, url, get(key))))
        return rows


def _take_over(section: Section, start: int, same: Noted, found: Part) -> None:
    """Add what the batch at *start*, which stands there as it did, came to."""
    pieces = same.pieces(section.text, start)
    found.by_name.add(pieces)
    whole = [Piece(section.text[start : start + same.size], start)]
    found.kept += [piece for _, piece in pieces] if same.denied else whole
    found.hidden |= same.hidden
    found.note(same)


def _misread(section: Section, records: Mapping[str, Any], model: type[Named]) -> BadIndex:
    """What is wrong with the first of *records* that cannot be read as *model*."""
    for key, record in records.items():
        try:
            msgspec.convert(record, model)
        except UNREADABLE as error:
            return BadIndex(f"{section.where}, {key}: {error}")
    return BadIndex(f"{section.where} cannot be read")


def absolute(base: str, reference: str, where: str) -> str:
    """*reference* as a URL, where it is relative to *base*. Raises BadIndex."""
    try:
        return urljoin(base, reference)
    except ValueError as error:
        raise BadIndex(f"{where}: {reference!r} is not a URL: {error}") from error
