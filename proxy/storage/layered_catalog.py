"""What is remembered, in one catalog that is written and others that are only read.

Written and read first is the one of the folder that takes new blobs. Where it fails, which is told
once, a value is kept in memory: nothing is served wrongly for it, and what was kept is written when
writing works again. What is forgotten stays so for this process, although a catalog that is only
read still has it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence

from proxy.core.model import Digest, Entry, View
from proxy.errors import StorageError
from proxy.storage.catalog import DiskCatalog
from proxy.storage.ports import Remembered
from proxy.storage.read_only import ReadOnlyCatalog
from proxy.storage.trouble import Trouble

UNWRITTEN = 20_000
"""Values kept in memory at the most while they cannot be written, about 1 kB each."""


class LayeredCatalog:
    """See `proxy.storage.ports.Catalog`."""

    def __init__(
        self,
        main: DiskCatalog,
        others: Sequence[ReadOnlyCatalog] = (),
        trouble: Trouble | None = None,
    ) -> None:
        self._main = main
        self._others = tuple(others)
        self._trouble = trouble or Trouble()
        # What the main catalog could not be told: values, and None for what is to be forgotten.
        self._unwritten: OrderedDict[str, Remembered | None] = OrderedDict()
        self._forgotten: set[str] = set()

    def __repr__(self) -> str:
        return f"<LayeredCatalog {[self._main, *self._others]}>"

    def peek(self, key: str) -> Remembered | None:
        if key in self._unwritten:
            return self._unwritten[key]
        return self._main.peek(key)

    async def get(self, key: str) -> Remembered | None:
        if key in self._unwritten:
            return self._unwritten[key]
        try:
            found = await self._main.get(key)
        except StorageError as error:
            self._trouble.raised("catalog", error)
            found = None
        if found is None and self._others and key not in self._forgotten:
            found = self._elsewhere(key)
            if found is not None:
                self._main.keep(found)
        return found

    async def put(self, value: Remembered) -> None:
        try:
            await self._main.put(value)
        except StorageError as error:
            self._unheard(value.key, value, error)
            return
        self._forgotten.discard(value.key)
        self._unwritten.pop(value.key, None)
        if self._trouble.present:
            await self._catch_up()

    async def forget(self, keys: Iterable[str]) -> None:
        doomed = list(keys)
        if self._others:
            self._forgotten.update(key for key in doomed if self._elsewhere(key) is not None)
        try:
            await self._main.forget(doomed)
        except StorageError as error:
            for key in doomed:
                self._unheard(key, None, error)
            return
        for key in doomed:
            self._unwritten.pop(key, None)

    async def count(self) -> int:
        return await self._main.count()

    async def keys(self, prefix: str = "") -> list[str]:
        found = set(await self._main_keys(prefix))
        for other in self._others:
            keys = await asyncio.to_thread(other.keys, prefix)
            found.update(key for key in keys if key not in self._forgotten)
        for key, value in self._unwritten.items():
            if key.startswith(prefix):
                (found.discard if value is None else found.add)(key)
        return list(found)

    async def digests(self, prefix: str = "") -> set[Digest]:
        found = await self._main.digests(prefix)
        for other in self._others:
            found.update(one for _, one in await asyncio.to_thread(other.named, prefix))
        for key, value in self._unwritten.items():
            if key.startswith(prefix) and isinstance(value, Entry | View):
                found.add(value.digest)
        return found

    async def naming(self, digests: Collection[Digest]) -> list[str]:
        # Those in catalogs that are only read go with blobs that cannot be removed, either.
        return await self._main.naming(digests)

    async def is_sound(self) -> bool:
        """Read the file that is written through; where it is damaged, that is noted in it."""
        return await self._main.is_sound()

    async def aclose(self) -> None:
        """Close the files."""
        await self._catch_up()
        await self._main.aclose()
        for other in self._others:
            other.close()

    async def _main_keys(self, prefix: str) -> list[str]:
        try:
            return await self._main.keys(prefix)
        except StorageError as error:
            self._trouble.raised("catalog", error)
            return []

    def _elsewhere(self, key: str) -> Remembered | None:
        for other in self._others:
            try:
                found = other.get(key)
            except StorageError as error:
                self._trouble.raised("catalog", error)
                continue
            if found is not None:
                return found
        return None

    def _unheard(self, key: str, value: Remembered | None, error: StorageError) -> None:
        """Keep what could not be written. Of too many, the first are given up."""
        self._trouble.raised("catalog", error)
        self._unwritten[key] = value
        self._unwritten.move_to_end(key)
        if len(self._unwritten) > UNWRITTEN:
            self._unwritten.popitem(last=False)

    async def _catch_up(self) -> None:
        """Write what could not be written before; it may change while that goes on."""
        for key, value in list(self._unwritten.items()):
            try:
                if value is None:
                    await self._main.forget([key])
                else:
                    await self._main.put(value)
            except StorageError:
                return
            if self._unwritten.get(key, self) is value:
                del self._unwritten[key]
        self._trouble.over("catalog")
