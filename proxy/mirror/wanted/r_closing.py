"""The files of R packages: exact versions of a lock, or names with all that they need.

They are sources, which every platform can install.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import quote

from proxy.ecosystems.cran.packages import Package
from proxy.ecosystems.cran.versions import Spec
from proxy.errors import ProxyError
from proxy.mirror.wanted.closure import Closure, Failure, Needed
from proxy.mirror.wanted.places import Places
from proxy.mirror.wanted.r_index import CONTRIB, Missing, RIndex
from proxy.mirror.wanted.refusals import explained
from proxy.mirror.wanted.values import LockedR, RPackage
from proxy.upstream.served import Served, Server


class RClosing:
    """Closes over a server's cran mirror."""

    def __init__(self, server: Server, places: Places, hear: Callable[[str], None]) -> None:
        self._server = server
        self._places = places
        self._hear = hear
        self._read: RIndex | None = None

    async def package(self, item: RPackage) -> Closure:
        """The package and all that it needs. Raises ConfigError where no mirror fits."""
        mirror = self._places.of_type("cran")
        self._hear(f"resolving {item.spec} for R")
        try:
            index = await self._index(mirror)
        except ProxyError as error:
            return Closure(failures=(Failure.of(item.spec, error, item.where),))
        found, missing = index.closed(Spec.of(item.spec), item.where)
        failures = [await self._failure(one, item.where, mirror) for one in missing]
        return Closure(files=tuple(_files(mirror, found, item.where)), failures=tuple(failures))

    async def locked(self, item: LockedR) -> Closure:
        """The file of that version, in the archive where it is no longer current.

        Raises ConfigError where no mirror fits.
        """
        mirror = self._places.of_type("cran")
        try:
            current = (await self._index(mirror)).current(item.name, item.version)
        except ProxyError as error:
            return Closure(failures=(Failure.of(f"{item.name} {item.version}", error, item.where),))
        if current is not None:
            return Closure(files=tuple(_files(mirror, [current], item.where)))
        folder = f"{mirror.url}{CONTRIB}/Archive/{quote(item.name)}"
        filename = quote(f"{item.name}_{item.version}.tar.gz")
        return Closure(files=(Needed(url=f"{folder}/{filename}", where=item.where),))

    async def _failure(self, missing: Missing, where: str, mirror: Served) -> Failure:
        listed = ", ".join(missing.listed)
        lists = f"the mirror lists {listed}" if listed else "the mirror does not list it"
        what = _text(missing.spec)
        failure = Failure(what=what, reason=f"{missing.by} needs {what}; {lists}", where=where)
        return await explained(failure, self._server, [mirror], [missing.spec.name])

    async def _index(self, mirror: Served) -> RIndex:
        if self._read is None:
            self._read = await RIndex.read(self._server, mirror.url)
        return self._read


def _files(mirror: Served, found: Iterable[Package], where: str) -> Iterable[Needed]:
    for package in found:
        yield Needed(url=f"{mirror.url}{CONTRIB}/{quote(package.filename)}", where=where)


def _text(spec: Spec) -> str:
    bounds = ", ".join(f"{sign} {'.'.join(map(str, version))}" for sign, version in spec.bounds)
    return f"{spec.name} ({bounds})" if bounds else spec.name
