"""Bounds on versions as R writes them, in dependencies and in licences: `>= 1.0, < 2.0`.

How a version becomes a key to compare is the reader's own: of licences 2 is 2.0, of packages not.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

VERSION = r"\d+(?:[.-]\d+)*"
"""A version of R's, as a regular expression for ASCII."""

Key = tuple[int, ...]

Bounds = tuple[tuple[str, Key], ...]
"""Signs with the version that each is about; all of them hold."""

_BOUND = re.compile(rf"\s*(<=|>=|==|!=|<|>)\s*({VERSION})\s*", re.ASCII)
_COMPARED: Mapping[str, Callable[[Key, Key], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def read(text: str, key: Callable[[str], Key]) -> Bounds | None:
    """What stands between parentheses; None: it is no list of bounds. Raises what *key* does."""
    found = [_BOUND.fullmatch(one) for one in text.split(",")]
    known = tuple((bound[1], key(bound[2])) for bound in found if bound)
    return known if len(known) == len(found) else None


def within(version: Key, bounds: Bounds) -> bool:
    """Whether a version is within all *bounds*."""
    return all(_COMPARED[sign](version, bound) for sign, bound in bounds)
