"""What the gateway stands on: the ports below it, and what it is told about the world."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proxy.ecosystems.base import Ecosystem
from proxy.gateway.events import Events
from proxy.gateway.team import Team
from proxy.storage.ports import Blobs, Catalog
from proxy.upstream.port import Upstream


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The collaborators that the parts of the gateway share.

    `clock` gives seconds since the epoch.
    """

    upstream: Upstream
    blobs: Blobs
    catalog: Catalog
    team: Team
    ecosystems: Mapping[str, Ecosystem]
    clock: Callable[[], float]
    events: Events
