"""Path hygiene that every ecosystem shares: what may stand in a path at all."""

from __future__ import annotations

import re

from proxy.errors import UnknownPath

LONGEST = 2048
"""Characters of a path; the longest that conda (CEP 26) or PyPI can make is below 600."""

_FORBIDDEN = re.compile(r"[\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def checked(path: str) -> str:
    """*path* itself, if it is relative, decoded and stays below its root. Raises UnknownPath."""
    if len(path) > LONGEST:
        raise UnknownPath(f"a path of {len(path)} characters is longer than {LONGEST}")
    if _FORBIDDEN.search(path):
        raise UnknownPath("a path holds a backslash, a control character or half a character")
    segments = path.split("/")
    inner = segments[:-1] if segments[-1] == "" else segments
    if any(segment in ("", ".", "..") for segment in inner) and path:
        raise UnknownPath(f"{path!r} has an empty or relative segment")
    return path
