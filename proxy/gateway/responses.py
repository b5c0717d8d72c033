"""From upstream's answer to what is remembered of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.core.freshness import Unchanged, after_response
from proxy.core.model import Bounds, Entry, Validators
from proxy.core.urls import redacted
from proxy.storage.ports import Stored
from proxy.upstream.port import Reply

_KEPT = (
    "cache-control",
    "vary",
    "content-disposition",
    "content-language",
    "last-modified",
    "date",
)
"""Response headers that are remembered: what freshness needs and what plain files pass on."""


def entry_of(
    reply: Reply, stored: Stored, *, key: str, source: str, now: float, bounds: Bounds
) -> Entry:
    """The entry for a body that upstream sent with *reply* and that became *stored*."""
    return Entry(
        key=key,
        digest=stored.digest,
        size=stored.size,
        media_type=media_type(reply.headers),
        source=source,
        url=redacted(reply.url),
        validators=Validators(
            etag=reply.headers.get("etag"), last_modified=reply.headers.get("last-modified")
        ),
        checked_at=now,
        fresh_for=fresh_for(reply, now=now, bounds=bounds),
        headers=kept(reply.headers),
    )


def renewed(held: Entry, reply: Reply, *, now: float, bounds: Bounds) -> Entry:
    """*held*, confirmed by a 304."""
    after = after_response(held, status=304, headers=reply.headers, now=now, bounds=bounds)
    assert isinstance(after, Unchanged)
    return after.entry


def fresh_for(reply: Reply, *, now: float, bounds: Bounds) -> float:
    """Seconds for which a new body may be reused."""
    return after_response(None, status=200, headers=reply.headers, now=now, bounds=bounds).fresh_for


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that are remembered."""
    return {name: headers[name] for name in _KEPT if name in headers}


def media_type(headers: Mapping[str, str]) -> str:
    """The Content-Type as sent; RFC 9110 section 8.3 names the default."""
    return headers.get("content-type") or "application/octet-stream"
