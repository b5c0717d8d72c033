"""The tables of records in an index: which there are, what they list, and what of it is shown.

A record that is shown keeps its bytes. A table is decoded as far as somebody asks, and once.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

from proxy.core.policy import Verdict
from proxy.ecosystems.conda.pieces import Filtered
from proxy.ecosystems.conda.records import Judgeable, Record, records
from proxy.ecosystems.conda.text import objects
from proxy.ecosystems.conda.wheels import wheels

_KINDS = {
    ("packages",): "tar.bz2",
    ("packages.conda",): "conda",
    ("v3", "tar.bz2"): "tar.bz2",
    ("v3", "conda"): "conda",
    ("v3", "whl"): "wheel",
}


class _Named(msgspec.Struct, gc=False):
    name: str


class Section:
    """One table of records. `path` are the keys that lead to it; `hidden` is by key."""

    def __init__(self, path: tuple[str, ...], raw: msgspec.Raw, where: str, model: type[Record]):
        """*model* is what records are read as. *where* is for messages."""
        self.path = path
        self.where = f"{where}, {'.'.join(path)}"
        self.kind = _KINDS.get(path)  # None: of a later standard
        self.hidden: Mapping[str, Verdict] = {}
        self._raw = raw
        self._model = model
        self._document = where

    @cached_property
    def members(self) -> dict[str, msgspec.Raw]:
        """The records by key, unread. Raises BadIndex."""
        return objects(self._raw, self.where)

    @cached_property
    def records(self) -> Mapping[str, Any]:
        """The records by key; of `model`, or wheels. Raises BadIndex."""
        if self.kind == "wheel":
            return {stem: wheel for stem, (_, wheel) in self.wheels.items()}
        return records(self._raw, self._model, self.where)

    def names(self) -> list[str]:
        """The packages' names, in the records' order. Raises BadIndex."""
        if "records" in self.__dict__ and self.kind != "wheel":
            return [record.name for record in self.records.values()]
        return [one.name for one in records(self._raw, _Named, self.where).values()]

    @cached_property
    def wheels(self) -> Mapping[str, tuple[str, Any]]:
        """The wheels with their file names."""
        return wheels({"whl": self._raw}, f"{self._document}, v3")

    def filename(self, key: str) -> str:
        """What the file of the record *key* is called."""
        if self.kind == "wheel":
            return self.wheels[key][0]
        # Below `v3` the keys have no ending (CEP 48).
        return key if len(self.path) == 1 else f"{key}.{self.path[-1]}"

    def shown(self) -> Filtered:
        """The table without what is hidden."""
        return Filtered(self.members, self.hidden)


def sections(
    top: Mapping[str, msgspec.Raw], where: str, *, judged: bool
) -> Mapping[tuple[str, ...], Section]:
    """All tables of the index *top*. *judged*: their records are read as far as policies look."""
    model = Judgeable if judged else Record
    found = {
        (name,): Section((name,), top[name], where, model)
        for name in ("packages", "packages.conda")
        if name in top
    }
    newer = objects(top["v3"], f"{where}, v3") if "v3" in top else {}
    return found | {
        ("v3", kind): Section(("v3", kind), raw, where, model) for kind, raw in newer.items()
    }
