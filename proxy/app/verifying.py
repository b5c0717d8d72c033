"""Reading the whole store through while the server goes on serving."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from proxy.config.settings import Cache
from proxy.errors import Conflict
from proxy.storage.opening import opened
from proxy.storage.verify import Findings, verify


class Verifying:
    """One reading at a time, in a thread with an event loop and a catalog of its own."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._lock = asyncio.Lock()

    async def run(self) -> Findings:
        """Read and repair. Raises StorageError, and Conflict where one reading goes on."""
        if self._lock.locked():
            raise Conflict("the store is being verified already")
        async with self._lock:
            return await asyncio.to_thread(self._verified)

    def _verified(self) -> Findings:
        async def main(spare: Path) -> Findings:
            store = opened(self._cache.layers, spare=spare, limit=self._cache.max_size)
            try:
                return await verify(store)
            finally:
                await store.aclose()

        with tempfile.TemporaryDirectory(prefix="pkgproxy-") as spare:
            return asyncio.run(main(Path(spare)))
