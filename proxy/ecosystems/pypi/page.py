"""A project's page: read from JSON or HTML, its files led to us, every other word kept.

The JSON is edited in place, so keys that came after version 1.4 (`namespaces`, variants, a
server's own `_…`) pass with their order. A file that cannot be served is not listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from proxy.core.rows import build, encode_row
from proxy.ecosystems.base import ROWS, Body, Rendered
from proxy.ecosystems.pypi import content, files, html_page, links
from proxy.errors import BadIndex

_NOT_NULL = ("meta", "name", "project-status", "versions")
"""What a page may lack but not have as `null`: clients with strict models refuse the page."""


class Page(NamedTuple):
    """A page as we serve it, in JSON's terms, and its row table's contents."""

    document: dict[str, Any]
    rows: dict[str, bytes]


def render(body: Body, project: str, forms: frozenset[str]) -> Iterator[Rendered]:
    """Make those of the forms `json`, `html` and `rows` that are asked for. Raises BadIndex."""
    page = read(body, project)
    if "json" in forms:
        yield Rendered(form="json", chunks=(_encoded(page.document),))
    if "html" in forms:
        yield Rendered(form="html", chunks=html_page.written(page.document))
    if ROWS in forms:
        yield Rendered(form=ROWS, chunks=build(page.rows))


def read(body: Body, project: str) -> Page:
    """The page of the project of that normalised name. Raises BadIndex."""
    if content.is_json(body):
        document = content.document(body)
        _check_version(document)
    else:
        document = html_page.read(content.text(body), body.url, project)
    listed = document.get("files")
    if not isinstance(listed, list):
        raise BadIndex("the body is no project's page: it has no list of 'files'")
    for key in _NOT_NULL:
        if document.get(key, key) is None:
            del document[key]
    document.setdefault("name", project)
    kept: list[dict[str, Any]] = []
    rows: dict[str, bytes] = {}
    for one in listed:
        file = files.checked(one)
        link = links.resolved(file["url"], body.url)
        path = files.place(file, link, project)
        if link is None or path is None:
            continue
        files.tidy(file, body.url)
        file["url"] = links.relative(path)
        kept.append(file)
        for key, row in files.rows(file, link, path):
            rows[key] = encode_row(row)
    document["files"] = kept
    return Page(document, rows)


def _check_version(document: dict[str, Any]) -> None:
    meta = document.get("meta")
    if meta is None:
        return
    if not isinstance(meta, dict):
        raise BadIndex(f"the body's 'meta' is a {type(meta).__name__}, not an object")
    if meta.get("api-version") is not None:
        content.minor_version(meta["api-version"])


def _encoded(document: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(document)
    except RecursionError as error:
        raise BadIndex("the body's JSON is nested too deeply") from error
