"""The configuration in force, and how a changed one takes its place while clients are served.

It is read whole, off the event loop, and taken over in one turn of it by all who keep something of
it. A bad one changes nothing and says why; what is only read at the start is named where it has
changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.app.beside import ended
from proxy.app.notifying import Manager
from proxy.config import Settings
from proxy.core.model import Mirror
from proxy.errors import ConfigError, UnknownMirror
from proxy.observe.log import Level, Log
from proxy.web.paths import Mirrors

Reload = Callable[[str | None], Settings]
"""Reads the configuration again, with mirrors made at run time as they stand in their file, or as
in that text. Raises ConfigError."""

AT_START = ("server", "cache", "upstream", "log", "admin", "advisories")
"""Sections that are only read then."""


class InForce:
    """Settings and mirrors as they are now: to be asked each time, or followed."""

    def __init__(
        self,
        settings: Settings,
        read: Reload,
        *,
        manager: Manager,
        log: Log,
        certificates: Callable[[], None],
    ) -> None:
        """*certificates*: looks whether those that are used have changed."""
        self.settings = settings
        self.mirrors = Mirrors(settings.mirrors)
        self.read = read
        self._manager = manager
        self._log = log
        self._certificates = certificates
        self._followers: list[Callable[[Settings], None]] = []
        self._reading = asyncio.Lock()
        self._begun: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<InForce {len(self.settings.mirrors)} mirrors>"

    def followed_by(self, follower: Callable[[Settings], None]) -> None:
        """Tell *follower* of each configuration that takes this one's place."""
        self._followers.append(follower)

    def mirror(self, key: str) -> Mirror:
        """The mirror of that key (`type/name`). Raises UnknownMirror."""
        mirror = self.mirrors.get(key)
        if mirror is None:
            raise UnknownMirror(f"no mirror {key} is served (any more)")
        return mirror

    def tell(self) -> None:
        """Tell the service manager what is served."""
        self._manager.ready(f"serves {len(self.settings.mirrors)} mirrors")

    def warn(self) -> None:
        """Lest somebody wonders why nothing new comes, or why something has no effect."""
        for doubt in self.settings.doubts:
            self._log.event("doubtful", level=Level.WARNING, what=doubt)
        offline = [mirror.key for mirror in self.mirrors if mirror.offline]
        if offline:
            self._log.event("offline", level=Level.WARNING, mirrors=",".join(offline))

    def begin_to_reload(self) -> asyncio.Task[None]:
        """Read the configuration again, and do not wait for it."""
        reload = asyncio.get_running_loop().create_task(self._reload())
        self._begun.add(reload)
        reload.add_done_callback(self._begun.discard)
        return reload

    async def reload(self) -> None:
        """Read the configuration again, to the end even if whoever waits for it leaves."""
        await asyncio.shield(self.begin_to_reload())

    async def aclose(self) -> None:
        """Cut off what has been begun."""
        for reload in tuple(self._begun):
            await ended(reload)

    async def _reload(self) -> None:
        """Clients do not wait meanwhile: an index is looked up, policies may need libraries."""
        async with self._reading:
            self._manager.reloading()
            self._certificates()
            try:
                self._take_over(await asyncio.to_thread(self.read, None))
            except ConfigError as error:
                self._log.event("reload_failed", level=Level.ERROR, error=error)
            self.tell()

    def _take_over(self, settings: Settings) -> None:
        for section in _changed_for_the_next_start(self.settings, settings):
            self._log.event("reload_needs_restart", level=Level.WARNING, section=section)
        self.settings = settings
        self.mirrors = Mirrors(settings.mirrors)
        for follower in self._followers:
            follower(settings)
        self.warn()
        self._log.event("reloaded", mirrors=len(settings.mirrors))


def _changed_for_the_next_start(old: Settings, new: Settings) -> list[str]:
    sections = [name for name in AT_START if getattr(new, name) != getattr(old, name)]
    return sections + ["access.tokens"] * (new.token_file != old.token_file)
