"""One pass over the tables of an index, for all that is made of them: what is hidden, the rows, the
text that is left, and what the shards hold.

600,000 records are read once, a hundred at a time; of a record only what is made of it is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from proxy.core.policy import Verdict
from proxy.ecosystems.conda.batches import Batch
from proxy.ecosystems.conda.gate import Gate
from proxy.ecosystems.conda.pieces import Kept
from proxy.ecosystems.conda.records import Judgeable, Named, Record, row_value
from proxy.ecosystems.conda.sections import Section
from proxy.ecosystems.conda.shards import ByName
from proxy.ecosystems.conda.wheels import Wheel, link
from proxy.errors import BadIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Where upstream's files are: what its relative addresses refer to, and its `base_url`, made
    absolute; None where packages lie beside the index.
    """

    url: str
    base_url: str | None


class Reader:
    """Reads sections. *rowed*, *sharded*: whether rows and shards are to be made."""

    def __init__(self, gate: Gate | None, links: Links, *, rowed: bool, sharded: bool) -> None:
        self._gate = gate
        self._links = links
        self._rowed = rowed
        self._sharded = sharded
        self.rows: dict[str, bytes] = {}
        self.shards: dict[tuple[str, ...], ByName] = {}

    def read(self, section: Section) -> None:
        """Note what of the section is hidden and make what is to be made. Raises BadIndex."""
        if not self._read(section):
            section.make_distinct()
            self._read(section)

    def _read(self, section: Section) -> bool:
        """Whether every key is there but once; otherwise it must be read again: what has been noted
        is rows, which are then made anew.
        """
        hiding = None if self._gate is None else self._gate.hiding(section)
        by_name = ByName()
        hidden: dict[str, Verdict] = {}
        kept = Kept()
        keys: set[str] = set()
        count = 0
        for batch in section.batches(self._model(section)):
            records = batch.records
            keys.update(records)
            count += len(records)
            denied = {} if hiding is None else hiding(records)
            if self._rowed and section.kind is not None:
                self.rows.update(self._rows(section, records, denied))
            runs = self._runs(section, batch, denied) if self._sharded or denied else []
            by_name.add(runs)
            kept.add([run for _, run in runs] if denied else [batch.text])
            hidden |= denied
        if len(keys) < count:
            return False
        section.hidden, section.kept = hidden, kept if hidden else None
        if self._sharded:
            self.shards[section.path] = by_name
        return True

    def _model(self, section: Section) -> type[Named]:
        """As what the records are read: the more, the longer it takes."""
        if section.kind is None:
            return Named
        if section.kind == "wheel":
            return Wheel
        return Record if self._gate is None else Judgeable

    def _runs(
        self, section: Section, batch: Batch[Named], denied: Mapping[str, Verdict]
    ) -> list[tuple[str, memoryview]]:
        """What clients get of the batch, neighbours of one name together."""
        names: list[str | None] = [record.name for record in batch.records.values()]
        if denied:
            names = [
                None if key in denied else name
                for key, name in zip(batch.records, names, strict=True)
            ]
        if not section.rewritten:
            return batch.parted(names)
        return [
            (name, section.written(key))
            for key, name in zip(batch.records, names, strict=True)
            if name is not None
        ]

    def _rows(
        self, section: Section, records: Mapping[str, Any], denied: Mapping[str, Verdict]
    ) -> Iterable[tuple[str, bytes]]:
        base = self._links.base_url
        is_flat, is_wheel = len(section.path) == 1, section.kind == "wheel"
        get = denied.get
        if is_flat and base is None:
            return [(key, row_value(one, None, get(key))) for key, one in records.items()]
        rows = []
        for key, record in records.items():
            filename = key if is_flat else section.filename(key)
            url = base and base + link(filename)
            if is_wheel:
                where = f"{section.where}, {key}"
                url = absolute(self._links.url, record.url or link(filename), where)
            rows.append((filename, row_value(record, url, get(key))))
        return rows


def absolute(base: str, reference: str, where: str) -> str:
    """*reference* as a URL, where it is relative to *base*. Raises BadIndex."""
    try:
        return urljoin(base, reference)
    except ValueError as error:
        raise BadIndex(f"{where}: {reference!r} is not a URL: {error}") from error
