"""The plain way to filter a channel: parse it, loop over it, write it. What to be faster than.

Run as `python -m benchmarks.plainly REPODATA.json.zst FOLDER`: applies the benchmark's policy and
writes the same three things that the proxy makes. Prints the seconds it took.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from rattler import MatchSpec, PackageRecord
from rattler.package.build_string import BuildString

from benchmarks.policy_rules import COOL_DOWN, FAMILIES, LARGEST, NAMES, SPECS


def main(source: str, folder: str) -> None:
    """Filter, write, print."""
    begun = time.perf_counter()
    with Path(source).open("rb") as packed:
        index = json.loads(zstandard.ZstdDecompressor().stream_reader(packed).read())
    specs = [MatchSpec(text) for text in SPECS]
    young = (time.time() - COOL_DOWN) * 1000
    rows: dict[str, Any] = {}
    shards: dict[str, Any] = defaultdict(lambda: {"packages": {}, "packages.conda": {}})
    for table in ("packages", "packages.conda"):
        kept = {}
        for filename, record in index[table].items():
            hidden = _hides(record, specs, young)
            rows[filename] = [record["size"], record["sha256"], hidden]
            if not hidden:
                kept[filename] = record
                shards[record["name"]][table][filename] = {
                    **record,
                    "md5": bytes.fromhex(record["md5"]),
                    "sha256": bytes.fromhex(record["sha256"]),
                }
        index[table] = kept
    compressor = zstandard.ZstdCompressor()
    out = Path(folder)
    (out / "repodata.json.zst").write_bytes(compressor.compress(json.dumps(index).encode()))
    (out / "rows.json").write_text(json.dumps(rows))
    digests = {}
    with (out / "shards").open("wb") as file:
        for name, shard in shards.items():
            packed_shard = compressor.compress(msgspec.msgpack.encode(shard))
            digests[name] = hashlib.sha256(packed_shard).digest()
            file.write(packed_shard)
    (out / "index").write_bytes(compressor.compress(msgspec.msgpack.encode(digests)))
    print(time.perf_counter() - begun)


def _hides(record: dict[str, Any], specs: list[MatchSpec], young: float) -> bool:
    if any(fnmatch.fnmatchcase(record["name"], pattern) for pattern in NAMES):
        return True
    package = PackageRecord(
        name=record["name"],
        version=record["version"],
        build=BuildString(record["build"]),
        build_number=record["build_number"],
        subdir=record["subdir"],
    )
    if any(spec.matches(package) for spec in specs):
        return True
    if record["size"] > LARGEST or record["timestamp"] > young:
        return True
    return record["license_family"] in FAMILIES


if __name__ == "__main__":
    main(*sys.argv[1:])
