"""What the server says when it is ready: where it is, and how clients are pointed at it."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from proxy.core.model import Mirror
from proxy.web.setup import commands

_ANY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - shown, not bound to


def banner(mirrors: Iterable[Mirror], address: str, admin: str | None = None) -> str:
    """The text for *address* (`http://host:port`, or `unix:` and a path).

    *admin*: where it is administered.
    """
    ours = [] if admin is None else [f"and is administered at {admin}"]
    if address.startswith("unix:"):
        return "\n".join([f"pkgproxy serves at {address}", *ours]) + "\n"
    known = list(mirrors)
    parts = urlsplit(address)
    everywhere = parts.hostname in _ANY
    if everywhere:
        address = f"{parts.scheme}://{_ANY[parts.hostname or '']}:{parts.port}"
    lines = [f"pkgproxy serves at {address}"]
    if everywhere:
        lines.append("(and at every other address of this machine)")
    lines += [*ours, "", *(f"  {address}/{mirror.key}/" for mirror in known)]
    lines += ["", "Point your tools here:", *(f"  {line}" for line in commands(known, address))]
    return "\n".join(lines) + "\n"
