"""One file as a page's JSON describes it: what of that may be passed on, and its rows.

Unknown keys pass. Known ones pass where they have a form that the specification allows: uv
refuses a whole page for one `null`, so what is not of its form counts as not given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from proxy.core.rows import Row
from proxy.ecosystems.pypi import links, names
from proxy.ecosystems.pypi.links import Link
from proxy.errors import BadIndex

METADATA_KEYS = ("core-metadata", "dist-info-metadata", "data-dist-info-metadata")
"""PEP 714's name, PEP 658's as that is in JSON, and the one that was sent by mistake."""

DERIVED = "\0derived"
"""Marks a file whose metadata are ours, until it is shown."""

_LARGEST = 1 << 62  # bytes; a row's size has 64 bits
_DIGEST_LENGTHS = {"md5": 32, "sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+")


def _is_text_or_null(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_metadata(value: object) -> bool:
    return value is None or isinstance(value, bool) or _is_hashes(value)


def _is_hashes(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


_ALLOWED: Mapping[str, Callable[[object], bool]] = {
    "size": lambda value: type(value) is int and 0 <= value < _LARGEST,
    "upload-time": lambda value: isinstance(value, str),
    "requires-python": _is_text_or_null,
    "provenance": _is_text_or_null,
    "gpg-sig": lambda value: isinstance(value, bool),
    **dict.fromkeys(METADATA_KEYS, _is_metadata),
}


def checked(file: object) -> dict[str, Any]:
    """*file* where it has the three keys that no client does without. Raises BadIndex."""
    if not isinstance(file, dict):
        raise BadIndex(f"upstream lists a {type(file).__name__} where a file should be")
    for key in ("filename", "url"):
        if not isinstance(file.get(key), str):
            raise BadIndex(f"upstream lists a file whose {key!r} is {file.get(key)!r}, not a text")
    if file.get("hashes") is None:
        file["hashes"] = {}
    if not _is_hashes(file["hashes"]):
        raise BadIndex(f"upstream lists {file['filename']!r} with 'hashes' that are no table")
    return file


def tidy(file: dict[str, Any], base: str) -> None:
    """Take out of *file* what would make a client refuse the page at the URL *base*."""
    for key, is_allowed in _ALLOWED.items():
        if key in file and not is_allowed(file[key]):
            del file[key]
    if "yanked" in file and not isinstance(file["yanked"], bool | str):
        yanked = file.pop("yanked")
        if yanked is not None:
            file["yanked"] = bool(yanked)
    provenance = file.get("provenance")
    if provenance and "://" not in provenance:  # PEP 740 wants it absolute; it is not ours
        found = links.resolved(provenance, base)
        file["provenance"] = None if found is None else found.url


def place(file: dict[str, Any], link: Link | None, project: str) -> str | None:
    """The path at which we serve *file*; None where it cannot be had under its name."""
    filename = file["filename"]
    if link is None or not names.is_file_name(filename):
        return None
    return links.served(link, filename, file["hashes"], project)


def advertised(file: Mapping[str, Any]) -> Mapping[str, str] | None:
    """The hashes of the `.metadata` that upstream says it has; None where it has none.

    They may be empty. PEP 714: of the keys under which it is said the first decides.
    """
    return next(_promises(file), None)


def _promises(file: Mapping[str, Any]) -> Iterator[Mapping[str, str] | None]:
    for key in METADATA_KEYS:
        match file.get(key):
            case dict() as hashes:
                yield hashes
            case True:
                yield {}
            case False:
                yield None


def promise(file: dict[str, Any]) -> None:
    """Promise the metadata of a wheel whose upstream does not: we read them out of it (PEP 658).

    No hash is promised: nobody knows it before.
    """
    if names.is_wheel(file["filename"]) and not any(one is not None for one in _promises(file)):
        for key in METADATA_KEYS:
            file.pop(key, None)
        file["core-metadata"] = True
        file[DERIVED] = True


def rows(file: Mapping[str, Any], link: Link, path: str) -> Iterator[tuple[str, Row]]:
    """What the gate must know of *file*, served at *path*, and of its companions.

    A `.metadata` has a row if any client may read that there is one, old ones by an old key:
    resolvers do not forgive a missing one.
    """
    yield path, Row(url=link.url, size=file.get("size"), hashes=_digests(file["hashes"]))
    metadata = next((hashes for hashes in _promises(file) if hashes is not None), None)
    if file.get(DERIVED):
        whole = Row(url=link.url, size=file.get("size"), hashes=_digests(file["hashes"]))
        yield f"{path}.metadata", msgspec.structs.replace(whole, derived=True)
    elif metadata is not None:
        yield f"{path}.metadata", Row(url=link.beside(".metadata"), hashes=_digests(metadata))
    if file.get("gpg-sig") is True:
        yield f"{path}.asc", Row(url=link.beside(".asc"))


def _digests(hashes: Mapping[str, str]) -> dict[str, str]:
    """The digests that a body can be checked against; others are the client's to judge."""
    lowered = ((name.lower(), value.lower()) for name, value in hashes.items())
    return {
        name: value
        for name, value in lowered
        if len(value) == _DIGEST_LENGTHS.get(name) and _HEX.fullmatch(value)
    }
