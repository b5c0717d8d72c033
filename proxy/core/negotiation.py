"""Which form, and which content coding, a client gets (RFC 9110 section 12.5).

The highest weight wins, the order of what we offer decides between equals, and the most
specific range decides the weight of a form. Answers are cached: clients send few headers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from proxy.errors import NotAcceptable

ALIASES = {
    "application/vnd.pypi.simple.latest+json": "application/vnd.pypi.simple.v1+json",
    "application/vnd.pypi.simple.latest+html": "application/vnd.pypi.simple.v1+html",
}
"""Types that may be asked for but never sent: PEP 691 has the answer name the concrete one."""

LEAST = 0.001
"""The smallest weight there is; also that of one which cannot be read."""

_ITEM = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_PARAMETER = re.compile(r';\s*([^\s;=]+)\s*=\s*("(?:[^"\\]|\\.)*"?|[^;]*)')
_WEIGHT = re.compile(r"[0-9]{0,3}\.?[0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class _Range:
    """One media range: what it names, how exactly, and how much it is wanted."""

    name: str  # "text/html", "text/*", "*/*"
    parameters: frozenset[tuple[str, str]]
    weight: float

    def matches(self, name: str, parameters: frozenset[tuple[str, str]]) -> bool:
        kind = name.partition("/")[0]
        return self.name in (name, f"{kind}/*", "*/*") and self.parameters <= parameters

    @property
    def exactness(self) -> tuple[bool, bool, int]:
        return self.name != "*/*", not self.name.endswith("/*"), len(self.parameters)


@lru_cache(maxsize=2048)
def choose(accept: str | None, offered: tuple[str, ...], *, wanted: str | None = None) -> str:
    """The media type of *offered* (best first) that the Accept header's value asks for.

    *wanted* is the value of `?format=`, which takes precedence (PEP 691). Without a header
    anything is acceptable. Raises NotAcceptable.
    """
    if wanted:
        # A query string's "+" arrives as a space where the client did not escape it.
        exact = wanted.strip().lower().replace(" ", "+")
        return _best(((ALIASES.get(exact, exact), 1.0),), offered, wanted)
    if accept is None or not accept.strip():
        return offered[0]
    ranges = _ranges(accept)
    return _best(tuple((name, _weight_of(name, ranges)) for name in offered), offered, accept)


@lru_cache(maxsize=2048)
def choose_coding(accept_encoding: str | None, offered: tuple[str, ...]) -> str:
    """The content coding of *offered* (best first; "identity" is none) to send.

    Raises NotAcceptable, which takes a client that rules out `identity`, too.
    """
    if accept_encoding is None:
        # Section 12.5.3 would allow any; a client that says nothing may still decode nothing.
        return "identity" if "identity" in offered else offered[0]
    weights = {
        name.removeprefix("x-"): weight  # x-gzip is gzip (section 8.4.1.3)
        for name, _, weight in _items(accept_encoding)
    }
    rest = weights.get("*")
    unnamed = {"identity": LEAST if rest is None else rest}
    known = tuple((name, weights.get(name, unnamed.get(name, rest or 0.0))) for name in offered)
    return _best(known, offered, accept_encoding)


def _best(weights: tuple[tuple[str, float], ...], offered: tuple[str, ...], asked: str) -> str:
    name, weight = max(weights, key=lambda item: item[1])  # the first of equals
    if weight > 0 and name in offered:
        return name
    raise NotAcceptable(f"none of {', '.join(offered)} is acceptable to {asked[:200]!r}")


def _weight_of(name: str, ranges: tuple[_Range, ...]) -> float:
    plain, parameters, _ = _item(name)
    fitting = [one for one in ranges if one.matches(plain, parameters)]
    if not fitting:
        return 0.0
    exactness = max(one.exactness for one in fitting)
    return max(one.weight for one in fitting if one.exactness == exactness)


@lru_cache(maxsize=1024)
def _ranges(accept: str) -> tuple[_Range, ...]:
    return tuple(
        _Range(ALIASES.get(name, name), parameters, weight)
        for name, parameters, weight in _items(accept)
    )


def _items(value: str) -> list[tuple[str, frozenset[tuple[str, str]], float]]:
    return [_item(text) for text in _ITEM.findall(value) if text.strip()]


def _item(text: str) -> tuple[str, frozenset[tuple[str, str]], float]:
    name = text.partition(";")[0].strip().lower()
    parameters = {
        key.lower(): value.strip().strip('"').lower() for key, value in _PARAMETER.findall(text)
    }
    weight = _weight(parameters.pop("q", "1"))
    # All our text is UTF-8, so a client that insists on a charset may have what it names.
    parameters.pop("charset", None)
    return name, frozenset(parameters.items()), weight


def _weight(text: str) -> float:
    if not _WEIGHT.fullmatch(text) or text in ("", "."):
        return LEAST
    return min(1.0, float(text))
