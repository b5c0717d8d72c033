"""Sharded repodata (CEP 16) made out of repodata.json.

One shard for each package name, compressed and named by the SHA-256 of its compressed bytes, and
an index from names to shards. The same records give the same bytes, so a name whose records did
not change keeps its shard from one generation to the next.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

import msgspec
import zstandard

from proxy.core.model import Index
from proxy.core.rows import Table
from proxy.ecosystems.conda.text import UNREADABLE
from proxy.errors import BadIndex, StorageError

_LEVEL = 1  # level 3 saves less than 1 %, level 19 4 % in 30 times the time
_SOURCE = 16  # bytes that stand for what a shard was made of
_SOURCES = "="  # what comes before a name, in a pack, where these are
_RECIPE = b"2"  # raised whenever the same records would give another shard
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, dict[str, Any]]).decode
_exports = msgspec.json.Decoder(dict[str, list[str]]).decode
_fromhex = bytes.fromhex


class ByName:
    """The records of one table by package name, as they stand in the index."""

    def __init__(self) -> None:
        self._runs: defaultdict[str, list[memoryview]] = defaultdict(list)

    def add(self, runs: Iterable[tuple[str, memoryview]]) -> None:
        """More records: members of a JSON object, neighbours of one name together."""
        for name, text in runs:
            self._runs[name].append(text)

    def names(self) -> Iterable[str]:
        """All that have a record here."""
        return self._runs.keys()

    def text(self, name: str) -> bytes:
        """The records of *name* as the members of one JSON object."""
        return b",".join(self._runs.get(name, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharding:
    """What the shards of one index are made of."""

    info: Mapping[str, Any]  # as clients get it
    removed: Mapping[str, list[str]]  # file names by package name
    tables: Mapping[tuple[str, ...], ByName]  # by the keys that lead to them


def build(
    index: Index,
    sharding: Sharding,
    earlier: bytes | memoryview | None = None,
    exports: Mapping[str, Mapping[str, bytes]] = MappingProxyType({}),
) -> tuple[bytes, dict[str, bytes]]:
    """The compressed shard index, and every shard by its hex digest.

    *exports*: run exports as JSON, by package name and file name, for records without (CEP 21).
    From the pack *earlier* the shards of names whose records did not change are taken as they
    are: the result is the same. Raises BadIndex.
    """
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
    digests: dict[str, bytes] = {}
    pack: dict[str, bytes] = {}
    known = _Earlier(earlier)
    tables = sharding.tables
    for name in dict.fromkeys(chain.from_iterable(map(ByName.names, tables.values()))):
        texts = {path: text for path, one in tables.items() if (text := one.text(name))}
        gone = sharding.removed.get(name, [])
        exported = exports.get(name, {})
        source = _source(texts, gone, exported)
        packed = known.shard(name, source)
        if packed is None:
            where = f"{index.path}: the shard of {name}"
            packed = compressor.compress(_packed(_shard(texts, gone, exported, where), where))
        digest_of = hashlib.sha256(packed)
        digests[name] = digest_of.digest()
        pack[digest_of.hexdigest()] = packed
        pack[_SOURCES + name] = source + digest_of.digest()
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
        "shards": digests,
    }
    return compressor.compress(_packed(contents, f"{index.path}, info")), pack


class _Earlier:
    """Shards of an earlier generation, by what they were made of."""

    def __init__(self, pack: bytes | memoryview | None) -> None:
        self._pack = memoryview(b"" if pack is None else pack)
        self._places: dict[str, tuple[int, int]] = {}
        with contextlib.suppress(StorageError):  # nothing is taken from a damaged one
            self._places = {} if pack is None else dict(Table(pack).places())

    def shard(self, name: str, source: bytes) -> bytes | None:
        """The shard of *name*, if it was made of the same."""
        known = self._entry(_SOURCES + name) or b""
        return self._entry(known[_SOURCE:].hex()) if known[:_SOURCE] == source else None

    def _entry(self, key: str) -> bytes | None:
        if key not in self._places:
            return None
        offset, length = self._places[key]
        return bytes(self._pack[offset : offset + length])


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


def _source(
    texts: Mapping[tuple[str, ...], bytes], removed: list[str], exported: Mapping[str, bytes]
) -> bytes:
    """What stands for everything that a shard is made of."""
    hashed = hashlib.sha256(_RECIPE)  # faster than others where the processor knows it
    for path, text in texts.items():
        hashed.update(f"{'.'.join(path)} {len(text)} ".encode())
        hashed.update(text)
    hashed.update("\0".join(removed).encode())
    for filename, exports in exported.items():
        hashed.update(b"\0%b %d %b" % (filename.encode(), len(exports), exports))
    return hashed.digest()[:_SOURCE]


def _shard(
    texts: Mapping[tuple[str, ...], bytes],
    removed: list[str],
    exported: Mapping[str, bytes],
    where: str,
) -> dict[str, Any]:
    # conda fails on a shard that lacks either of the two tables.
    shard: dict[str, Any] = {"packages": {}, "packages.conda": {}}
    for path, text in texts.items():
        place = shard
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = records = _records(text, where)
        for key, record in records.items():
            _with_digests(record)
            filename = key if len(path) == 1 else f"{key}.{path[-1]}"
            if filename in exported and "run_exports" not in record:
                with contextlib.suppress(*UNREADABLE):  # of what is none nothing is known
                    record["run_exports"] = _exports(exported[filename])
    if removed:
        shard["removed"] = removed
    return shard


def _records(text: bytes, where: str) -> dict[str, dict[str, Any]]:
    try:
        return _decode(b"{%b}" % text)
    except UNREADABLE as error:
        raise BadIndex(f"{where}: a record is malformed: {error}") from error


def _with_digests(record: dict[str, Any]) -> None:
    """Turn the digests into bytes, as shards have them; what is not one is left out."""
    for key, length in (("sha256", 64), ("md5", 32)):
        value = record.get(key)
        if value is None:  # CEP 36 allows null
            continue
        if type(value) is str and len(value) == length:
            try:
                digest = _fromhex(value)
            except ValueError:
                digest = b""
            if 2 * len(digest) == length:  # blanks are skipped
                record[key] = digest
                continue
        del record[key]


def _packed(value: object, where: str) -> bytes:
    """*value* as msgpack, where integers end at 64 bits. Raises BadIndex."""
    try:
        return _encode(value)
    except (OverflowError, RecursionError) as error:
        raise BadIndex(f"{where} cannot be written: {error}") from error
