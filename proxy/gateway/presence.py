"""Whether the bytes of what is remembered are still here."""

from __future__ import annotations

from proxy.core.model import Entry, View
from proxy.gateway.ports import Ports
from proxy.gateway.views import Generation
from proxy.storage.ports import Blobs


async def is_here(blobs: Blobs, what: Entry | View) -> bool:
    """Whether the blob that *what* names can be opened, and has its length."""
    blob = await blobs.open(what.digest, what.size)
    if blob is None:
        return False
    blob.close()
    return True


async def forget_if_lost(ports: Ports, generation: Generation) -> bool:
    """A generation whose bytes are gone is none: the next to ask fetches it anew.

    Returns whether they are. Raises StorageError.
    """
    lost = not await is_here(ports.blobs, generation.entry)
    if lost:
        await ports.catalog.forget([generation.index.key])
    return lost
