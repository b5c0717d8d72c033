"""The sources of mirrors made definite: `auto` looked up, and a proxy of itself refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from proxy.config import Settings
from proxy.config.mirrors import AUTO
from proxy.core.model import Mirror
from proxy.core.urls import redacted
from proxy.errors import ConfigError
from proxy.upstream.pip_index import PipIndex

_ANY = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound to
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Sources:
    """Looks `auto` up in the background, from the moment it is made, if any mirror needs it."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        """Raises ConfigError where pip's configuration cannot be read."""
        self._settings = settings
        wanted = any(mirror.source == AUTO for mirror in settings.mirrors)
        self._index = PipIndex(environ) if wanted else None

    def definite(self) -> Settings:
        """The settings with every source an address. Raises ConfigError."""
        mirrors = tuple(self._definite(mirror) for mirror in self._settings.mirrors)
        return replace(self._settings, mirrors=mirrors)

    def _definite(self, mirror: Mirror) -> Mirror:
        if mirror.source == AUTO and self._index is not None:
            mirror = replace(mirror, source=self._index.result().rstrip("/") + "/")
        if self._is_us(mirror.source):
            raise ConfigError(
                f"the source of mirror {mirror.key}, {redacted(mirror.source)}, is this proxy "
                "itself: write the address of the index that it is to fetch from"
            )
        return mirror

    def _is_us(self, source: str) -> bool:
        parts = urlsplit(source)
        server = self._settings.server
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname or ""
        ours = {server.host, *(_LOOPBACK if server.host in (*_ANY, *_LOOPBACK) else ())}
        return port == server.port and host in ours
