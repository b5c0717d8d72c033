"""Blobs in several folders: searched in order, the first that can be written taking new ones.

Indexes that the writable folder has no room for go to a spare one, small and elsewhere, with what
is made from them; other bodies are then not stored (the gateway passes files through). A folder
that fails while it is read counts as one that lacks the blob.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from proxy.core.model import Digest
from proxy.errors import StorageError
from proxy.storage.disk import DiskBlob, DiskBlobs
from proxy.storage.ports import Spool, Stored
from proxy.storage.read_only import ReadOnlyBlobs
from proxy.storage.trouble import Trouble

SPARE = 1 << 30
"""Bytes that the spare folder may hold: the indexes of several large channels, rendered."""

Layer = DiskBlobs | ReadOnlyBlobs


class LayeredBlobs:
    """See `proxy.storage.ports.Blobs`. One of *layers* is *main*, which takes what is new."""

    def __init__(
        self,
        layers: Sequence[Layer],
        main: DiskBlobs,
        spare: DiskBlobs | None = None,
        trouble: Trouble | None = None,
    ) -> None:
        self.main = main
        self.spare = spare
        self.layers = (*layers, *(() if spare is None or spare is main else (spare,)))
        self._trouble = trouble or Trouble()
        self._refused = 0  # bytes of the largest body that there was no room for
        self._damaged: set[Digest] = set()  # removed here, though still in a read-only layer

    def __repr__(self) -> str:
        return f"<LayeredBlobs {list(self.layers)}>"

    async def spool(self, reserve: int | None = None) -> Spool:
        try:
            spool = await self.main.spool(reserve)
        except StorageError as error:
            if not self.main.is_oversized(reserve or 0):  # else it is no trouble
                self._refused = max(self._refused, reserve or 0)
                self._trouble.raised("blobs", error)
            raise
        # Not before what was refused would fit: small bodies get in all the while.
        if self._trouble.present and self.main.has_room(self._refused):
            self._refused = 0
            self._trouble.over("blobs")
        return spool

    async def needed(self, reserve: int | None = None) -> Spool:
        try:
            return await self.spool(reserve)
        except StorageError:
            if self.spare is None:
                raise
            return await self.spare.spool(reserve)

    async def open(self, digest: Digest, size: int) -> DiskBlob | None:
        for layer in self.layers:
            try:
                if isinstance(layer, DiskBlobs):
                    found = await layer.open(digest, size)
                else:
                    found = None if digest in self._damaged else layer.open(digest, size)
            except StorageError as error:
                self._trouble.raised("reading", error)
                continue
            if found is not None:
                return found
        return None

    async def check(self, digest: Digest) -> Stored | None:
        for layer in self.layers:
            try:
                found = await self._checked(layer, digest)
            except StorageError as error:
                self._trouble.raised("reading", error)
                continue
            if found is not None:
                return found
        return None

    def path(self, digest: Digest) -> Path:
        if len(self.layers) == 1:
            return self.main.path(digest)
        paths = [layer.path(digest) for layer in self.layers]
        return next((path for path in paths if path.exists()), self.main.path(digest))

    def used(self, digest: Digest) -> None:
        self.main.used(digest)

    async def write_uses(self) -> int:
        """Write down which blobs were used since the last time; returns for how many."""
        return await self.main.write_uses()

    @property
    def workspace(self) -> Path:
        if self.spare is None or self.main.has_room():
            return self.main.workspace
        return self.spare.workspace

    async def adopt(self, path: Path, stored: Stored) -> None:
        spare = self.spare
        if spare is not None and path.is_relative_to(spare.workspace):
            await spare.adopt(path, stored)
        else:
            await self.main.adopt(path, stored)

    async def remove(self, digests: Iterable[Digest]) -> int:
        doomed = list(digests)
        for layer in self.layers:
            if isinstance(layer, ReadOnlyBlobs):
                self._damaged.update(one for one in doomed if layer.path(one).exists())
        freed = await self.main.remove(doomed)
        if self.spare is not None and self.spare is not self.main:
            freed += await self.spare.remove(doomed)
        return freed

    async def aclose(self) -> None:
        """Wait for what is being written, then end the threads."""
        for layer in self.layers:
            if isinstance(layer, DiskBlobs):
                await layer.aclose()

    async def _checked(self, layer: Layer, digest: Digest) -> Stored | None:
        if isinstance(layer, DiskBlobs):
            return await layer.check(digest)
        found = await self.main.run(layer.check, digest)
        if found is None:
            self._damaged.add(digest)
        else:
            self._damaged.discard(digest)
        return found
