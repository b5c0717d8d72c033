"""What the server says when it is ready: where it is, and how clients are pointed at it."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.core.model import Mirror


def banner(mirrors: Iterable[Mirror], address: str) -> str:
    """The text for *address* (`http://host:port`)."""
    known = list(mirrors)
    lines = [f"pkgproxy serves at {address}", ""]
    lines += [f"  {address}/{mirror.key}/" for mirror in known]
    lines += ["", "Point your tools here:"]
    if any(mirror.type == "conda" for mirror in known):
        lines.append(f"  conda config --set channel_alias {address}/conda")
    pypi = next((mirror for mirror in known if mirror.type == "pypi"), None)
    if pypi is not None:
        index = f"{address}/{pypi.key}/simple/"
        lines.append(f"  pip config set global.index-url {index}")
        lines.append(f"  export UV_DEFAULT_INDEX={index}")
    return "\n".join(lines) + "\n"
