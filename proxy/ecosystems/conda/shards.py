"""Sharded repodata (CEP 16) made out of repodata.json.

One shard for each package name, compressed and named by the SHA-256 of its compressed bytes, and
an index from names to shards. The same records give the same bytes, so a name whose records did
not change keeps its shard from one generation to the next.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import msgspec
import zstandard

from proxy.core.model import Index
from proxy.core.rows import Table
from proxy.ecosystems.conda.repodata import Repodata
from proxy.ecosystems.conda.text import UNREADABLE
from proxy.errors import BadIndex, StorageError

_LEVEL = 1  # level 3 saves less than 1 %, level 19 4 % in 30 times the time
_DIGESTS = (("sha256", 32), ("md5", 16))
_SOURCE = 16  # bytes that stand for what a shard was made of
_SOURCES = "="  # what comes before a name, in a pack, where these are
_RECIPE = b"1"  # raised whenever the same records would give another shard
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode

Shard = dict[str, Any]
_Member = tuple[tuple[str, ...], str, msgspec.Raw]
"""Where a record stands in its shard, its file name, and the record."""


def build(
    index: Index, repodata: Repodata, earlier: bytes | memoryview | None = None
) -> tuple[bytes, dict[str, bytes]]:
    """The compressed shard index, and every shard by its hex digest. Raises BadIndex.

    From the pack *earlier* the shards of names whose records did not change are taken as they
    are: the result is the same.
    """
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
    digests: dict[str, bytes] = {}
    pack: dict[str, bytes] = {}
    known = _Earlier(earlier)
    for name, members in _by_name(repodata).items():
        removed = repodata.removed.get(name, [])
        source = _source(members, removed)
        packed = known.shard(name, source)
        if packed is None:
            shard = _shard(index, members, removed)
            packed = compressor.compress(_packed(shard, f"{index.path}: the shard of {name}"))
        digest_of = hashlib.sha256(packed)
        digests[name] = digest_of.digest()
        pack[digest_of.hexdigest()] = packed
        pack[_SOURCES + name] = source + digest_of.digest()
    subdir = repodata.info.get("subdir")
    contents = {
        "version": 1,
        "info": {
            **repodata.info,
            "subdir": subdir if isinstance(subdir, str) else index.path.split("/")[-2],
            # Relative to the index itself: packages beside it, shards in a folder of theirs.
            "base_url": "./",
            "shards_base_url": "./shards/",
        },
        "shards": digests,
    }
    return compressor.compress(_packed(contents, f"{index.path}, info")), pack


def _source(members: list[_Member], removed: list[str]) -> bytes:
    """What stands for everything that a shard is made of."""
    hashed = hashlib.sha256(_RECIPE)  # faster than others where the processor knows it
    hashed.update(b",".join([raw for _, _, raw in members]))
    names = [f"{'.'.join(table)}/{filename}" for table, filename, _ in members]
    hashed.update("\0".join([*names, "", *removed]).encode())
    return hashed.digest()[:_SOURCE]


class _Earlier:
    """Shards of an earlier generation, by what they were made of."""

    def __init__(self, pack: bytes | memoryview | None) -> None:
        self._entries: dict[str, bytes] = {}
        with contextlib.suppress(StorageError):  # nothing is taken from a damaged one
            self._entries = {} if pack is None else dict(Table(pack).items())

    def shard(self, name: str, source: bytes) -> bytes | None:
        """The shard of *name*, if it was made of the same."""
        known = self._entries.get(_SOURCES + name, b"")
        return self._entries.get(known[_SOURCE:].hex()) if known[:_SOURCE] == source else None


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


def _by_name(repodata: Repodata) -> dict[str, list[_Member]]:
    """The members of every name's shard, still as JSON: a name at a time is decoded."""
    members: dict[str, list[_Member]] = defaultdict(list)
    for path, section in repodata.sections.items():
        changed = repodata.wheels if section.kind == "wheel" else {}
        named = section.names()
        for (key, raw), name in zip(section.members.items(), named, strict=True):
            if key not in section.hidden:
                members[name].append((path, key, changed.get(key, raw)))
    return members


def _shard(index: Index, members: list[_Member], removed: list[str]) -> Shard:
    # conda fails on a shard that lacks either of the two tables.
    shard: Shard = {"packages": {}, "packages.conda": {}}
    for (table, filename, _), record in zip(members, _records(index, members), strict=True):
        place = shard
        for key in table:
            place = place.setdefault(key, {})
        place[filename] = record
    if removed:
        shard["removed"] = removed
    return shard


def _records(index: Index, members: list[_Member]) -> list[dict[str, Any]]:
    """The records as a shard has them: digests are bytes, and what is not one is left out."""
    try:
        records = _decode(b"[%b]" % b",".join([raw for _, _, raw in members]))
    except UNREADABLE as error:
        names = ", ".join(filename for _, filename, _ in members[:3])
        raise BadIndex(f"{index.path}: a record among {names} is malformed: {error}") from error
    for record in records:
        for key, length in _DIGESTS:
            value = record.get(key)
            if value is None:  # CEP 36 allows null
                continue
            if type(value) is str and len(value) == 2 * length:
                with_bytes = _bytes(value)
                if len(with_bytes) == length:
                    record[key] = with_bytes
                    continue
            del record[key]
    return records


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _packed(value: object, where: str) -> bytes:
    """*value* as msgpack, where integers end at 64 bits. Raises BadIndex."""
    try:
        return _encode(value)
    except (OverflowError, RecursionError) as error:
        raise BadIndex(f"{where} cannot be written: {error}") from error
