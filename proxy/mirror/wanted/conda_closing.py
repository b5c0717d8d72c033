"""The files of conda environments and locks: solved by rattler on what the server shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from rattler import MatchSpec

from proxy.core.urls import redacted
from proxy.errors import ConfigError, ProxyError
from proxy.mirror.wanted.closure import Closure, Failure, Needed
from proxy.mirror.wanted.places import Places
from proxy.mirror.wanted.refusals import explained
from proxy.mirror.wanted.solving import Solver
from proxy.mirror.wanted.targets import Platform
from proxy.mirror.wanted.values import Environment, LockedConda
from proxy.upstream.served import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """An environment on a platform. `python`: its version there; None: there is none."""

    closure: Closure
    python: str | None = None


class CondaClosing:
    """Closes over a server's channels."""

    def __init__(
        self, server: Server, places: Places, solver: Solver, hear: Callable[[str], None]
    ) -> None:
        self._server = server
        self._places = places
        self._solver = solver
        self._hear = hear

    async def environment(self, item: Environment, platform: Platform) -> Solved:
        """The files of *item* on one platform. Raises ConfigError where no mirror fits."""
        if not item.specs:
            raise ConfigError(f"{item.where}: has no conda packages; pip's need a Python")
        mirrors = self._places.channels(item.channels)
        self._hear(f"solving {item.where} for {platform.name}")
        try:
            found = await self._solver.solve([one.url for one in mirrors], item.specs, platform)
        except ProxyError as error:
            failure = Failure.of(f"environment on {platform.name}", error, item.where)
            names = [name for spec in item.specs if (name := _name(spec))]
            failure = await explained(failure, self._server, mirrors, names)
            return Solved(closure=Closure(failures=(failure,)))
        files = tuple(
            Needed(url=one.url, sha256=one.sha256, where=item.where) for one in found.files
        )
        return Solved(closure=Closure(files=files), python=found.python)

    def locked(self, item: LockedConda) -> Closure:
        """The file in the mirror of its channel."""
        url = self._places.of_url("conda", item.url)
        if url is None:
            name = urlsplit(item.url).path.rpartition("/")[2]
            reason = f"no mirror has the channel of {redacted(item.url)}"
            return Closure(failures=(Failure(what=name, reason=reason, where=item.where),))
        return Closure(files=(Needed(url=url, sha256=item.sha256, where=item.where),))


def _name(spec: str) -> str | None:
    name = MatchSpec(spec, strict=False).name
    return None if name is None else name.normalized
