"""From what is wanted to the files on the server that it comes to, dependencies included.

What the server's policies hide is resolved around, as clients would. What cannot be had is a
failure in the closure, and the rest of it goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

from proxy.mirror.wanted.closure import Closure, Failure
from proxy.mirror.wanted.conda_closing import CondaClosing
from proxy.mirror.wanted.places import Places
from proxy.mirror.wanted.python_closing import PythonClosing
from proxy.mirror.wanted.r_closing import RClosing
from proxy.mirror.wanted.solving import Solver
from proxy.mirror.wanted.targets import Platform, Target, Targets
from proxy.mirror.wanted.values import (
    Beyond,
    Environment,
    Item,
    LockedConda,
    LockedPypi,
    LockedR,
    Requirements,
    RPackage,
    Wanted,
)
from proxy.upstream.served import Server


class Closing:
    """Closes over one server. Use `closing` to make one."""

    def __init__(
        self, conda: CondaClosing, python: PythonClosing, r: RClosing, targets: Targets
    ) -> None:
        self._conda = conda
        self._python = python
        self._r = r
        self._targets = targets

    async def close(self, wanted: Wanted) -> Closure:
        """All files that *wanted* comes to. Raises ConfigError where no mirror fits."""
        self._python.expect(item for item in wanted.items if isinstance(item, LockedPypi))
        return Closure.together([await self._closed(item) for item in wanted.items])

    async def _closed(self, item: Item) -> Closure:
        match item:
            case Environment():
                platforms = self._targets.platforms
                return Closure.together([await self._environment(item, it) for it in platforms])
            case Requirements():
                return Closure.together(
                    [await self._python.requirements(item, target) for target in self._targets]
                )
            case LockedConda():
                return self._conda.locked(item)
            case LockedPypi():
                return await self._python.locked(item)
            case RPackage():
                return await self._r.package(item)
            case LockedR():
                return await self._r.locked(item)
            case Beyond(what=what, reason=reason, where=where):
                return Closure(failures=(Failure(what=what, reason=reason, where=where),))

    async def _environment(self, item: Environment, platform: Platform) -> Closure:
        """The environment on one platform, with what pip is to install into it there."""
        solved = await self._conda.environment(item, platform)
        if item.requirements is None or solved.closure.failures:
            return solved.closure
        if solved.python is None:
            reason = "pip is to install packages, but the environment has no Python"
            failure = Failure(what="pip", reason=reason, where=item.where)
            return Closure.together([solved.closure, Closure(failures=(failure,))])
        target = Target(platform=platform, python=solved.python)
        resolved = await self._python.requirements(item.requirements, target)
        return Closure.together([solved.closure, resolved])


@contextlib.asynccontextmanager
async def closing(
    server: Server,
    places: Places,
    targets: Targets,
    *,
    workspace: Path,
    hear: Callable[[str], None],
) -> AsyncIterator[Closing]:
    """A `Closing`, which ends with the block.

    *workspace* is a folder for what solving keeps; *hear* is told in words what is being done.
    """
    solver = Solver(workspace, urlsplit(server.url).hostname or "", server.headers)
    conda = CondaClosing(server, places, solver, hear)
    python = PythonClosing(server, places, hear)
    r = RClosing(server, places, hear)
    try:
        yield Closing(conda, python, r, targets)
    finally:
        await python.aclose()
