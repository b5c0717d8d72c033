"""A project's page as HTML: read into the JSON of PEP 691, and written from it.

Reading keeps what HTML can say: hashes, `data-requires-python`, yanks, core metadata under both
names (PEP 714), provenance (PEP 740), project status (PEP 792), and `data-size` and
`data-upload-time`, which are no standard but are sent by some indexes and read by uv. The
libraries that read such pages (mousebender, pypi-simple) leave the last two out, and take two and
five times as long for a page of 11,000 files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from proxy.ecosystems.pypi import content, names
from proxy.ecosystems.pypi.files import advertised
from proxy.ecosystems.pypi.links import resolved
from proxy.ecosystems.pypi.markup import Tag, tags, unescaped
from proxy.errors import BadIndex

NEWEST_HTML = 4
"""PEP 833 froze the HTML form at version 1.4; what came later is in JSON alone."""

STATUS = "pypi:project-status"

_ALGORITHMS = ("sha256", "sha512", "sha384", "sha224", "sha1", "md5")  # as pip reads, best first
_HASH = re.compile(rf"(?:^|&)({'|'.join(_ALGORITHMS)})=([0-9a-f]+)", re.IGNORECASE | re.ASCII)
_PAIR = re.compile(r"([a-z0-9_]+)=([0-9a-f]+)", re.IGNORECASE | re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)  # PEP 700
_SIZE = re.compile(r"\d{1,15}", re.ASCII)


# -- reading -----------------------------------------------------------------------------


def read(page: str, base: str, project: str) -> dict[str, Any]:
    """The page at the URL *base* as a JSON document; URLs in it are absolute.

    Raises BadIndex where the page is cut short, of another major version (PEP 629), or no project's
    page at all. Anchors that lead to no file are left out.
    """
    files: list[dict[str, Any]] = []
    metas: dict[str, str] = {}
    for tag in tags(page):
        match tag.name:
            case "a":
                file = _file(tag, base)
                if file is not None:
                    files.append(file)
            case "meta":
                attributes = tag.attributes()
                metas.setdefault(attributes.get("name", "").lower(), attributes.get("content", ""))
            case "base":
                link = resolved(tag.attributes().get("href", ""), base)
                base = base if link is None else link.url
    if not files and not any(name.startswith("pypi:") for name in metas):
        # Login and error pages come with 200, too; taken for an index, such a page would say that
        # there is nothing. A project that is truly empty is told by PEP 629's version.
        raise BadIndex("the page lists no file, and does not say that it is one of the Simple API")
    minor = content.minor_version(metas.get("pypi:repository-version") or "1.0")
    return _document(project, files, minor, metas)


def _document(
    project: str, files: list[dict[str, Any]], minor: int, metas: Mapping[str, str]
) -> dict[str, Any]:
    """From 1.1 on sizes and versions are not optional (PEP 700): without them it is 1.0."""
    document: dict[str, Any] = {"meta": {"api-version": "1.0"}, "name": project}
    if metas.get(STATUS):
        reason = metas.get(f"{STATUS}-reason")
        document["project-status"] = {"status": metas[STATUS]}
        if reason:
            document["project-status"]["reason"] = reason
    if files and all("size" in file for file in files):
        versions = {names.version_of(file["filename"]) for file in files}
        if None not in versions:
            document["meta"]["api-version"] = f"1.{min(max(minor, 1), NEWEST_HTML)}"
            document["versions"] = sorted(version for version in versions if version)
    document["files"] = files
    return document


def _file(tag: Tag, base: str) -> dict[str, Any] | None:
    attributes = tag.attributes()
    reference, _, fragment = attributes.get("href", "").partition("#")
    link = resolved(reference, base) if reference.strip() else None
    filename = link.filename if link is not None else None
    if link is None or not filename or not _is_file(filename, tag):
        return None
    file: dict[str, Any] = {
        "filename": filename,
        "url": link.url,
        "hashes": {name.lower(): value.lower() for name, value in _HASH.findall(fragment)},
    }
    if attributes.get("data-requires-python"):
        file["requires-python"] = attributes["data-requires-python"]
    if _SIZE.fullmatch(attributes.get("data-size", "")):
        file["size"] = int(attributes["data-size"])
    if _TIME.fullmatch(attributes.get("data-upload-time", "")):
        file["upload-time"] = attributes["data-upload-time"]
    if "data-yanked" in attributes:  # PEP 592: with a reason, or without
        file["yanked"] = attributes["data-yanked"] or True
    metadata = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata"))
    if metadata is not None:
        file["core-metadata"] = _metadata(metadata)
    if attributes.get("data-gpg-sig") in ("true", "false"):
        file["gpg-sig"] = attributes["data-gpg-sig"] == "true"
    if attributes.get("data-provenance"):
        file["provenance"] = attributes["data-provenance"]
    return file


def _is_file(filename: str, tag: Tag) -> bool:
    """Whether an anchor is a file's: by its name's ending, or its text (PEP 503 has it match)."""
    if not names.is_file_name(filename):
        return False
    if names.is_distribution(filename):
        return True
    return "." in filename and unescaped(tag.text).strip() == filename


def _metadata(value: str) -> dict[str, str] | bool:
    found = _PAIR.fullmatch(value)
    if found is not None:
        return {found[1].lower(): found[2].lower()}
    return value.lower() == "true"


# -- writing -----------------------------------------------------------------------------


def written(document: Mapping[str, Any]) -> Iterator[bytes]:
    """The JSON *document* of a page, whose files are as `page.read` leaves them, as HTML."""
    name = escape(str(document.get("name", "")))
    head = ['<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">']
    head += [_meta("pypi:repository-version", _version(document))]
    status, reason = _status(document)
    head += [_meta(STATUS, status)] if status else []
    head += [_meta(f"{STATUS}-reason", reason)] if status and reason else []
    head += [f"<title>Links for {name}</title>\n</head>\n<body>\n<h1>Links for {name}</h1>\n"]
    yield "\n".join(head).encode()
    for start in range(0, len(document["files"]), 1000):
        batch = document["files"][start : start + 1000]
        yield "".join(map(_anchor, batch)).encode()
    yield b"</body>\n</html>\n"


def _meta(name: str, content: str) -> str:
    return f'<meta name="{name}" content="{escape(content)}">'


def _version(document: Mapping[str, Any]) -> str:
    claimed = (document.get("meta") or {}).get("api-version") or "1.0"
    return f"1.{min(content.minor_version(claimed), NEWEST_HTML)}"


def _status(document: Mapping[str, Any]) -> tuple[str, str]:
    """PEP 792's status and its reason: an object of its own in the text, in `meta` in examples."""
    held = document.get("project-status")
    meta = document.get("meta") or {}
    if isinstance(held, dict):
        found = held.get("status"), held.get("reason")
    else:
        found = held or meta.get("project-status"), meta.get("project-status-reason")
    status, reason = (one if isinstance(one, str) else "" for one in found)
    return status, reason


