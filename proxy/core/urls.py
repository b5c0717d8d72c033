"""URLs that are safe to show. A mirror's source may hold a token or a password."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

_TOKEN = re.compile(r"/t/[^/]+")


def redacted(url: str) -> str:
    """*url* without user, password, token in its path, query or fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    path = _TOKEN.sub("/t/***", parts.path)
    return urlunsplit((parts.scheme, host, path, "***" if parts.query else "", ""))
