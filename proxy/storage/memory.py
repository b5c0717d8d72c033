"""The storage ports in memory, for tests: same promises, nothing left behind."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from proxy.core.model import Absence, Digest
from proxy.storage.ports import Remembered


class MemoryCatalog:
    """What is remembered, in a dictionary."""

    def __init__(self) -> None:
        self.values: dict[str, Remembered] = {}

    def peek(self, key: str) -> Remembered | None:
        return self.values.get(key)

    async def get(self, key: str) -> Remembered | None:
        return self.values.get(key)

    async def put(self, value: Remembered) -> None:
        self.values[value.key] = value

    async def forget(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.values.pop(key, None)

    async def count(self) -> int:
        return len(self.values)

    async def keys(self, prefix: str = "") -> list[str]:
        return [key for key in self.values if key.startswith(prefix)]

    async def digests(self, prefix: str = "") -> set[Digest]:
        return {digest for key, digest in self._named() if key.startswith(prefix)}

    async def naming(self, digests: Collection[Digest]) -> list[str]:
        return [key for key, digest in self._named() if digest in digests]

    def _named(self) -> list[tuple[str, Digest]]:
        return [
            (key, value.digest)
            for key, value in self.values.items()
            if not isinstance(value, Absence) and value.digest
        ]
