"""What of the store must stay: mirrors that were fetched ahead on purpose, and frozen ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from proxy.core.model import Mirror
from proxy.gateway import freezing


class PinnedMirrors:
    """See `proxy.storage.ports.Pinned`."""

    def __init__(self, mirrors: Callable[[], Iterable[Mirror]]) -> None:
        """*mirrors*: those that are served now."""
        self._mirrors = mirrors

    def prefixes(self) -> Iterable[str]:
        """All that is kept of active and frozen mirrors, whoever fetched it."""
        for mirror in self._mirrors():
            if mirror.active is not None or mirror.frozen_at is not None:
                yield f"{mirror.key} "
            if mirror.frozen_at is not None:
                yield freezing.prefix(mirror.key)
