"""Where in a request a client may show a token: each of its tools has a place of its own.

conda and rattler put it into the path, pip and R send Basic with a user name that does not
matter, rattler and uv Bearer, anaconda-client `token`, uploaders `X-API-Key`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping

LONGEST = 512
"""Characters of a header's value that are looked at; a token with a user name has below 100."""


def shown(in_path: str | None, headers: Mapping[str, str]) -> tuple[str, ...]:
    """Every text that may be a token, the likeliest first; none where nothing was sent.

    *headers* finds names in whatever case.
    """
    return tuple(_shown(in_path, headers))


def _shown(in_path: str | None, headers: Mapping[str, str]) -> Iterator[str]:
    if in_path:
        yield in_path
    key = headers.get("X-API-Key")
    if key:
        yield key.strip()[:LONGEST]
    scheme, _, rest = headers.get("Authorization", "").strip().partition(" ")
    rest = rest.strip()[:LONGEST]
    match scheme.lower():  # RFC 9110 section 11.1: in whatever case
        case "bearer" | "token" if rest:
            yield rest
        case "basic" if rest:
            yield _from_basic(rest)
        case "":
            return
        case _:
            yield rest  # some other scheme: something was shown, and it is no token


def _from_basic(text: str) -> str:
    """The password, or the user name where there is none (`https://<token>@host/`)."""
    try:
        pair = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""
    user, _, password = pair.partition(":")
    return password or user
