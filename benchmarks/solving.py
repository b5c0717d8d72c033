"""One solve by py-rattler, in a process of its own.

Run as `python -m benchmarks.solving CHANNEL CACHE shards|zst`; prints the seconds it took.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import rattler
from rattler.package.build_string import BuildString

from benchmarks import channel

COUNT = 10
"""Packages that are asked for."""


async def solve(url: str, cache: str, *, sharded: bool) -> None:
    """Solve for ten packages that many others need."""
    config = rattler.SourceConfig(sharded_enabled=sharded, bz2_enabled=False)
    gateway = rattler.Gateway(cache_dir=Path(cache), default_config=config)
    wanted = channel.names(channel.RECORDS // channel.PER_NAME)[20 : 20 + COUNT]
    await rattler.solve(
        [rattler.Channel(url)],
        wanted,
        gateway=gateway,
        platforms=["linux-64", "noarch"],
        virtual_packages=[
            rattler.GenericVirtualPackage(
                rattler.PackageName("__glibc"), rattler.Version("2.36"), BuildString("0")
            )
        ],
    )


if __name__ == "__main__":
    begun = time.perf_counter()
    asyncio.run(solve(sys.argv[1], sys.argv[2], sharded=sys.argv[3] == "shards"))
    print(time.perf_counter() - begun, flush=True)
    os._exit(0)  # py-rattler's threads may abort an interpreter that is ending
