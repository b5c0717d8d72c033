"""What the cache did for one request: the Cache-Status header (RFC 9211) and the metrics' word.

Both come from one value, so that a header, a log line and a counter never disagree.
"""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass
from typing import Literal

CACHE = "pkgproxy"
"""Our name in the header."""

Forward = Literal[
    "bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"
]
"""Why a request went upstream (RFC 9211 section 2.2)."""

_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
_UNSENDABLE = re.compile(r"[^\x20-\x7e]")


class Result(enum.StrEnum):
    """One word for it: the label of metrics and logs, after nginx's `upstream_cache_status`."""

    HIT = "hit"
    MISS = "miss"
    STALE = "stale"  # served because upstream failed
    REVALIDATED = "revalidated"  # upstream confirmed it (304)
    UPDATING = "updating"  # stale, served while upstream is asked
    COLLAPSED = "collapsed"  # waited for another request's fetch
    BYPASS = "bypass"  # passed on without being stored
    NEGATIVE = "negative"  # a remembered "no such file"
    REFUSED = "refused"  # by policy
    NONE = "none"  # nothing to do with the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatus:
    """One answer's handling. Made by the methods below; `str()` gives the header's value."""

    result: Result
    found: bool = False
    forward: Forward | None = None
    forward_status: int | None = None
    stored: bool = False
    collapsed: bool = False
    ttl: float | None = None
    detail: str | None = None

    @classmethod
    def hit(cls, ttl: float | None = None) -> CacheStatus:
        """Served from here; fresh for *ttl* more seconds, None for an immutable file."""
        return cls(result=Result.HIT, found=True, ttl=ttl)

    @classmethod
    def stale(cls, ttl: float, *, detail: str | None = None) -> CacheStatus:
        """Served from here past its lifetime (*ttl* below 0) because of *detail*.

        The detail `updating` says that upstream is being asked meanwhile.
        """
        result = Result.UPDATING if detail == Result.UPDATING else Result.STALE
        return cls(result=result, found=True, ttl=ttl, detail=detail)

    @classmethod
    def negative(cls, ttl: float | None = None) -> CacheStatus:
        """A remembered absence, believed for *ttl* more seconds."""
        return cls(result=Result.NEGATIVE, found=True, ttl=ttl, detail="negative")

    @classmethod
    def forwarded(
        cls,
        forward: Forward,
        *,
        fwd_status: int | None = None,
        stored: bool = False,
        collapsed: bool = False,
        detail: str | None = None,
    ) -> CacheStatus:
        """Upstream was asked because of *forward* and answered *fwd_status*."""
        return cls(
            result=_forwarded(forward, fwd_status, collapsed=collapsed),
            forward=forward,
            forward_status=fwd_status,
            stored=stored,
            collapsed=collapsed,
            detail=detail,
        )

    @classmethod
    def refused(cls, rule: str) -> CacheStatus:
        """Policy's *rule* refused it before anything was looked up."""
        return cls(result=Result.REFUSED, detail=rule)

    @classmethod
    def none(cls) -> CacheStatus:
        """The cache had no part in it (pages, errors of the request itself)."""
        return cls(result=Result.NONE)

    def __str__(self) -> str:
        """A member of an RFC 8941 list: our name and parameters."""
        words = [CACHE]
        if self.found:
            words.append("hit")
        if self.forward is not None:
            words.append(f"fwd={self.forward}")
        if self.forward_status is not None:
            words.append(f"fwd-status={self.forward_status}")
        if self.ttl is not None:
            words.append(f"ttl={_seconds(self.ttl)}")
        if self.stored:
            words.append("stored")
        if self.collapsed:
            words.append("collapsed")
        if self.detail is not None:
            words.append(f"detail={_text(self.detail)}")
        return "; ".join(words)


def _forwarded(forward: Forward, status: int | None, *, collapsed: bool) -> Result:
    if collapsed:
        return Result.COLLAPSED
    if forward in ("bypass", "method", "request", "partial"):
        return Result.BYPASS
    return Result.REVALIDATED if status == 304 else Result.MISS


def _seconds(ttl: float) -> int:
    # Down, so that an answer just past its time reads -1, not 0 (RFC 9211 section 2.5). An
    # RFC 8941 integer has at most 15 digits.
    return math.floor(max(-1e14, min(ttl, 1e14)))


def _text(detail: str) -> str:
    """A token where it is one, else a quoted string (RFC 8941 sections 3.3.3, 3.3.4)."""
    if _TOKEN.fullmatch(detail):
        return detail
    text = _UNSENDABLE.sub("?", detail).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