def _anchor(file: Mapping[str, Any]) -> str:
    href = file["url"]
    best = _best(file["hashes"])
    if best is not None:
        href = f"{href}#{best}"
    attributes = "".join(
        f' {name}="{escape(value)}"' for name, value in _attributes(file) if value is not None
    )
    return f'<a href="{escape(href)}"{attributes}>{escape(file["filename"])}</a><br>\n'


def _best(hashes: Mapping[str, str]) -> str | None:
    """The one hash that HTML has room for, as `name=digits`."""
    pairs = (f"{name}={hashes[name]}" for name in _ALGORITHMS if name in hashes)
    return next((pair for pair in pairs if _PAIR.fullmatch(pair)), None)


def _attributes(file: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    yield "data-requires-python", file.get("requires-python")
    if "size" in file:
        yield "data-size", str(file["size"])
    yield "data-upload-time", file.get("upload-time")
    yanked = file.get("yanked", False)
    if yanked is not False:
        yield "data-yanked", "" if yanked is True else yanked
    metadata = advertised(file)
    if metadata is not None:
        value = _best(metadata) or "true"
        yield "data-core-metadata", value
        yield "data-dist-info-metadata", value  # PEP 714: also under the name it first had
    if "gpg-sig" in file:
        yield "data-gpg-sig", "true" if file["gpg-sig"] else "false"
    yield "data-provenance", file.get("provenance")
