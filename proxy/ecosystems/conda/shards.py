"""Sharded repodata (CEP 16) made out of repodata.json.

One shard for each package name, compressed and named by the SHA-256 of its compressed bytes, and
an index from names to shards. The same records give the same bytes, so a name whose records did
not change keeps its shard from one generation to the next.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import msgspec
import zstandard

from proxy.core.model import Index
from proxy.ecosystems.conda.repodata import objects
from proxy.errors import BadIndex

_TABLES = ("packages", "packages.conda")
_LEVEL = 3  # shards are small; level 19 saves 4 % and takes 30 times as long
_DIGESTS = ("sha256", "md5")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode

Shard = dict[str, Any]


def build(
    index: Index, top: Mapping[str, msgspec.Raw], info: Mapping[str, Any]
) -> tuple[bytes, dict[str, bytes]]:
    """The compressed shard index, and every shard by its hex digest. Raises BadIndex."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
    digests: dict[str, bytes] = {}
    pack: dict[str, bytes] = {}
    for name, shard in _by_name(index, top).items():
        packed = compressor.compress(_encode(shard))
        digest = hashlib.sha256(packed)
        digests[name] = digest.digest()
        pack[digest.hexdigest()] = packed
    subdir = info.get("subdir") or index.path.split("/")[-2]
    contents = {
        "version": 1,
        "info": {
            **info,
            "subdir": subdir,
            # Relative to the index itself: packages beside it, shards in a folder of theirs.
            "base_url": "./",
            "shards_base_url": "./shards/",
        },
        "shards": digests,
    }
    return compressor.compress(_encode(contents)), pack


def _by_name(index: Index, top: Mapping[str, msgspec.Raw]) -> dict[str, Shard]:
    # conda fails on a shard that lacks either of the two tables.
    shards: dict[str, Shard] = defaultdict(lambda: {"packages": {}, "packages.conda": {}})
    for table in _TABLES:
        for filename, raw in _members(index, top, table).items():
            name, record = _record(index, filename, raw)
            shards[name][table][filename] = record
    for kind, raw_records in _members(index, top, "v3").items():
        for stem, raw in objects(raw_records, f"{index.path}, v3.{kind}").items():
            name, record = _record(index, stem, raw)
            shards[name].setdefault("v3", {}).setdefault(kind, {})[stem] = record
    for filename in _removed(index, top):
        name = filename.rsplit("-", 2)[0]
        if name in shards:
            shards[name].setdefault("removed", []).append(filename)
    return shards


def _members(index: Index, top: Mapping[str, msgspec.Raw], key: str) -> dict[str, msgspec.Raw]:
    return objects(top[key], f"{index.path}, {key}") if key in top else {}


def _record(index: Index, filename: str, raw: msgspec.Raw) -> tuple[str, dict[str, Any]]:
    """One record as a shard has it: digests are bytes there."""
    try:
        record = _decode(raw)
        name = record["name"]
        for key in _DIGESTS:
            value = record.get(key)
            if value:
                record[key] = bytes.fromhex(value)
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError, ValueError) as error:
        raise BadIndex(f"{index.path}: the record of {filename} is malformed: {error}") from error
    if not isinstance(name, str):
        raise BadIndex(f"{index.path}: the record of {filename} has no name")
    return name, record


def _removed(index: Index, top: Mapping[str, msgspec.Raw]) -> list[str]:
    if "removed" not in top:
        return []
    try:
        return msgspec.json.decode(top["removed"], type=list[str])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise BadIndex(f"{index.path}: removed is not a list of file names: {error}") from error
