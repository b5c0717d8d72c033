"""A Python index as a resolver needs it, read through the server: pages, metadata, sources.

Each thing is asked for once, and may be asked for ahead (`expect`): a page takes a round trip, and
a resolver that waits for one after another takes one for each project.
"""

from __future__ import annotations

import asyncio
import io
import tarfile
import tomllib
import zipfile
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urljoin

import msgspec
from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import Version

from proxy.ecosystems.pypi import names
from proxy.errors import BadIndex
from proxy.upstream.served import Server

_JSON = "application/vnd.pypi.simple.v1+json"

_BUILD = ("setuptools>=40.8.0",)
"""What sources without a build system of their own are built with (PEP 518)."""

T = TypeVar("T")


class _File(msgspec.Struct, rename="kebab"):
    """One file of a page (PEP 691, 700, 714), as far as a resolver needs it."""

    filename: str
    url: str
    hashes: dict[str, str] = {}
    requires_python: str | None = None
    yanked: bool | str = False
    core_metadata: bool | dict[str, str] | None = None


class _Page(msgspec.Struct):
    files: list[_File]


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A wheel or an archive of sources. `metadata`: its metadata lie beside it (PEP 658)."""

    filename: str
    version: Version
    url: str
    sha256: str | None
    hashes: frozenset[str]  # each as `sha256:…`
    requires_python: str | None
    yanked: bool
    metadata: bool

    @property
    def is_wheel(self) -> bool:
        return self.filename.endswith(".whl")


class PypiIndex:
    """The projects of one mirror."""

    def __init__(self, server: Server, url: str) -> None:
        """*url* is the mirror's."""
        self._server = server
        self._simple = urljoin(url, "simple/")
        self._asked: dict[tuple[str, str], asyncio.Task[Any]] = {}

    async def aclose(self) -> None:
        """End what was asked for ahead and is not needed any more."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)

    async def files(self, project: str) -> tuple[File, ...]:
        """All files of the project with that normalised name.

        Raises BadIndex, and what `Server.read` does.
        """
        return await asyncio.shield(self._once("page", project, self._page(project)))

    async def metadata(self, file: File) -> RawMetadata:
        """The metadata of *file*. Raises BadIndex, and what `Server.read` does."""
        return await asyncio.shield(self._once("metadata", file.url, self._metadata(file)))

    async def build_requires(self, file: File) -> tuple[Requirement, ...]:
        """What building the sources *file* needs (PEP 518). Raises as `metadata`."""
        archive = await asyncio.shield(self._once("sources", file.url, self._sources(file)))
        return _build_requires(archive, file.filename)

    def expect(self, projects: Iterable[str]) -> None:
        """Ask for the pages of *projects* now: they will be wanted."""
        for project in projects:
            self._once("page", project, self._page(project))

    def _once(self, kind: str, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        known = self._asked.get((kind, name))
        if known is not None:
            work.close()
            return known
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(_seen)
        self._asked[kind, name] = task
        return task

    async def _page(self, project: str) -> tuple[File, ...]:
        url = urljoin(self._simple, f"{project}/")
        body = await self._server.read(url, accept=_JSON)
        try:
            page = msgspec.json.decode(body, type=_Page)
        except msgspec.MsgspecError as error:
            raise BadIndex(f"the page of {project} cannot be read: {error}") from error
        # A page of thousands of files takes long enough to hold others up.
        return await asyncio.to_thread(_files, page, url)

    async def _metadata(self, file: File) -> RawMetadata:
        if file.is_wheel:
            body = await self._server.read(f"{file.url}.metadata")
        else:
            archive = await asyncio.shield(self._once("sources", file.url, self._sources(file)))
            body = archive.get("PKG-INFO", b"")
        raw, _ = parse_email(body)
        return raw

    async def _sources(self, file: File) -> dict[str, bytes]:
        body = await self._server.read(file.url)
        return await asyncio.to_thread(_opened, body, file.filename)


def _seen(task: asyncio.Task[Any]) -> None:
    """What was asked for ahead may fail unseen: whoever needs it asks again and is told."""
    if not task.cancelled():
        task.exception()


def _files(page: _Page, base: str) -> tuple[File, ...]:
    """The files of *page* whose names tell their version."""
    versions: dict[str, Version] = {}
    found = []
    for one in page.files:
        text = names.version_of(one.filename) if names.is_distribution(one.filename) else None
        if text is not None:
            version = versions.setdefault(text, Version(text))
            found.append(_file(one, base, version))
    return tuple(found)


def _file(one: _File, base: str, version: Version) -> File:
    return File(
        filename=one.filename,
        version=version,
        url=urljoin(base, one.url).partition("#")[0],
        sha256=one.hashes.get("sha256"),
        hashes=frozenset(f"{name}:{value}" for name, value in one.hashes.items()),
        requires_python=one.requires_python,
        yanked=one.yanked is not False,
        metadata=bool(one.core_metadata),
    )


# -- sources -----------------------------------------------------------------------------

_TOP = ("PKG-INFO", "pyproject.toml")
_LARGEST = 4 << 20  # bytes of one of these files


def _opened(body: bytes, filename: str) -> dict[str, bytes]:
    """The files that matter, from the top folder of an archive. Raises BadIndex."""
    try:
        found = _of_zip(body) if filename.endswith(".zip") else _of_tar(body)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise BadIndex(f"{filename} cannot be opened: {error}") from error
    if "PKG-INFO" not in found:
        raise BadIndex(f"{filename} has no PKG-INFO")
    return found


def _of_tar(body: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        for member in archive:
            name = _top(member.name)
            if name is not None and member.isfile() and member.size <= _LARGEST:
                opened = archive.extractfile(member)
                found[name] = b"" if opened is None else opened.read()
    return found


def _of_zip(body: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {
            name: archive.read(member)
            for member in archive.infolist()
            if (name := _top(member.filename)) is not None and member.file_size <= _LARGEST
        }


def _top(path: str) -> str | None:
    parts = path.removeprefix("./").split("/")
    return parts[1] if len(parts) == 2 and parts[1] in _TOP else None


def _build_requires(archive: dict[str, bytes], filename: str) -> tuple[Requirement, ...]:
    try:
        project = tomllib.loads(archive.get("pyproject.toml", b"").decode())
        listed = project.get("build-system", {}).get("requires", _BUILD)
        return tuple(Requirement(text) for text in listed)
    except (ValueError, TypeError, AttributeError, InvalidRequirement) as error:
        raise BadIndex(f"{filename}: its pyproject.toml cannot be read: {error}") from error
