"""The tables of records in an index: which there are, what they list, and what of it is shown.

A record that is shown keeps its bytes. A table is decoded as far as somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TypeVar

import msgspec

from proxy.core.policy import Verdict
from proxy.ecosystems.conda.batches import WHOLE, Batch, Decode, batches
from proxy.ecosystems.conda.pieces import Kept, Piece
from proxy.ecosystems.conda.records import Named
from proxy.ecosystems.conda.text import objects
from proxy.ecosystems.conda.wheels import Wheel, rewritten, wheels

R = TypeVar("R")
N = TypeVar("N", bound=Named)

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
        # Below `v3` the keys have no ending (CEP 48).
        self.ending = "" if len(path) == 1 else f".{path[-1]}"
        self.kind = _KINDS.get(path)  # None: of a later standard
        self.hidden: Mapping[str, Verdict] = {}  # by key
        self.kept: Kept | None = None  # the text without what is hidden, if anything is
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

    @cached_property
    def rewritten(self) -> Mapping[str, msgspec.Raw]:
        """The records that clients get otherwise than upstream has them."""
        if self.kind != "wheel":
            return {}
        return rewritten(self.wheels, self.members, self.where)

    def written(self, key: str) -> memoryview:
        """The record *key* as clients get it, as a member of an object. Raises BadIndex."""
        record = self.rewritten.get(key) or self.members[key]
        return memoryview(b"%b:%b" % (msgspec.json.encode(key), record))

    def batches(self, model: type[R], span: slice = WHOLE) -> Iterator[Batch[R]]:
        """The records in *span* of the text, some fifty at a time, as *model*. Raises BadIndex."""
        decode = msgspec.json.Decoder(dict[str, model]).decode  # type: ignore[valid-type]
        return self.read(decode, span)

    def read(self, decode: Decode[R], span: slice = WHOLE) -> Iterator[Batch[R]]:
        """The same as *decode* reads an object of them."""
        if bytes(memoryview(self._raw)[:1]) != b"{":
            objects(self._raw, self.where)  # tells what is wrong
        return batches(memoryview(self._raw), decode, self.where, span=span)

    @property
    def is_plain(self) -> bool:
        """Whether its files are packages that lie beside the index under their keys, or could."""
        return self.kind in ("conda", "tar.bz2")

    @property
    def text(self) -> memoryview:
        """The table as upstream wrote it."""
        return memoryview(self._raw)

    def records(self, model: type[N]) -> Iterator[tuple[str, N | Wheel]]:
        """The records by key, read a few at a time: all at once take half a gigabyte.

        Raises BadIndex.
        """
        if self.kind == "wheel":
            yield from ((stem, wheel) for stem, (_, wheel) in self.wheels.items())
            return
        for batch in self.batches(model):
            yield from batch.records.items()

    def make_distinct(self) -> None:
        """Of what is there twice, the later one counts, as for everybody who reads JSON."""
        self._raw = msgspec.Raw(msgspec.json.encode(self.members))

    def filename(self, key: str) -> str:
        """What the file of the record *key* is called."""
        if self.kind == "wheel":
            return self.wheels[key][0]
        return f"{key}{self.ending}"

    def shown(self) -> Piece:
        """The table without what is hidden."""
        return memoryview(self._raw) if self.kept is None else self.kept


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
