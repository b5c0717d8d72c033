"""Cache-Control and its older relatives, read as a shared cache must read them (RFC 9111).

Parsing never fails: junk is skipped, and where a response says one thing twice or badly, the
reading that allows less counts. What may be done with the result is `freshness.py`'s business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache

from proxy.core.http_date import parse_http_date

_LONGEST = float(2**31)
"""Seconds that an overlong delta counts as (RFC 9111 section 1.2.2)."""

# A token and perhaps its argument, quoted or bare. An unclosed quote reaches to the end.
_DIRECTIVE = re.compile(
    r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"?|([^\s,;]*)))?"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheControl:
    """The directives of one response (RFC 9111 section 5.2.2, RFC 5861, RFC 8246).

    Durations are seconds, None where the directive is absent. `no-cache` and `private` with a
    list of field names count as without it, which both sections allow.
    """

    max_age: float | None = None
    s_maxage: float | None = None
    stale_while_revalidate: float | None = None
    stale_if_error: float | None = None
    immutable: bool = False
    must_revalidate: bool = False
    must_understand: bool = False
    no_cache: bool = False
    no_store: bool = False
    no_transform: bool = False
    private: bool = False
    proxy_revalidate: bool = False
    public: bool = False

    @staticmethod
    def parse(value: str) -> CacheControl:
        """Read a Cache-Control value; several header lines are joined by commas first."""
        return _parse(value)

    @property
    def shareable(self) -> bool:
        """Whether a shared cache may store it at all (RFC 9111 section 3)."""
        return not (self.no_store or self.private)


def lifetime(headers: Mapping[str, str], now: float, *, heuristic: float = 0.0) -> float | None:
    """Seconds for which a response that arrives at *now* is fresh in a shared cache, at least 0.

    RFC 9111 section 4.2.1, less the age it arrives with. None where upstream says nothing;
    *heuristic* is the fraction of the time since Last-Modified to use then (section 4.2.2
    suggests 0.1). Header names are lower case.
    """
    control = CacheControl.parse(headers.get("cache-control", ""))
    if control.no_cache or not control.shareable:
        return 0.0
    given = _given(control, headers, now)
    if given is None and heuristic > 0:
        given = _guessed(headers, now, heuristic)
    if given is None:
        return None
    # Section 4.2.3 lets Age alone stand for the initial age; Date would bring in clock skew.
    return max(0.0, given - age(headers))


def age(headers: Mapping[str, str]) -> float:
    """Seconds that a response had spent in caches before us; 0 where it does not say."""
    # Of a list the first member counts, an invalid one is ignored (RFC 9111 section 5.1).
    first = headers.get("age", "").partition(",")[0].strip()
    return _delta(first) or 0.0


def _given(control: CacheControl, headers: Mapping[str, str], now: float) -> float | None:
    if control.s_maxage is not None:
        return control.s_maxage
    if control.max_age is not None:
        return control.max_age
    if "expires" not in headers:
        return None
    expires = parse_http_date(headers["expires"])
    if expires is None:  # "0" above all: in the past (RFC 9111 section 5.3)
        return 0.0
    return max(0.0, expires - _date(headers, now))


def _guessed(headers: Mapping[str, str], now: float, fraction: float) -> float | None:
    modified = parse_http_date(headers.get("last-modified", ""))
    if modified is None:
        return None
    return max(0.0, _date(headers, now) - modified) * fraction


def _date(headers: Mapping[str, str], now: float) -> float:
    # A recipient with a clock dates what comes undated (RFC 9110 section 6.6.1).
    date = parse_http_date(headers.get("date", ""))
    return now if date is None else date


def _delta(value: str) -> float | None:
    if not (value.isascii() and value.isdigit()):
        return None
    return min(float(value), _LONGEST) if len(value) < 20 else _LONGEST


_NAMES = {field.name.replace("_", "-"): field.name for field in fields(CacheControl)}
_DELTAS = frozenset({"max_age", "s_maxage", "stale_while_revalidate", "stale_if_error"})


@lru_cache(maxsize=1024)
def _parse(value: str) -> CacheControl:
    deltas: dict[str, float] = {}
    flags: dict[str, bool] = {}
    for name, argument in _directives(value):
        if name in _DELTAS:
            # Unreadable means stale (RFC 9111 section 4.2.1), twice means the shorter one.
            seconds = _delta(argument.strip()) or 0.0
            deltas[name] = min(seconds, deltas.get(name, seconds))
        else:
            flags[name] = True
    return CacheControl(**deltas, **flags)  # type: ignore[arg-type]  # keys are split by type


def _directives(value: str) -> Iterator[tuple[str, str]]:
    for name, quoted, bare in _DIRECTIVE.findall(value):
        if known := _NAMES.get(name.lower()):
            yield known, quoted or bare
