"""The least that these libraries need for the same result: read all, write all, judge nothing.

Run as `python -m benchmarks.least REPODATA.json.zst`: prints the seconds of CPU time. What the
proxy takes beyond this is for judging, the row table and putting records by name; what it takes
less is work that it does not do.
"""

from __future__ import annotations

import gc
import sys
import time
from collections import defaultdict
from pathlib import Path

import msgspec
import zstandard

_TABLES = ("packages", "packages.conda")


class _Named(msgspec.Struct):
    name: str


def main(source: str) -> None:
    """See above."""
    gc.disable()
    begun = time.process_time()
    with Path(source).open("rb") as packed:
        text = zstandard.ZstdDecompressor().stream_reader(packed).read()
    top = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    by_name: dict[str, list[msgspec.Raw]] = defaultdict(list)
    for table in _TABLES:
        records = msgspec.json.decode(top[table], type=dict[str, msgspec.Raw])
        named = msgspec.json.decode(top[table], type=dict[str, _Named])
        for raw, one in zip(records.values(), named.values(), strict=True):
            by_name[one.name].append(raw)
    compressor = zstandard.ZstdCompressor(level=1)
    for some in by_name.values():
        decoded = msgspec.json.decode(b"[%b]" % b",".join(some))
        compressor.compress(msgspec.msgpack.encode(decoded))
    compressor.compress(text)
    print(time.process_time() - begun)


if __name__ == "__main__":
    main(*sys.argv[1:])
