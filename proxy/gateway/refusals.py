"""What is said of a thing that a row says is hidden."""

from __future__ import annotations

from proxy.core.policy import ABSENT
from proxy.errors import Denied, Offline, ProxyError


def refusal(
    mirror: str, path: str, denied: tuple[str, str], *, name: str, kind: type[Denied] = Denied
) -> ProxyError:
    """The error for *path*, which people know by *name*: Offline where that is why it is hidden."""
    rule, reason = denied
    if rule == ABSENT.name:
        return Offline(f"{mirror} is offline, and {path} is not here")
    return kind(name, rule=rule, reason=reason)
