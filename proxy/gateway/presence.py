"""Whether the bytes of what is remembered are still here."""

from __future__ import annotations

from proxy.core.model import Entry, View
from proxy.storage.ports import Blobs


async def is_here(blobs: Blobs, what: Entry | View) -> bool:
    """Whether the blob that *what* names can be opened, and has its length."""
    blob = await blobs.open(what.digest, what.size)
    if blob is None:
        return False
    blob.close()
    return True
