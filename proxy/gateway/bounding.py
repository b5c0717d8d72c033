"""How large the body of an index may be, also where it comes in a content coding."""

from __future__ import annotations

from collections.abc import AsyncIterator

from proxy.errors import BadIndex
from proxy.upstream.port import Reply

LARGEST = 4 << 30
"""Bytes of an index body that are accepted; conda-forge's largest is below a tenth of this."""

RATIO = 200
"""Bytes of an index that one byte of a content coding may stand for: a tenth of it is usual."""

SMALL = 64 << 20
"""Bytes of an index that are accepted whatever they were encoded to."""


async def once(body: bytes) -> AsyncIterator[bytes]:
    """*body* as it would come from upstream."""
    yield body


def limit_of(reply: Reply) -> int:
    """Bytes that the body may have: a content coding that was undone makes more of less."""
    sent = reply.headers.get("content-length", "")
    if "content-encoding" not in reply.headers or not (sent.isascii() and sent.isdigit()):
        return LARGEST
    return min(LARGEST, max(SMALL, RATIO * int(sent[:20])))


async def bounded(chunks: AsyncIterator[bytes], path: str, most: int) -> AsyncIterator[bytes]:
    """*chunks*, as long as there are no more bytes than *most*. Raises BadIndex."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise BadIndex(f"{path} is longer than {most} bytes")
        yield chunk
