"""Sharded repodata (CEP 16) made out of repodata.json.

One shard for each package name, compressed and named by the SHA-256 of its compressed bytes, and
an index from names to shards. The same records give the same bytes, so a name whose records did
not change keeps its shard from one generation to the next.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice, pairwise
from operator import attrgetter
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

import msgspec
import zstandard

from proxy.core.model import Index
from proxy.core.rows import Table
from proxy.ecosystems.conda import packing
from proxy.ecosystems.conda.batches import BETWEEN, Run
from proxy.ecosystems.conda.marks import mark
from proxy.ecosystems.conda.packing import Exports, Records
from proxy.ecosystems.conda.text import UNREADABLE
from proxy.errors import BadIndex, StorageError

_LEVEL = 1  # level 3 saves less than 1 %, level 19 4 % in 30 times the time
SOURCES = "~"  # comes after all digests
"""The entry of a pack that says which shards are in it, and what they were made of."""

_NONE = [packing.head(0)]  # a map without members
_GAP = 64  # bytes between two members that belong together
_RECIPE = b"4"  # raised whenever the same records would give another shard
_encode = msgspec.msgpack.Encoder().encode
_named = msgspec.msgpack.Decoder(list[tuple[str, bytes, bytes, bytes]]).decode


class Piece(msgspec.Struct, frozen=True, gc=False):
    """Some records of one name that stand together in a table.

    `text` are the members as the index has them, at *at* in the table (-1: they are not there as
    they are), `packed` the same as a shard has them, without the head of their map, if they have
    been packed already; then `members` says how many they are.
    """

    text: memoryview
    at: int
    packed: bytes | None = None
    members: int = 0


def merged(pieces: Iterable[Piece], table: memoryview) -> list[Piece]:
    """Those that are neighbours in *table*, together with what stands between them."""
    found: list[Piece] = []
    end = -1
    for piece in pieces:
        text, at = piece.text, piece.at
        if 0 <= end <= at <= end + _GAP and not bytes(table[end:at]).strip(BETWEEN):
            at = found[-1].at
            found[-1] = Piece(table[at : piece.at + len(text)], at)
        else:
            found.append(piece)
        end = -1 if at < 0 else piece.at + len(text)
    return found


class Known(Protocol):
    """Records of a batch that came to what they came to in an earlier generation."""

    @property
    def names(self) -> Sequence[str]:
        """The packages of those that are shown."""

    def of(self, names: AbstractSet[str], table: memoryview, start: int) -> list[tuple[str, Piece]]:
        """Those with one of *names*, where the batch stands at *start* in *table*."""


class ByName:
    """The records of one table by package name, as they stand in the index."""

    def __init__(self, table: memoryview, ending: str = "") -> None:
        """*ending* is what keys lack of a file name."""
        self._table = table
        self._ending = ending
        self.pieces: defaultdict[str, list[Piece]] = defaultdict(list)
        self._taken: list[tuple[int, Known]] = []

    @property
    def names(self) -> Iterable[str]:
        """All that have a record here."""
        return chain(self.pieces, chain.from_iterable(one.names for _, one in self._taken))

    def take(self, start: int, known: Known) -> None:
        """More records, which are *known* and stand at *start*; `find` is for their pieces."""
        self._taken.append((start, known))

    def find(self, names: AbstractSet[str]) -> None:
        """Find all pieces of these *names*; after this no others are looked for."""
        taken, self._taken = self._taken, []
        found = defaultdict(list)
        for start, known in taken:
            for name, piece in known.of(names, self._table, start):
                found[name].append(piece)
        for name, pieces in found.items():
            self.pieces[name] = sorted([*self.pieces[name], *pieces], key=attrgetter("at"))

    def add(self, runs: Iterable[tuple[str, Piece]]) -> None:
        """More records."""
        for name, piece in runs:
            self.pieces[name].append(piece)

    def without(self, names: Collection[str]) -> ByName:
        """The records of all others than *names*."""
        if not names:
            return self
        found = ByName(self._table, self._ending)
        found.pieces.update((n, some) for n, some in self.pieces.items() if n not in names)
        return found

    def text(self, name: str) -> bytes | memoryview:
        """The records of *name* as the members of one JSON object."""
        pieces = self.pieces.get(name, [])
        if len(pieces) > 1:
            # The same, wherever it was cut to be read.
            pieces = merged(pieces, self._table)
        if len(pieces) == 1:
            return pieces[0].text
        return b",".join([piece.text for piece in pieces])

    def packed(self, name: str, exported: Mapping[str, bytes], where: str) -> list[bytes]:
        """The records of *name* as a shard has them, with what is *exported* by its files, in
        pieces; of what was packed already no more than the text is kept.

        Raises BadIndex.
        """
        pieces = self.pieces[name]
        packed = [piece.packed for piece in pieces if piece.packed is not None]
        if len(packed) < len(pieces):
            records = _records(self.text(name), where)
            packing.with_digests(records)
            packing.with_exports(records.items(), exported, self._ending)
            return [_packed(records, where)]
        count = sum([piece.members for piece in pieces])
        self.pieces[name] = [Piece(piece.text, piece.at) for piece in pieces]
        return [packing.head(count), *packed]


Tables = Mapping[tuple[str, ...], ByName]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharding:
    """What the shards of one index are made of."""

    info: Mapping[str, Any]  # as clients get it
    removed: Mapping[str, list[str]]  # file names by package name
    tables: Tables  # by the keys that lead to them
    exports: Exports
    earlier: Mapping[str, Shard]  # those of an earlier generation
    made: Mapping[str, Shard]  # those that have been made already
    changed: AbstractSet[str] | None = None  # see `made`


class Shard(NamedTuple):
    """A compressed shard, and what stands for its records, and for all that it was made of."""

    text: bytes
    source: bytes
    digest: bytes
    packed: bytes | memoryview


def names(tables: Tables) -> Iterable[str]:
    """All that have a record in one of *tables*."""
    return dict.fromkeys(chain.from_iterable(table.names for table in tables.values()))


def made(
    index: Index,
    tables: Tables,
    removed: Mapping[str, list[str]],
    exports: Exports,
    *,
    earlier: Mapping[str, Shard] | None = None,
    changed: AbstractSet[str] | None = None,
) -> dict[str, Shard]:
    """The shards of all names in *tables*.

    *exports*: of the records that have none themselves (CEP 21). Of the shards *earlier* those of
    names whose records did not change are taken as they are: the result is the same. *changed*:
    those whose records may have; None: all. Raises BadIndex.
    """
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
    before = earlier or {}
    found: dict[str, Shard] = {}
    left: list[str] = []
    for name in names(tables):
        was = before.get(name) if changed is not None and name not in changed else None
        if was and was.source == _source(was.text, removed.get(name, []), exports.get(name, {})):
            found[name] = was
        else:
            left.append(name)
    for table in tables.values():
        table.find(frozenset(left))
    for name in left:
        gone, exported = removed.get(name, []), exports.get(name, {})
        texts = _texts(tables, name)
        text = _text(texts)
        source = _source(text, gone, exported)
        was = before.get(name)
        if was and was.source == source:
            found[name] = was
            continue
        where = f"{index.path}: the shard of {name}"
        records = {path: tables[path].packed(name, exported, where) for path in texts}
        packed = compressor.compress(b"".join(_shard(records, gone)))
        found[name] = Shard(text, source, hashlib.sha256(packed).digest(), packed)
    return found


def _texts(tables: Tables, name: str) -> dict[tuple[str, ...], bytes | memoryview]:
    """The records of *name*, of those tables that have any."""
    return {path: text for path, one in tables.items() if (text := one.text(name))}


def build(index: Index, sharding: Sharding) -> tuple[bytes, dict[str, bytes | memoryview]]:
    """The compressed shard index, and the entries of the pack: every shard by its hex digest, and
    what they were made of.

    Raises BadIndex.
    """
    tables, removed, exports = sharding.tables, sharding.removed, sharding.exports
    left = {path: one.without(sharding.made) for path, one in tables.items()}
    mine = made(index, left, removed, exports, earlier=sharding.earlier, changed=sharding.changed)
    shards = {**mine, **sharding.made}
    subdir = sharding.info.get("subdir")
    contents = {
        "version": 1,
        "info": {
            **sharding.info,
            "subdir": subdir if isinstance(subdir, str) else index.path.split("/")[-2],
            # Relative to the index itself: packages beside it, shards in a folder of theirs.
            "base_url": "./",
            "shards_base_url": "./shards/",
        },
        "shards": {name: shards[name].digest for name in sorted(shards)},
    }
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
    index_bytes = compressor.compress(_packed(contents, f"{index.path}, info"))
    return index_bytes, pack(shards)


def pack(shards: Mapping[str, Shard]) -> dict[str, bytes | memoryview]:
    """The entries of the pack that has *shards*."""
    named = sorted(shards.items(), key=lambda one: one[1].digest)
    entries: dict[str, bytes | memoryview] = {one.digest.hex(): one.packed for _, one in named}
    entries[SOURCES] = _encode([(name, one.text, one.source, one.digest) for name, one in named])
    return entries


def unpacked(pack: Table) -> dict[str, Shard]:
    """The shards of which `pack` made the entries. Raises StorageError."""
    try:
        named = _named(pack.get(SOURCES) or b"")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StorageError(f"a pack of shards does not say what they are: {error}") from error
    if len(named) + 1 != len(pack):
        raise StorageError("a pack of shards has others than it says")
    columns = pack.columns()
    first = columns.values[0]
    places = pairwise(columns.values[:-1])  # in the order of their digests, as they were written
    return {
        name: Shard(text, source, digest, columns.held[start - first : end - first])
        for (name, text, source, digest), (start, end) in zip(named, places, strict=True)
    }


def known(pack: bytes | memoryview | None) -> dict[str, Shard]:
    """The shards of an earlier generation; none are taken from a damaged pack."""
    try:
        return {} if not pack else unpacked(Table(pack))
    except StorageError:
        return {}


class _Addressed(msgspec.Struct):
    url: str = ""


class _Listing(msgspec.Struct):
    """A shard, as far as it says which files there are."""

    packages: dict[str, msgspec.Raw]
    conda: dict[str, msgspec.Raw] = msgspec.field(name="packages.conda")
    v3: dict[str, dict[str, _Addressed]] = msgspec.field(default_factory=dict)


_listing = msgspec.msgpack.Decoder(_Listing).decode


def listed(packed: bytes) -> Iterator[str]:
    """The files in a shard of ours, as the rows name them. Raises BadIndex."""
    try:
        shard = _listing(zstandard.ZstdDecompressor().decompress(packed))
    except (msgspec.MsgspecError, zstandard.ZstdError, RecursionError) as error:
        raise BadIndex(f"a shard in the store cannot be read: {error}") from error
    yield from shard.packages
    yield from shard.conda
    for kind, table in shard.v3.items():
        for stem, record in table.items():
            yield unquote(record.url) if kind == "whl" else f"{stem}.{kind}"


def _text(texts: Mapping[tuple[str, ...], bytes | memoryview]) -> bytes:
    """What stands for the records of a name."""
    told = ((f"{'.'.join(path)} {len(text)} ".encode(), text) for path, text in texts.items())
    return mark(chain.from_iterable(told))


def _source(text: bytes, removed: list[str], exported: Mapping[str, bytes]) -> bytes:
    """What stands for everything that a shard is made of."""
    parts = [_RECIPE, text, "\0".join(removed).encode()]
    for filename, exports in exported.items():
        parts += (b"\0%b %d " % (filename.encode(), len(exports)), exports)
    return mark(parts)


def _shard(records: Mapping[tuple[str, ...], list[bytes]], removed: list[str]) -> list[bytes]:
    """A shard in pieces, of *records* that are packed."""
    # conda fails on a shard that lacks either of the two tables.
    shard: dict[str, Any] = {"packages": _NONE, "packages.conda": _NONE}
    for path, packed in records.items():
        place = shard
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = packed
    if removed:
        shard["removed"] = [_encode(removed)]
    return _map(shard)


def _map(members: Mapping[str, Any]) -> list[bytes]:
    """A map of what is in pieces itself, or is a map of that."""
    pieces = [packing.head(len(members))]
    for key, value in members.items():
        pieces.append(_key(key))
        pieces += value if isinstance(value, list) else _map(value)
    return pieces


@cache
def _key(name: str) -> bytes:
    return _encode(name)


def _records(text: bytes | memoryview, where: str) -> Records:
    try:
        return packing.decode(b"{%b}" % bytes(text))
    except UNREADABLE as error:
        raise BadIndex(f"{where}: a record is malformed: {error}") from error


def packed(
    runs: Sequence[Run],
    records: Records,
    digests: Sequence[bytes] | None,
    exports: Exports,
    ending: str,
) -> list[tuple[str, Piece]]:
    """The *runs* of a batch with the records that are in them, packed. *records* are changed.

    *digests*: the SHA-256 of their files, if all are known. *ending* is what their keys lack of a
    file name.
    """
    members = list(chain.from_iterable(records.items()))
    packing.with_digests(records, digests)
    found = []
    for run in runs:
        some = members[2 * run.start : 2 * run.stop]
        if exports:
            named = islice(records.items(), run.start, run.stop)
            packing.with_exports(named, exports.get(run.label, {}), ending)
        try:
            packed = packing.packed(some)
        except (OverflowError, RecursionError):  # told when the shard is made
            found.append((run.label, Piece(run.text, run.at)))
        else:
            found.append((run.label, Piece(run.text, run.at, packed, run.stop - run.start)))
    return found


def _packed(value: object, where: str) -> bytes:
    """*value* as msgpack, where integers end at 64 bits. Raises BadIndex."""
    try:
        return _encode(value)
    except (OverflowError, RecursionError) as error:
        raise BadIndex(f"{where} cannot be written: {error}") from error
