"""What is sent in a request's head, and what the head of an answer says in our own words."""

from __future__ import annotations

import time
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp import hdrs

from proxy import __version__
from proxy.core.http_date import parse_http_date
from proxy.core.model import Validators
from proxy.core.urls import redacted
from proxy.errors import (
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamMissing,
    UpstreamRefused,
    UpstreamThrottled,
)
from proxy.upstream.port import Ask

AGENT = f"pkgproxy/{__version__}"

_GATEWAY = (502, 503, 504)
"""What the gateway before a server answers when that is down."""

_PATIENCE_MAX = 86400.0  # seconds; a longer Retry-After is a mistake


def judge(response: aiohttp.ClientResponse, ask: Ask, url: str) -> None:
    """Turn a status that is no answer into our own words; closes the response then."""
    status = response.status
    ranged = ask.byte_range is not None
    if status == 200 or (status == 304 and ask.validators) or (status == 206 and ranged):
        return
    response.release()
    shown = redacted(url)
    if status in (404, 410):
        raise UpstreamMissing(f"{shown} does not exist ({status})", gone=status == 410)
    if status in (401, 403):
        sent = response.request_info.headers
        raise UpstreamRefused(
            f"{shown} refused this proxy's credentials or address ({status})",
            unasked=status == 403 and hdrs.AUTHORIZATION not in sent and "/t/" not in url,
        )
    patience = patience_of(response)
    if status == 429 or (status == 503 and patience is not None):
        raise UpstreamThrottled(f"{shown} asks for patience ({status})", retry_after=patience)
    if status >= 500:
        raise failed(url, status)
    raise final(f"{shown} answered {status}")


def is_down(response: aiohttp.ClientResponse) -> bool:
    """Whether a gateway says that of its server; with Retry-After it only asks for patience."""
    return response.status in _GATEWAY and patience_of(response) is None


def failed(url: str, status: int) -> UpstreamFailed:
    """A failure that asking again may mend."""
    return UpstreamFailed(f"{redacted(url)} failed ({status})")


def final(message: str) -> UpstreamFailed:
    """A failure that asking again would only repeat, such as most 4xx."""
    error = UpstreamFailed(message)
    error.retryable = False
    return error


def target(url: str, location: str) -> str:
    """Where *url* redirects to. Raises UpstreamFailed and UpstreamForbidden."""
    try:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme
    except ValueError as error:
        raise final(f"{redacted(url)} redirects to an address that is none") from error
    if urlsplit(url).scheme == "https" and scheme != "https":
        raise UpstreamForbidden(f"{redacted(url)} redirects to plain http")
    return target


def conditions(ask: Ask) -> dict[str, str]:
    """The headers that every request of ours has, and those that make it conditional."""
    headers: dict[str, str] = {
        hdrs.USER_AGENT: AGENT,
        hdrs.ACCEPT: "*/*",
        # What is stored is what upstream has, byte for byte; an index is wanted small.
        hdrs.ACCEPT_ENCODING: "gzip" if "accept" in ask.headers else "identity",
    }
    if ask.validators.etag:
        headers[hdrs.IF_NONE_MATCH] = ask.validators.etag
    if ask.validators.last_modified:
        headers[hdrs.IF_MODIFIED_SINCE] = ask.validators.last_modified
    if ask.byte_range and ask.byte_range != "resume":
        headers[hdrs.RANGE] = ask.byte_range
    return headers


def validators_of(response: aiohttp.ClientResponse) -> Validators:
    """What a later request may ask about this answer by."""
    return Validators(
        etag=response.headers.get(hdrs.ETAG),
        last_modified=response.headers.get(hdrs.LAST_MODIFIED),
    )


def length_of(response: aiohttp.ClientResponse, ask: Ask) -> int | None:
    """The length of the decoded body, where the head tells it."""
    coding = response.headers.get(hdrs.CONTENT_ENCODING, "identity").lower()
    if coding not in ("", "identity") and not ask.verified:
        return None
    return response.content_length


def patience_of(response: aiohttp.ClientResponse) -> float | None:
    """Retry-After in seconds: a number or a date (RFC 9110 section 10.2.3)."""
    value = response.headers.get(hdrs.RETRY_AFTER, "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _PATIENCE_MAX)
    date = parse_http_date(value)
    return None if date is None else min(max(0.0, date - time.time()), _PATIENCE_MAX)
