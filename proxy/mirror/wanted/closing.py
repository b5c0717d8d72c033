"""From what is wanted to the files on the server that it comes to, dependencies included.

Conda specs are solved by rattler, Python requirements by resolvelib, both on the indexes that the
server shows: what its policies hide is resolved around, as clients would. What cannot be had is a
failure in the closure, and the rest of it goes on.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from proxy.errors import ConfigError, ProxyError
from proxy.mirror.wanted.closure import Closure, Failure, Needed
from proxy.mirror.wanted.places import Places
from proxy.mirror.wanted.pypi_index import File, PypiIndex
from proxy.mirror.wanted.resolving import Unresolved, resolve, sources
from proxy.mirror.wanted.solving import Solver
from proxy.mirror.wanted.targets import Platform, Target, Targets
from proxy.mirror.wanted.values import (
    Beyond,
    Environment,
    Item,
    LockedConda,
    LockedPypi,
    Required,
    Requirements,
    RPackage,
    Wanted,
)
from proxy.upstream.served import Server

_SERVED_SHAPE = re.compile(r"/packages/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{60}/[^/]+$")
"""How a file's address ends that is served under the same path (decision 0007)."""


class Closing:
    """Closes over one server. Use `closing` to make one."""

    def __init__(
        self,
        server: Server,
        places: Places,
        targets: Targets,
        *,
        solver: Solver,
        hear: Callable[[str], None],
    ) -> None:
        """*hear* is told in words what is being done."""
        self._server = server
        self._places = places
        self._targets = targets
        self._solver = solver
        self._hear = hear
        self._indexes: dict[str, PypiIndex] = {}

    async def aclose(self) -> None:
        """End what is still being asked for."""
        for index in self._indexes.values():
            await index.aclose()

    async def close(self, wanted: Wanted) -> Closure:
        """All files that *wanted* comes to. Raises ConfigError where no mirror fits."""
        return Closure.together([await self._closed(item) for item in wanted.items])

    async def _closed(self, item: Item) -> Closure:
        match item:
            case Environment():
                return await self._environment(item)
            case Requirements():
                return await self._requirements(item, self._targets)
            case LockedConda():
                return self._locked_conda(item)
            case LockedPypi():
                return await self._locked_pypi(item)
            case RPackage():
                return self._r_package(item)
            case Beyond():
                failure = Failure(what=item.what, reason=item.reason, where=item.where)
                return Closure(failures=(failure,))

    # -- conda ---------------------------------------------------------------------------

    async def _environment(self, item: Environment) -> Closure:
        parts = [
            part
            for platform in self._targets.platforms
            for part in [await self._on(item, platform)]
        ]
        return Closure.together(parts)

    async def _on(self, item: Environment, platform: Platform) -> Closure:
        """The environment on one platform, with what pip is to install into it there."""
        if not item.specs:
            raise ConfigError(f"{item.where}: has no conda packages; pip's need a Python")
        mirrors = self._places.channels(item.channels)
        self._hear(f"solving {item.where} for {platform.name}")
        try:
            solved = await self._solver.solve([one.url for one in mirrors], item.specs, platform)
        except ProxyError as error:
            return Closure(
                failures=(Failure.of(f"environment on {platform.name}", error, item.where),)
            )
        here = Closure(
            files=tuple(
                Needed(url=one.url, sha256=one.sha256, where=item.where) for one in solved.files
            )
        )
        if item.requirements is None:
            return here
        if solved.python is None:
            reason = "pip is to install packages, but the environment has no Python"
            failure = Failure(what="pip", reason=reason, where=item.where)
            return Closure.together([here, Closure(failures=(failure,))])
        pythons = Targets(platforms=(platform,), pythons=(solved.python,))
        return Closure.together([here, await self._requirements(item.requirements, pythons)])

    def _locked_conda(self, item: LockedConda) -> Closure:
        url = self._places.of_url("conda", item.url)
        if url is None:
            name = urlsplit(item.url).path.rpartition("/")[2]
            reason = f"no mirror has the channel of {item.url}"
            return Closure(failures=(Failure(what=name, reason=reason, where=item.where),))
        return Closure(files=(Needed(url=url, sha256=item.sha256, where=item.where),))

    # -- Python --------------------------------------------------------------------------

    async def _requirements(self, item: Requirements, targets: Targets) -> Closure:
        return Closure.together([await self._resolved(item, target) for target in targets])

    async def _resolved(self, item: Requirements, target: Target) -> Closure:
        """The requirements on one target, and what its sources are built with."""
        index = self._index()
        self._hear(f"resolving {item.where} for {target}")
        try:
            found = await resolve(item, index, target)
        except Unresolved as error:
            return Closure(failures=(Failure.of(f"requirements for {target}", error, item.where),))
        parts = [
            Closure(files=tuple(_needed(file, item.where)))
            for offer in found
            for file in offer.files
        ]
        built = {file.url: file for file in sources(found)}
        done: set[str] = set()
        while todo := [file for url, file in built.items() if url not in done]:
            file = todo[0]
            done.add(file.url)
            part, more = await self._build(file, target)
            parts.append(part)
            built |= {one.url: one for one in more}
        return Closure.together(parts)

    async def _build(self, file: File, target: Target) -> tuple[Closure, list[File]]:
        """What building the sources *file* needs, and which sources are among that."""
        index = self._index()
        where = f"to build {file.filename}"
        try:
            required = tuple(
                Required(where=where, requirement=one) for one in await index.build_requires(file)
            )
            wanted = Requirements(where=where, required=required)
            found = await resolve(wanted, index, target) if required else ()
        except ProxyError as error:
            return Closure(failures=(Failure.of(where, error),)), []
        files = [
            needed for offer in found for file in offer.files for needed in _needed(file, where)
        ]
        return Closure(files=tuple(files)), list(sources(found))

    async def _locked_pypi(self, item: LockedPypi) -> Closure:
        """The file with that digest, or else that name, on its project's page.

        One that the page does not list is asked for where it must lie if it has the usual path:
        the server then says why it cannot be had.
        """
        mirror = self._places.of_type("pypi")
        try:
            files = await self._index().files(item.project)
        except ProxyError as error:
            return Closure(failures=(Failure.of(item.filename, error, item.where),))
        found = [one for one in files if item.sha256 is not None and one.sha256 == item.sha256]
        found = found or [one for one in files if one.filename == item.filename]
        if found:
            return Closure(files=tuple(_needed(found[0], item.where, item.sha256)))
        path = _SERVED_SHAPE.search(urlsplit(item.url).path)
        if path is None:
            reason = f"the mirror's page of {item.project} does not list it"
            failure = Failure(what=item.filename, reason=reason, where=item.where)
            return Closure(failures=(failure,))
        url = urljoin(mirror.url, path[0].lstrip("/"))
        return Closure(files=(Needed(url=url, sha256=item.sha256, where=item.where),))

    def _index(self) -> PypiIndex:
        mirror = self._places.of_type("pypi")
        if mirror.key not in self._indexes:
            self._indexes[mirror.key] = PypiIndex(self._server, mirror.url)
        return self._indexes[mirror.key]

    # -- R -------------------------------------------------------------------------------

    def _r_package(self, item: RPackage) -> Closure:
        mirror = self._places.of_type("cran")
        name = quote(f"{item.name}_{item.version}.tar.gz")
        url = f"{mirror.url}src/contrib/{name}"
        return Closure(files=(Needed(url=url, where=item.where),))


def _needed(file: File, where: str, sha256: str | None = None) -> Iterable[Needed]:
    """The file, and its metadata, which resolvers ask for first."""
    yield Needed(url=file.url, sha256=sha256 or file.sha256, where=where)
    if file.metadata:
        yield Needed(url=f"{file.url}.metadata", where=where)


@contextlib.asynccontextmanager
async def closing(
    server: Server,
    places: Places,
    targets: Targets,
    *,
    workspace: Path,
    hear: Callable[[str], None],
) -> AsyncIterator[Closing]:
    """A `Closing`, which ends with the block. *workspace*: a folder for what solving needs."""
    one = Closing(server, places, targets, solver=Solver(workspace), hear=hear)
    try:
        yield one
    finally:
        await one.aclose()
