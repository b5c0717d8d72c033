"""The least that these libraries need for the same result: read all, write all, judge nothing.

Run as `python -m benchmarks.least REPODATA.json.zst`: prints the seconds of CPU time. Records are
read in batches, as the proxy reads them. What the proxy takes beyond this is for judging, the row
table, putting records by name, digests and files.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from proxy.ecosystems.conda.batches import batches

_TABLES = ("packages", "packages.conda")


def main(source: str) -> None:
    """See above."""
    gc.disable()
    begun = time.process_time()
    with Path(source).open("rb") as packed:
        text = zstandard.ZstdDecompressor().stream_reader(packed).read()
    top = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    decode = msgspec.json.Decoder(dict[str, dict[str, Any]]).decode
    compressor = zstandard.ZstdCompressor(level=1)
    for table in _TABLES:
        for batch in batches(memoryview(top[table]), decode, table):
            compressor.compress(msgspec.msgpack.encode(batch.records))
    compressor.compress(text)
    print(time.process_time() - begun)


if __name__ == "__main__":
    main(*sys.argv[1:])
