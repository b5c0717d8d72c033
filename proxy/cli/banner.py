"""What the server says when it is ready: where it is, and how clients are pointed at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from proxy.core.model import Mirror

_ANY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - shown, not bound to
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def banner(mirrors: Iterable[Mirror], address: str) -> str:
    """The text for *address* (`http://host:port`, or `unix:` and a path)."""
    if address.startswith("unix:"):
        return f"pkgproxy serves at {address}\n"
    known = list(mirrors)
    parts = urlsplit(address)
    everywhere = parts.hostname in _ANY
    if everywhere:
        address = f"{parts.scheme}://{_ANY[parts.hostname or '']}:{parts.port}"
    lines = [f"pkgproxy serves at {address}"]
    if everywhere:
        lines.append("(and at every other address of this machine)")
    lines += ["", *(f"  {address}/{mirror.key}/" for mirror in known)]
    lines += ["", "Point your tools here:", *(f"  {line}" for line in _settings(known, address))]
    return "\n".join(lines) + "\n"


def _settings(mirrors: list[Mirror], address: str) -> list[str]:
    lines: list[str] = []
    if any(mirror.type == "conda" for mirror in mirrors):
        lines.append(f"conda config --set channel_alias {address}/conda")
    pypi = next((mirror for mirror in mirrors if mirror.type == "pypi"), None)
    if pypi is not None:
        lines += _index(f"{address}/{pypi.key}/simple/", urlsplit(address).hostname or "")
    cran = next((mirror for mirror in mirrors if mirror.type == "cran"), None)
    if cran is not None:
        lines.append(f'in R: options(repos = c(CRAN = "{address}/{cran.key}"))')
    return lines


def _index(index: str, host: str) -> Iterator[str]:
    yield f"pip config set global.index-url {index}"
    if host not in _LOOPBACK:  # pip ignores a plain http index elsewhere unless told otherwise
        yield f"pip config set global.trusted-host {host}"
    yield f"export UV_DEFAULT_INDEX={index}"
