"""The tables of records in an index: which there are, what they list, and what of it is shown.

A record that is shown keeps its bytes. A table is decoded as far as somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TypeVar

import msgspec

from proxy.core.policy import Verdict
from proxy.ecosystems.conda.pieces import Filtered
from proxy.ecosystems.conda.records import Named, records
from proxy.ecosystems.conda.text import UNREADABLE, objects
from proxy.ecosystems.conda.wheels import Wheel, wheels
from proxy.errors import BadIndex

R = TypeVar("R", bound=Named)

_KINDS = {
    ("packages",): "tar.bz2",
    ("packages.conda",): "conda",
    ("v3", "tar.bz2"): "tar.bz2",
    ("v3", "conda"): "conda",
    ("v3", "whl"): "wheel",
}


class Section:
    """One table of records. `path` are the keys that lead to it."""

    def __init__(self, path: tuple[str, ...], raw: msgspec.Raw, where: str):
        """*where* is for messages."""
        self.path = path
        self.where = f"{where}, {'.'.join(path)}"
        self.kind = _KINDS.get(path)  # None: of a later standard
        self.hidden: Mapping[str, Verdict] = {}  # by key
        self._names: list[str] | None = None
        self._raw = raw
        self._document = where

    @cached_property
    def members(self) -> dict[str, msgspec.Raw]:
        """The records by key, unread. Raises BadIndex."""
        return objects(self._raw, self.where)

    @cached_property
    def wheels(self) -> Mapping[str, tuple[str, Wheel]]:
        """The wheels with their file names."""
        return wheels({"whl": self._raw}, f"{self._document}, v3")

    def records(self, model: type[R]) -> Iterator[tuple[str, R | Wheel]]:
        """The records by key, read one at a time: all at once take half a gigabyte.

        Raises BadIndex.
        """
        if self.kind == "wheel":
            yield from ((stem, wheel) for stem, (_, wheel) in self.wheels.items())
            return
        decode = msgspec.json.Decoder(model).decode
        key = ""
        names: dict[str, str] = {}  # one text for all records of a name
        listed: list[str] = []
        try:
            for key, raw in self.members.items():
                record = decode(raw)
                listed.append(names.setdefault(record.name, record.name))
                yield key, record
        except UNREADABLE as error:
            raise BadIndex(f"{self.where}, {key}: {error}") from error
        self._names = listed

    def names(self) -> list[str]:
        """The packages' names, in the records' order. Raises BadIndex.

        Who has read all the records has read them already.
        """
        if self._names is None:
            self._names = [one.name for one in records(self._raw, Named, self.where).values()]
        return self._names

    def filename(self, key: str) -> str:
        """What the file of the record *key* is called."""
        if self.kind == "wheel":
            return self.wheels[key][0]
        # Below `v3` the keys have no ending (CEP 48).
        return key if len(self.path) == 1 else f"{key}.{self.path[-1]}"

    def shown(self) -> Filtered:
        """The table without what is hidden."""
        return Filtered(self.members, self.hidden)


Sections = Mapping[tuple[str, ...], Section]


def sections(top: Mapping[str, msgspec.Raw], where: str) -> Mapping[tuple[str, ...], Section]:
    """All tables of the index *top*. Raises BadIndex."""
    found = {
        (name,): Section((name,), top[name], where)
        for name in ("packages", "packages.conda")
        if name in top
    }
    newer = objects(top["v3"], f"{where}, v3") if "v3" in top else {}
    return found | {("v3", kind): Section(("v3", kind), raw, where) for kind, raw in newer.items()}
