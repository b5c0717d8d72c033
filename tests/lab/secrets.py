"""The secrets that tests use, and a look for them in all that servers have left behind.

A secret is looked for as it is, percent-encoded, and in Base64 at each of its three alignments
(`Authorization: Basic` has a user name in front of it).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import quote

UPSTREAMS = ("upstream-secret", "s3cret-of-upstream", "hunter2-hunter2")
"""Of the proxy's own credentials: nobody is shown them."""

CLIENTS = ("clients-own-secret",)
"""What clients send to prove who they are; an answer to the client itself may repeat it."""

PAGES = "pages.txt"
"""Where a server's pages are kept when it is stopped."""

_TOKEN = re.compile(rb"pkp-[A-Za-z0-9]{8}-[A-Za-z0-9]{32}")  # see `proxy.core.tokens`
_LARGEST = 4 << 20  # bytes of a file that is looked into: logs, catalogs, pages; not packages


def shown(data: bytes, secrets: tuple[str, ...] = UPSTREAMS + CLIENTS) -> list[str]:
    """Which of *secrets* are in *data*."""
    return [secret for secret in secrets if any(form in data for form in _forms(secret))]


def tokens(data: bytes) -> list[str]:
    """The tokens in *data*, unnamed: whoever has one made is shown it, and nobody else."""
    return ["a token"] if _TOKEN.search(data) else []


def left_behind(folder: Path) -> Iterator[str]:
    """Where below *folder* servers have written a secret: in logs, pages and cache folders."""
    for path in folder.rglob("*"):
        if not _is_a_server_s(path, folder):
            continue
        with path.open("rb") as file:
            data = file.read(_LARGEST)
            found = shown(data) + tokens(data)
        if found:
            yield f"{path} shows {', '.join(found)}"


def _is_a_server_s(path: Path, folder: Path) -> bool:
    """Whether a server wrote *path*: its configuration is the test's own."""
    if path.is_symlink() or not path.is_file():
        return False
    if path.name.startswith("server.log") or path.name == PAGES:
        return True
    inside = (one for one in path.parents if one.is_relative_to(folder))
    return any((one / "FORMAT").is_file() for one in inside)


@cache
def _forms(secret: str) -> tuple[bytes, ...]:
    encoded = []
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + secret.encode()).decode().rstrip("=")
        # The first and last characters depend on what stands around the secret.
        encoded.append(text[4 if offset else 0 : -2])
    return tuple(form.encode() for form in (secret, quote(secret, safe=""), *encoded))
