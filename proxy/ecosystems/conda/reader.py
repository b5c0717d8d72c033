"""One pass over the tables of an index, for all that is made of them: what is hidden, the rows, the
text that is left, and what the shards hold.

600,000 records are read once, some fifty at a time; of a record only what is made of it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import msgspec

from proxy.core.blocks import Block, is_run
from proxy.core.policy import Verdict
from proxy.core.rows import Table
from proxy.ecosystems.conda import packing
from proxy.ecosystems.conda.batches import WHOLE, Batch, are_all
from proxy.ecosystems.conda.dating import ALWAYS, Term
from proxy.ecosystems.conda.gate import Gate
from proxy.ecosystems.conda.packing import Exports
from proxy.ecosystems.conda.pieces import Kept
from proxy.ecosystems.conda.records import (
    Judgeable,
    Named,
    Record,
    sha256s,
)
from proxy.ecosystems.conda.rowing import Links
from proxy.ecosystems.conda.sections import Section, Sections
from proxy.ecosystems.conda.shards import ByName, Piece, merged, packed
from proxy.ecosystems.conda.taking import Earlier, Noted, Stretch, noted
from proxy.ecosystems.conda.text import UNREADABLE
from proxy.ecosystems.conda.wheels import Wheel
from proxy.errors import BadIndex

Hiding = Callable[[Mapping[str, Any]], dict[str, Verdict]]


@dataclass(slots=True, kw_only=True)
class Part:
    """What was found in a part of a section."""

    by_name: ByName
    hidden: dict[str, Verdict] = field(default_factory=dict)
    kept: list[Piece] = field(default_factory=list)  # what is left of the text
    spans: list[int] = field(default_factory=list)  # where what is known of it begins and ends
    blocks: list[Block] = field(default_factory=list)  # of the row table
    keys: set[str] = field(default_factory=set)  # of what is not in blocks under its key
    names: set[str] = field(default_factory=set)  # the packages of what is shown of it
    count: int = 0  # of records that have been read
    noted: list[Noted] | None = None  # for the next generation; None: that is not to be
    newest: bytes | None = None  # what stands for a file first seen with this generation

    @property
    def is_distinct(self) -> bool:
        """Whether every key is there but once. Raises StorageError."""
        if self.keys or not self.blocks:
            return len(self.keys) == self.count
        if is_run(self.blocks):
            return True
        tables = (Table(one.table).keys() for one in self.blocks)
        return len(set(chain.from_iterable(tables))) == self.count

    def add(self, other: Part) -> None:
        """What was found in the part that comes after this one."""
        self.by_name.add(
            (name, piece) for name, some in other.by_name.pieces.items() for piece in some
        )
        self.hidden |= other.hidden
        self.kept += other.kept
        self.spans += other.spans
        self.blocks += other.blocks
        self.keys |= other.keys
        self.names |= other.names
        self.count += other.count
        self.newest = self.newest or other.newest
        for one in [None] if other.noted is None else other.noted:
            self.note(one)

    def note(self, one: Noted | None) -> None:
        """The next batch came to that; None: it cannot be told, so that nothing is."""
        if self.noted is not None and one is not None:
            self.noted.append(one)
        else:
            self.noted = None


class Reader:
    """Reads sections. *rowed*, *sharded*, *noting*: whether rows, shards and notes for the next
    generation are to be made; *strict*: nobody knows yet whether the sections are JSON. With
    `packing`, run exports, shards are begun at once, for most are not there yet.
    """

    def __init__(
        self,
        gate: Gate | None,
        links: Links,
        *,
        rowed: bool,
        sharded: bool,
        noting: bool = False,
        strict: bool = False,
    ) -> None:
        self._gate = gate
        self._strict = strict
        self._links = links
        self._rowed = rowed
        self._sharded = sharded
        self.packing: Exports | None = None
        self._noting = noting
        self.blocks: dict[tuple[str, ...], list[Block]] = {}
        self.shards: dict[tuple[str, ...], ByName] = {}
        self.noted: dict[tuple[str, ...], list[Noted] | None] = {}
        self.newest: bytes | None = None

    def read(self, section: Section) -> None:
        """Find what of the section is hidden and make what is to be made. Raises BadIndex."""
        part = self.part(section)
        if not part.is_distinct:
            section.make_distinct()
            part = self.part(section)
        self.note(section, part)

    def note(self, section: Section, part: Part) -> None:
        """*part* is all of the section. Raises BadIndex where it is not, if that is to be told."""
        if self._strict and len(section.path) == 1 and not are_all(section.text, part.spans):
            raise BadIndex(f"{section.where} cannot be read")
        section.hidden = part.hidden
        section.kept = None
        if part.hidden:
            section.kept = Kept([piece.text for piece in merged(part.kept, section.text)])
        if self._sharded:
            self.shards[section.path] = part.by_name
        self.blocks[section.path] = part.blocks
        self.noted[section.path] = part.noted
        self.newest = part.newest or self.newest

    def take(self, sections: Sections, earlier: Earlier) -> AbstractSet[str] | None:
        """Read the sections, but for what can be taken over of *earlier*; None: that cannot be.

        Gives the packages of which a record has been read or is gone; all others have the shards
        that they had.
        """
        if (self._links.base_url or "") != earlier.notes.base_url:
            return None
        try:
            plans = {path: earlier.plan(path, one.text) for path, one in sections.items()}
            parts = {path: self._part(one, plans[path], earlier) for path, one in sections.items()}
        except BadIndex:  # told by who reads it whole
            return None
        if not all(is_run(part.blocks) for part in parts.values()):  # a file may be there twice
            return None
        self.newest = earlier.notes.newest
        for path, part in parts.items():
            self.note(sections[path], part)
        changed = {name for one in earlier.gone(plans) for name in one.names}
        return changed.union(*[part.names for part in parts.values()])

    def part(self, section: Section, span: slice = WHOLE) -> Part:
        """Read the records in *span* of the section's text. Raises BadIndex."""
        start, stop, _ = span.indices(len(section.text))
        return self._part(section, [Stretch(start, stop, None)])

    def _part(
        self, section: Section, stretches: Iterable[Stretch], earlier: Earlier | None = None
    ) -> Part:
        """Read what of *stretches* is not known of *earlier*. Raises BadIndex."""
        found = Part(by_name=ByName(section.text, section.ending))
        found.noted = [] if self._noting and section.is_plain else None
        hiding = None if self._gate is None else self._gate.hiding(section)
        for start, stop, same in stretches:
            if same is None or earlier is None:
                self._read(section, slice(start, stop), hiding, found)
            else:
                known, block = earlier.batch(section.path, same)
                _take_over(section, start, known, found)
                found.blocks.append(block)
        return found

    def _read(self, section: Section, span: slice, hiding: Hiding | None, found: Part) -> None:
        """Add the records in *span* to what was *found*. Raises BadIndex."""
        for batch, records in self._batches(section, self._model(section), span):
            found.count += len(records)
            found.spans += (batch.at, batch.at + len(batch.text))
            denied = {} if hiding is None else hiding(records)
            digests = sha256s(records.values()) if section.is_plain else None
            if self._rowed and section.kind is not None:
                found.blocks.append(self._links.rows(section, records, denied, digests))
            if not (self._rowed and section.is_plain):
                found.keys.update(records)
            term = self._term(found, records)
            # Of what is packed the records have their digests as bytes from here on.
            pieces = self._pieces(section, batch, records, denied, digests)
            if self._sharded:
                found.by_name.add(pieces)
                found.names.update([name for name, _ in pieces])
            kept = [Piece(batch.text, batch.at)]
            if denied:
                kept = merged([piece for _, piece in pieces], section.text)
            found.kept += kept
            found.hidden |= denied
            if found.noted is not None:
                found.note(noted(batch, pieces, kept, denied, term))
                found.newest = found.newest or term.newest

    def _term(self, found: Part, records: Mapping[str, Any]) -> Term:
        """See `Gate.term`; it is asked for notes alone."""
        return ALWAYS if self._gate is None or found.noted is None else self._gate.term(records)

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
        return self.packing is not None and self._sharded and not section.rewritten

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
        digests: Sequence[bytes] | None,
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
        if self.packing is not None:
            return packed(runs, batch.records, digests, self.packing, section.ending)
        return [(run.label, Piece(run.text, run.at)) for run in runs]


def _take_over(section: Section, start: int, same: Noted, found: Part) -> None:
    """Add what the batch at *start*, which stands there as it did, came to."""
    found.spans += (start, start + same.size)
    found.by_name.take(start, same)
    found.kept += same.kept_of(section.text, start)
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
