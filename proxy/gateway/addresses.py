"""From what an index or a path says to the address that upstream is asked for."""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin, urlsplit

from proxy.core.model import Mirror, Source
from proxy.core.urls import redacted
from proxy.upstream.guard import own

_SAFE = "/~!$&'()*,;=:@"  # what RFC 3986 section 3.3 allows in a path; "+" is always encoded
_TOKEN = re.compile(r"/t/([^/]+)")


def address(mirror: Mirror, source: Source) -> str:
    """The absolute URL of *source*, with the secrets that the mirror's own URL has.

    An absolute URL that an index named comes from a redacted base, so that nothing stored holds
    a secret; where it leads to the mirror's own host, its `/t/***/` stands for our token.
    """
    if not source.path.startswith(("http://", "https://")):
        path = quote(source.path, safe=_SAFE)
        if not {".", ".."} & set(path.split("/")):
            # Not joined: urljoin takes what follows a ";" for parameters, and so "..;x" for "..".
            return mirror.source + path
        # "./" keeps a colon in the first segment from being read as a scheme (RFC 3986 §4.2).
        return urljoin(mirror.source, "./" + path)
    token = _TOKEN.search(urlsplit(mirror.source).path)
    if token and own(source.path, mirror):
        return source.path.replace("/t/***", f"/t/{token[1]}", 1)
    return source.path


def shown(mirror: Mirror, source: Source) -> str:
    """The same address for logs and messages."""
    return redacted(address(mirror, source))
