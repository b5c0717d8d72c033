"""What is said of a thing that a row says is hidden."""

from __future__ import annotations

from proxy.core.policy import ABSENT
from proxy.core.rows import Row
from proxy.core.telling import refused_until
from proxy.errors import Denied, Offline, ProxyError


def refusal(
    mirror: str, path: str, row: Row, *, name: str, kind: type[Denied] = Denied
) -> ProxyError:
    """The error for *path*, which people know by *name*: Offline where that is why it is hidden."""
    assert row.denied is not None
    if row.denied[0] == ABSENT.name:
        return Offline(f"{mirror} is offline, and {path} is not here")
    return denial(row.denied, row.until, name=name, kind=kind)


def denial(
    denied: tuple[str, str], until: int | None, *, name: str, kind: type[Denied] = Denied
) -> Denied:
    """The error for what people know by *name*; *until*: see `Row`."""
    rule, reason = denied
    return kind(name, rule=rule, reason=refused_until(reason, until), until=until)
