"""Names: projects', files', and the one told by the other.

Normalisation and versions are `packaging`'s. Names that it does not split (eggs, installers of
Windows, sdists older than the standard) are split here, as well as a name alone allows.
"""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

_PROJECT = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", re.IGNORECASE | re.ASCII)
_LONGEST = 255  # bytes that a file name may have, as everywhere on disks

_BINARY = "application/octet-stream"
_MEDIA_TYPES = {
    ".whl": "application/zip",
    ".tar.gz": "application/gzip",
    ".zip": "application/zip",
    ".tar.bz2": "application/x-bzip2",
    ".egg": "application/zip",
    ".tgz": "application/gzip",
    ".tar.xz": "application/x-xz",
    ".tar.z": "application/x-compress",
    ".tar": "application/x-tar",
    ".exe": _BINARY,
    ".msi": _BINARY,
    ".rpm": _BINARY,
    ".deb": _BINARY,
    ".dmg": _BINARY,
}
_ENDINGS = tuple(_MEDIA_TYPES)
_ARCHIVES = (  # as pip has them
    *(".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz"),
    *(".tlz", ".tar.lz", ".tar.lzma", ".tar.z"),
)
_COMPANIONS = {
    ".metadata": "text/plain; charset=utf-8",  # core metadata is UTF-8
    ".asc": "application/pgp-signature",
}
_VERSION_LIKE = re.compile(r"-v?[0-9]")
_HOLDS_VERSION = re.compile(r"-[0-9]+\.[0-9]")


def normalised(name: str) -> str | None:
    """The project name that *name* spells, in PEP 503's form; None where it spells none."""
    return canonicalize_name(name) if _PROJECT.fullmatch(name) else None


def is_file_name(name: str) -> bool:
    """Whether *name* is one plain path segment that any disk, URL and header can carry."""
    return (
        name.isprintable()
        and name.strip() not in ("", ".", "..")
        and "/" not in name
        and "\\" not in name
        and len(name.encode()) <= _LONGEST
    )


def is_distribution(filename: str) -> bool:
    """Whether *filename* ends like a file that an installer could use (or could once)."""
    return filename.lower().endswith(_ENDINGS)


def is_archive(filename: str) -> bool:
    """Whether an installer would unpack *filename* and build what is in it, whatever it is called:
    sdists were not always `.tar.gz` (PEP 625), nor named after a version that can be read.
    """
    return filename.lower().endswith(_ARCHIVES)


def media_type(filename: str) -> str:
    """What to call the content of *filename*, or of its `.metadata` or `.asc`."""
    lowered = filename.lower()
    for ending, found in (_COMPANIONS | _MEDIA_TYPES).items():
        if lowered.endswith(ending):
            return found
    return _BINARY


def without_companion(filename: str) -> str:
    """The file that a `.metadata` (PEP 658) or `.asc` (PEP 503) belongs to."""
    for ending in _COMPANIONS:
        if filename.endswith(ending):
            return filename.removesuffix(ending)
    return filename


def project_of(filename: str) -> str | None:
    """The normalised name of the project whose file this must be, as its name tells.

    A wheel's or an egg's name has no `-` in its first part: they are certain. Of the rest the
    version stands behind the last `-`, as the standard for sdists has it, unless that leaves
    another version in the name (`foo-1.0-1.tar.gz`). Else it begins at the first `-` behind
    which all is one version, else at the first before a digit, else at the last. That can
    be wrong (`foo-2-1.tar.gz`), so pages name the project in the paths of such files.
    """
    if filename.lower().endswith((".whl", ".egg")):
        return normalised(filename.partition("-")[0])
    stem = _stem(filename)
    name, _, version = stem.rpartition("-")
    plain = name and _is_version(version) and not _HOLDS_VERSION.search(name)
    return normalised(name if plain else _guessed(stem))


def is_wheel(filename: str) -> bool:
    """Whether *filename* is that of a wheel (PEP 427)."""
    return filename.endswith(".whl") and version_of(filename) is not None


def version_of(filename: str) -> str | None:
    """The version of a file with a standard name (`versions` of PEP 700); else None."""
    try:
        if filename.endswith(".whl"):
            return str(parse_wheel_filename(filename)[1])
        return str(parse_sdist_filename(filename)[1])
    except ValueError:  # packaging's own, and `int`'s for thousands of digits
        return None


def normalised_version(text: object) -> str | None:
    """The version that *text* spells, as `version_of` gives it; None where it spells none."""
    try:
        return str(Version(text)) if isinstance(text, str) else None
    except ValueError:
        return None


def _stem(filename: str) -> str:
    lowered = filename.lower()
    for ending in _ENDINGS:
        if lowered.endswith(ending):
            return filename[: -len(ending)]
    return filename


def _guessed(stem: str) -> str:
    starts = [found.start() for found in _VERSION_LIKE.finditer(stem)]
    for start in starts:
        if _is_version(stem[start + 1 :]):
            return stem[:start]
    return stem[: starts[0]] if starts else stem.rpartition("-")[0] or stem


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except ValueError:
        return False
    return True
