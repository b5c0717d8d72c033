"""What the gateway hands to the web: a body to be sent, and what to say about it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from proxy.core.cache_status import CacheStatus
from proxy.core.model import Expected, Form, Validators
from proxy.gateway.fill import Growing
from proxy.storage.ports import OpenBlob

IMMUTABLE = "public, max-age=365000000, immutable"
"""For files named by their content or verified against an index (the value PyPI's CDN uses)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What a request asks for beyond the path.

    `form` and `coding` are the outcome of content negotiation. `headers` are those request
    headers (lower-case) that a `Plain` file may be varied by. `byte_range` is a Range header's
    value. `head`: only the headers will be sent. `unstored`: it comes from upstream and is not
    stored, unless it is here.
    """

    form: Form | None = None
    coding: str = "identity"
    head: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    byte_range: str | None = None
    unstored: bool = False


@dataclass(frozen=True, slots=True)
class Slice:
    """`length` bytes of a blob from `start`."""

    blob: OpenBlob
    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Passing:
    """A body that is passed on without being stored; only one client reads it.

    `promised`: what its index says of the whole file. `validators`: what upstream says of it.
    """

    chunks: AsyncIterator[bytes]
    promised: Expected = Expected()
    validators: Validators = Validators()


@dataclass(frozen=True, slots=True)
class Nothing:
    """No body: the answer to a HEAD whose file is not here."""


@dataclass(frozen=True, slots=True)
class Counted:
    """From when on the times in an answer's headers count; both in seconds."""

    checked_at: float
    fresh_for: float

    def age(self, now: float) -> int:
        """The value of Age (RFC 9111 section 5.1)."""
        return max(0, int(now - self.checked_at))

    def ttl(self, now: float) -> float:
        """Seconds for which it is fresh, as `before_request` has it."""
        return self.fresh_for - abs(now - self.checked_at)


def public(ttl: float) -> str:
    """The Cache-Control of what is fresh for *ttl* seconds more."""
    return f"public, max-age={max(0, int(ttl))}"


Rest = Callable[[int], contextlib.AbstractAsyncContextManager[AsyncIterator[bytes]]]
"""The bytes of a body from an offset on, past the store: see `resuming.rest`."""

Payload = Slice | Growing | Passing | Nothing


@dataclass(slots=True, kw_only=True)
class Answer:
    """One representation, ready to be sent. `close` gives back what it holds.

    `length` is that of the whole representation; None while unknown. `content_range` is set
    where upstream already cut the range out (then `length` is the part's). `counted`: its Age, or
    the max-age of an index, changes with time. `rest`: where else a growing body can be had when
    the store fails.
    """

    body: Payload
    length: int | None
    media_type: str
    status: CacheStatus
    etag: str | None = None
    last_modified: float | None = None
    cache_control: str = "no-cache"
    coding: str = "identity"
    vary: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content_range: str | None = None
    counted: Counted | None = None
    rest: Rest | None = None
    holding: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def close(self) -> None:
        await self.holding.aclose()
