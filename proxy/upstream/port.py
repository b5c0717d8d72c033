"""The port to the far side: one conditional GET or HEAD, answered or failed in our own words."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from proxy.core.model import Mirror, Validators


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request on behalf of `mirror`.

    `url` is absolute and may hold a secret. `headers` are ours or forwarded ones, never the
    client's credentials. `verified`: the body will be checked against a digest, so that it
    may be resumed even where upstream gives no strong validator. `first`/`last`: an inclusive
    byte range; `last` None means to the end, `first` None means the last `last` bytes.
    """

    mirror: Mirror
    url: str = field(repr=False)
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    validators: Validators = Validators()
    anonymous: bool = False
    verified: bool = False
    byte_range: str | None = None  # a Range header's value, for single-range pass-through


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Upstream's answer: 200, 206 (only if a range was asked for) or 304.

    `headers` have lower-case names. `url` is the final address without secrets. `length` is
    the body's length where it was announced and no content coding was removed. `chunks` is
    the decoded body, resumed where the connection broke; it raises UpstreamError.
    """

    status: int
    headers: Mapping[str, str]
    url: str
    length: int | None
    chunks: AsyncIterator[bytes]


class Upstream(Protocol):
    """Whoever fetches. Errors are the Upstream* ones of `proxy.errors`."""

    def open(self, ask: Ask) -> AbstractAsyncContextManager[Reply]:
        """Send *ask*. Raises Offline, with nothing sent, where its mirror is offline."""
        ...

    async def aclose(self) -> None: ...
