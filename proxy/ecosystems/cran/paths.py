"""What the paths below `/cran/<mirror>/` mean: those of a repository of R packages.

Packages lie in *contrib* folders (`src/contrib`, `bin/windows/contrib/4.5`, …), each with a
PACKAGES of its own; old ones in `src/contrib/Archive`. Nothing else is served but what CRAN says
of its packages, below `web/packages`.
"""

from __future__ import annotations

import re

from proxy.core.model import Artifact, Form, Index, Plain, Resource, Source
from proxy.ecosystems.paths import checked
from proxy.errors import UnknownPath

RDS = Form(name="rds", media_type="application/octet-stream", compressible=False)
GZ = Form(name="gz", media_type="application/gzip", compressible=False)
TEXT = Form(name="text", media_type="text/plain")
HTML = Form(name="html", media_type="text/html")

ARCHIVE = "Meta/archive.rds"
"""The index of all that is in the archive, from the contrib folder."""

SOURCES = "src/contrib"
"""The contrib folder of source packages."""

_FORMS = {"PACKAGES": TEXT, "PACKAGES.gz": GZ, "PACKAGES.rds": RDS}
_MEDIA = {
    ".tar.gz": "application/gzip",
    ".tgz": "application/gzip",
    ".zip": "application/zip",
    ".tar.bz2": "application/x-bzip2",
    ".tar.xz": "application/x-xz",
}
# The last one counts: `bin/linux/<distribution>/<R>/src/contrib` holds what is like sources.
_CONTRIB = re.compile(r"((?:.+/)?(?:src/contrib|bin/(?:[^/]+/){1,3}contrib/[^/]+))/(.+)")
_NAME = r"[A-Za-z0-9][A-Za-z0-9.-]*"
_PACKAGE = re.compile(rf"({_NAME})_([^/]+)({'|'.join(map(re.escape, _MEDIA))})")
_LISTING = re.compile(rf"Archive/({_NAME})/?")
_ARCHIVED = re.compile(rf"Archive/({_NAME})/([^/]+)")
_BINARY = re.compile(r"(?:.+/)?bin/(.+)/contrib/[^/]+")
_LINUX = re.compile(r"(?:.+/)?(?:__linux__|bin/linux)/([^/]+)/.*")


def classify(mirror: str, path: str) -> Resource:
    """The resource at *path* of a repository. Raises UnknownPath."""
    path = checked(path)
    found: Resource | None = None
    if inside := _CONTRIB.fullmatch(path):
        found = _in_contrib(mirror, path, inside[1], inside[2])
    elif path.startswith("web/packages/") and not package(path.rpartition("/")[2]):
        found = Plain(mirror=mirror, path=path, source=Source(path=path))
    if found is None:
        raise UnknownPath(f"a repository of R packages has no {path!r}")
    return found


def canonical(path: str) -> str | None:
    """The listing of an archived package's files is a folder, so that its links lead right."""
    inside = _CONTRIB.fullmatch(path)
    if inside and not path.endswith("/") and _LISTING.fullmatch(inside[2]):
        return f"{path}/"
    return None


def package(filename: str) -> tuple[str, str] | None:
    """The name and version of a package's file; None: it is none."""
    found = _PACKAGE.fullmatch(filename)
    return (found[1], found[2]) if found else None


def ending(contrib: str) -> str:
    """How the names of packages end in that folder, where PACKAGES does not say it."""
    found = _BINARY.fullmatch(contrib)
    if found is None or contrib.endswith("src/contrib") or found[1].startswith("linux"):
        return ".tar.gz"
    return ".zip" if found[1].startswith("windows") else ".tgz"


def platform(contrib: str) -> str:
    """What the packages in that folder are for: `source`, `windows`, `macosx/…`, `linux/…`."""
    if found := _LINUX.fullmatch(contrib):
        return f"linux/{found[1]}"
    found = _BINARY.fullmatch(contrib)
    return found[1] if found and not contrib.endswith("src/contrib") else "source"


def kind(contrib: str) -> str | None:
    """`source` or `binary`; None where a folder may hold both."""
    where = platform(contrib)
    return None if where.startswith("linux/") else "source" if where == "source" else "binary"


def is_contrib(folder: str) -> bool:
    """Whether packages may lie in *folder*."""
    return _CONTRIB.fullmatch(f"{folder}/PACKAGES") is not None


def packages(mirror: str, contrib: str, form: Form = RDS) -> Index:
    """The index of that folder."""
    path = f"{contrib}/PACKAGES"
    sources = (Source(path=f"{path}.gz"), Source(path=path))
    return Index(mirror=mirror, path=path, sources=sources, forms=(form,))


def archive(mirror: str, contrib: str) -> Index:
    """The index of that folder's archive."""
    path = f"{contrib}/{ARCHIVE}"
    return Index(mirror=mirror, path=path, sources=(Source(path=path),), forms=(RDS,))


def _in_contrib(mirror: str, path: str, contrib: str, rest: str) -> Resource | None:
    if rest in _FORMS:
        return packages(mirror, contrib, _FORMS[rest])
    if contrib.endswith("src/contrib"):
        if rest == ARCHIVE:
            return archive(mirror, contrib)
        if rest.endswith("/") and _LISTING.fullmatch(rest):
            source = Source(path=path)
            return Index(mirror=mirror, path=path, sources=(source,), forms=(HTML,))
        if inside := _ARCHIVED.fullmatch(rest):
            return _archived(mirror, contrib, inside[1], inside[2])
    filename = rest.rpartition("/")[2]
    found = package(filename)
    if found is None or rest.startswith(("Archive/", "Meta/")):
        return None
    return Artifact(
        mirror=mirror,
        path=path,
        index=packages(mirror, contrib),
        row=rest,
        media_type=_media_type(filename),
        # PACKAGES lists the newest version alone; others may still be there.
        fallback=Source(path=path),
        moved=_archived(mirror, contrib, found[0], rest) if rest == filename else None,
        by_platform=True,
    )


def _archived(mirror: str, contrib: str, name: str, filename: str) -> Artifact | None:
    """A file that may be in the archive, where a newer version puts its predecessors."""
    found = package(filename)
    if found is None or found[0] != name or not contrib.endswith("src/contrib"):
        return None
    path = f"{contrib}/Archive/{name}/{filename}"
    return Artifact(
        mirror=mirror,
        path=path,
        index=archive(mirror, contrib),
        row=f"{name}/{filename}",
        media_type=_media_type(filename),
        fallback=Source(path=path),
        former=f"{contrib}/{filename}",
        vouched=False,
        by_platform=True,
    )


def _media_type(filename: str) -> str:
    return next(kind for ending, kind in _MEDIA.items() if filename.endswith(ending))
