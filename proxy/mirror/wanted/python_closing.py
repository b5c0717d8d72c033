"""The files of Python requirements and locks: resolved by resolvelib on what the server shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import urljoin, urlsplit

from proxy.errors import ProxyError
from proxy.mirror.wanted.closure import Closure, Failure, Needed
from proxy.mirror.wanted.offers import Offer
from proxy.mirror.wanted.places import Places
from proxy.mirror.wanted.pypi_index import File, PypiIndex
from proxy.mirror.wanted.refusals import explained
from proxy.mirror.wanted.resolving import Unresolved, resolve
from proxy.mirror.wanted.targets import Target
from proxy.mirror.wanted.values import LockedPypi, Required, Requirements
from proxy.upstream.served import Server

_SERVED_SHAPE = re.compile(r"/packages/[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-f]{60}/[^/]+$")
"""How a file's address ends that is served under the same path (decision 0007)."""


class PythonClosing:
    """Closes over a server's pypi mirror; what was read of it is kept until `aclose`."""

    def __init__(self, server: Server, places: Places, hear: Callable[[str], None]) -> None:
        self._server = server
        self._places = places
        self._hear = hear
        self._opened: PypiIndex | None = None

    async def aclose(self) -> None:
        """End what is still being asked for."""
        if self._opened is not None:
            await self._opened.aclose()

    def expect(self, items: Iterable[LockedPypi]) -> None:
        """Ask for the pages of locked files now. Raises ConfigError where no mirror fits."""
        projects = dict.fromkeys(item.project for item in items)
        if projects:
            self._index().expect(projects)

    async def requirements(self, item: Requirements, target: Target) -> Closure:
        """The files of *item* for one target, and what its sources are built with.

        Raises ConfigError where no mirror fits.
        """
        index = self._index()
        self._hear(f"resolving {item.where} for {target}")
        try:
            found = await resolve(item, index, target)
        except Unresolved as error:
            failure = Failure.of(f"requirements for {target}", error, item.where)
            mirrors = [self._places.of_type("pypi")]
            failure = await explained(failure, self._server, mirrors, error.projects)
            return Closure(failures=(failure,))
        return Closure.together([_files(found, item.where), await self._builds(found, target)])

    async def locked(self, item: LockedPypi) -> Closure:
        """The file with that digest, or else that name, on its project's page.

        One that the page does not list is asked for where it must lie if it has the usual path:
        the server then says why it cannot be had. Raises ConfigError where no mirror fits.
        """
        try:
            files = await self._index().files(item.project)
        except ProxyError as error:
            return Closure(failures=(Failure.of(item.filename, error, item.where),))
        found = [one for one in files if item.sha256 is not None and one.sha256 == item.sha256]
        found = found or [one for one in files if one.filename == item.filename]
        if found:
            return Closure(files=tuple(_needed(found[0], item.where, item.sha256)))
        path = _SERVED_SHAPE.search(urlsplit(item.url).path)
        mirror = self._places.of_type("pypi")
        if path is None:
            reason = f"the mirror's page of {item.project} does not list it"
            failure = Failure(what=item.filename, reason=reason, where=item.where)
            failure = await explained(failure, self._server, [mirror], [item.project])
            return Closure(failures=(failure,))
        url = urljoin(mirror.url, path[0].lstrip("/"))
        return Closure(files=(Needed(url=url, sha256=item.sha256, where=item.where),))

    async def _builds(self, found: Iterable[Offer], target: Target) -> Closure:
        """What building the sources among *found* needs, and building that, and so on."""
        parts: list[Closure] = []
        waiting = list(_sources(found))
        seen = {file.url for file in waiting}
        while waiting:
            part, offers = await self._build(waiting.pop(), target)
            parts.append(part)
            for file in _sources(offers):
                if file.url not in seen:
                    seen.add(file.url)
                    waiting.append(file)
        return Closure.together(parts)

    async def _build(self, file: File, target: Target) -> tuple[Closure, tuple[Offer, ...]]:
        """What building the sources *file* needs (PEP 518)."""
        index = self._index()
        where = f"to build {file.filename}"
        try:
            needs = await index.build_requires(file)
            required = tuple(Required(where=where, requirement=one) for one in needs)
            found = await resolve(Requirements(where=where, required=required), index, target)
        except ProxyError as error:
            return Closure(failures=(Failure.of(where, error),)), ()
        return _files(found, where), found

    def _index(self) -> PypiIndex:
        if self._opened is None:
            self._opened = PypiIndex(self._server, self._places.of_type("pypi").url)
        return self._opened


def _files(found: Iterable[Offer], where: str) -> Closure:
    return Closure(
        files=tuple(one for offer in found for file in offer.files for one in _needed(file, where))
    )


def _needed(file: File, where: str, sha256: str | None = None) -> Iterator[Needed]:
    """The file, and its metadata, which resolvers ask for first."""
    yield Needed(url=file.url, sha256=sha256 or file.sha256, where=where)
    if file.metadata:
        yield Needed(url=f"{file.url}.metadata", where=where)


def _sources(found: Iterable[Offer]) -> Iterator[File]:
    for offer in found:
        yield from (file for file in offer.files if not file.is_wheel)
