"""The one table from our errors to HTTP, and the body that tells people about them.

Bodies are problem details (RFC 9457) with exactly `application/problem+json`: uv prints their
title and detail only then. pip prints the reason phrase of the status line, so it carries the
reason, too. No error text names a secret: errors are redacted where they are made.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote_plus

import msgspec
from aiohttp import web

from proxy import errors
from proxy.core.r_agent import may_be_r
from proxy.errors import ProxyError

_LONGEST = 200
"""Characters of a reason phrase."""

_END = 50
"""Characters of its end that are kept: until when a file is refused is said last."""

SERVER = "pkgproxy"
"""The Server header. renv looks for other products' names in it; it must not hold theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A refusal or failure, ready to be sent."""

    status: int
    title: str
    detail: str
    reason: str
    headers: dict[str, str] = field(default_factory=dict)
    members: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """RFC 9457 section 3.1; `type` is left out and so means about:blank. `members` are
        extensions of ours (section 3.2).
        """
        known = {"status": self.status, "title": self.title, "detail": self.detail}
        return msgspec.json.encode(known | self.members)


@dataclass(frozen=True, slots=True)
class _Row:
    error: type[ProxyError]
    status: int
    title: str


_TABLE = (
    _Row(errors.UnknownMirror, 404, "No such mirror"),
    _Row(errors.UnknownPath, 404, "No such path"),
    _Row(errors.UnknownRun, 404, "No such run"),
    _Row(errors.UnknownPrefetch, 404, "No such prefetch"),
    _Row(errors.Unauthenticated, 401, "A token is needed"),
    _Row(errors.TooManyAttempts, 429, "Too many wrong tokens"),
    _Row(errors.MethodNotAllowed, 405, "Method not allowed"),
    _Row(errors.NotAcceptable, 406, "Not acceptable"),
    _Row(errors.RangeNotSatisfiable, 416, "Range not satisfiable"),
    _Row(errors.Overlong, 431, "Request header fields too large"),
    _Row(errors.RequestError, 400, "Bad request"),
    _Row(errors.Blocked, 451, "Blocked by policy"),
    _Row(errors.Denied, 403, "Refused by policy"),
    _Row(errors.UpstreamMissing, 404, "Not found upstream"),
    _Row(errors.UpstreamRefused, 502, "Upstream refused this proxy"),
    _Row(errors.UpstreamForbidden, 502, "Upstream address not allowed"),
    _Row(errors.UpstreamThrottled, 503, "Upstream is throttling"),
    _Row(errors.UpstreamDown, 503, "Upstream is down"),
    # RFC 9111 section 5.2.1.7 has this status for "only what is stored"; it is not absent (404).
    _Row(errors.Offline, 504, "Not here, and the mirror is offline"),
    _Row(errors.UpstreamTimeout, 504, "Upstream did not answer in time"),
    _Row(errors.UpstreamError, 502, "Upstream failed"),
    _Row(errors.IntegrityError, 502, "Upstream sent a wrong file"),
    _Row(errors.StorageError, 503, "The proxy's storage failed"),
    _Row(errors.Conflict, 409, "Not as things stand"),
    _Row(errors.Abandoned, 503, "The proxy is stopping"),
    _Row(errors.Crowded, 503, "Too many connections"),
    # Found wrong while a request is served: a file of credentials that changed.
    _Row(errors.ConfigError, 503, "The proxy is misconfigured"),
)

_PATIENT = {502: 503, 504: 503}
"""conda retries 413, 429, 500 and 503 only: to its clients 503 says what 502 and 504 say."""

RETRY_AFTER = 5
"""Seconds that a client is asked to wait where nothing better is known."""

_PLAIN = ":;,()!*'@/?"
"""What may stand in a query as it is (RFC 3986 section 3.4), and is read better so."""

_LIKENESSES = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015", "-"),
        **dict.fromkeys("\u2018\u2019\u201a\u201b", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"'),
        **dict.fromkeys([*map(chr, range(32)), "\x7f"], " "),
        "ß": "ss",
        "ø": "o",
        "Ø": "O",
        "æ": "ae",
        "Æ": "AE",
        "ł": "l",
        "Ł": "L",
        "đ": "d",
    }
)
_UNSHOWN = re.compile(r"\?(?:\s*\?)+")  # several in a row say no more than one

NEGATIVE_MAX_AGE = 10
"""Seconds for which a client may keep a 404 of ours: short, a mirror may be added any time."""


def refusal(error: ProxyError) -> web.Response:
    """The response to a request for a page of ours that *error* ended."""
    told = problem(error, ecosystem="")
    return web.Response(
        status=told.status,
        reason=told.reason,
        body=told.body,
        headers={
            **told.headers,
            "Cache-Control": "no-store",
            "Server": SERVER,
            "Content-Type": "application/problem+json",
        },
    )


def refusal_bytes(error: ProxyError) -> bytes:
    """The same as it goes over a connection that aiohttp does not have, and that it closes."""
    told = problem(error, ecosystem="")
    headers = {
        **told.headers,
        "Cache-Control": "no-store",
        "Server": SERVER,
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(told.body)),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {told.status} {told.reason}", *(f"{k}: {v}" for k, v in headers.items())]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + told.body


def problem(error: ProxyError, *, ecosystem: str) -> Problem:
    """What to answer when *error* ended a request to a mirror of type *ecosystem*."""
    row = next((row for row in _TABLE if isinstance(error, row.error)), None)
    status, title = (row.status, row.title) if row else (500, "Internal error")
    if isinstance(error, errors.UpstreamMissing) and error.gone:
        status = 410
    if ecosystem == "conda" and not isinstance(error, errors.Offline):
        status = _PATIENT.get(status, status)
    detail = str(error) or title
    return Problem(
        status=status,
        title=title,
        detail=detail,
        reason=_phrase(f"{title}: {detail}"),
        headers=_headers(error, status),
        members=_members(error),
    )


def explained(error: ProxyError, *, ecosystem: str, agent: str) -> str | None:
    """Where to lead a client that shows neither the body nor the reason phrase of a refusal.

    R (`utils::download.file`) prints the address that it was led to at last and the status with
    words of its own; so the reason stands in the address. A reference to a query alone leads to
    the same file (RFC 3986 section 5.2.2).
    """
    if ecosystem != "cran" or not isinstance(error, errors.Denied) or not may_be_r(agent):
        return None
    return "?" + quote_plus(_phrase(f"refused by rule {error.rule}: {error.reason}"), safe=_PLAIN)


def _members(error: ProxyError) -> dict[str, str]:
    """What programs may want to know of a refusal."""
    if not isinstance(error, errors.Denied):
        return {}
    found = {"filename": error.filename, "rule": error.rule, "reason": error.reason}
    if error.until is not None:
        found["until"] = datetime.fromtimestamp(error.until, UTC).isoformat(timespec="seconds")
    return found


def _headers(error: ProxyError, status: int) -> dict[str, str]:
    # Texts of clients and upstreams stand in the body: no browser is to take it for a page.
    headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if status in (404, 410):
        headers["Cache-Control"] = f"public, max-age={NEGATIVE_MAX_AGE}"
    if isinstance(error, errors.MethodNotAllowed):
        headers["Allow"] = "GET, HEAD"
    if isinstance(error, errors.RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.length}"
    if status == 401:
        # Browsers, pip and R answer to Basic: any user name, the token as the password.
        headers["WWW-Authenticate"] = 'Basic realm="pkgproxy", charset="UTF-8"'
    if status in (429, 503):
        wait = getattr(error, "retry_after", None) or RETRY_AFTER
        headers["Retry-After"] = str(math.ceil(wait))
    return headers


def _phrase(text: str) -> str:
    """A reason phrase (RFC 9112 section 4): printable ASCII in one line, and not endless.

    Letters lose their accents; what has no likeness in ASCII is a question mark.
    """
    plain = unicodedata.normalize("NFKD", text).translate(_LIKENESSES)
    shown = "".join(c if " " <= c <= "~" else "?" for c in plain if not unicodedata.combining(c))
    line = " ".join(_UNSHOWN.sub("?", shown).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - _END - 4]}... {line[-_END:]}"
