"""The list of all projects: 800,000 names and 40 MB where the upstream is a large one.

Each form is made alone and in pieces, so that the text and its names are all that is held. JSON
needs no edit: it is checked and passed on byte for byte. From HTML only the names are taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape
from itertools import chain, islice
from typing import Any
from urllib.parse import unquote, urljoin

import msgspec

from proxy.ecosystems.base import Body, Rendered
from proxy.ecosystems.pypi import content, html_page
from proxy.ecosystems.pypi.links import resolved
from proxy.ecosystems.pypi.markup import tags, unescaped
from proxy.ecosystems.pypi.names import normalised
from proxy.errors import BadIndex

_PIECE = 1 << 20  # bytes passed on at a time
_BATCH = 8192  # names written at a time

_CHILD = re.compile(r"(?:\./)?([a-z0-9._-]+)/?", re.IGNORECASE | re.ASCII)


class _Project(msgspec.Struct, gc=False):
    name: str


class _Root(msgspec.Struct):
    projects: list[_Project]
    meta: Any = None


def render(body: Body, forms: frozenset[str]) -> Iterator[Rendered]:
    """Make those of the forms `json` and `html` that are asked for.

    Raises BadIndex, for HTML also while the chunks are consumed.
    """
    is_json = content.is_json(body)
    for form in sorted(forms):
        if form == "json":
            yield Rendered(form=form, chunks=_checked(body) if is_json else _as_json(_read(body)))
        else:
            found = _decoded(body) if is_json else _read(body)
            yield Rendered(form=form, chunks=_as_html(found))


def _checked(body: Body) -> Iterator[bytes]:
    for _ in _decoded(body):
        break  # whatever could be wrong has been found by then
    whole = content.without_bom(body)
    for start in range(0, len(whole), _PIECE):
        yield bytes(whole[start : start + _PIECE])


def _decoded(body: Body) -> Iterator[str]:
    root = content.decoded(body, _Root)
    if root.meta is not None:
        if not isinstance(root.meta, dict):
            raise BadIndex(f"the body's 'meta' is a {type(root.meta).__name__}, not an object")
        if root.meta.get("api-version") is not None:
            content.minor_version(root.meta["api-version"])
    return (project.name for project in root.projects)


def _read(body: Body) -> Iterator[str]:
    """The projects' names in an HTML list, as displayed where that is a spelling of the link."""
    base = body.url
    for tag in tags(content.text(body)):
        if tag.name == "a":
            link = _child(tag.attributes().get("href", ""), base, body.url)
            name = normalised(link) if link else None
            if name is not None:
                shown = unescaped(tag.text).strip()
                yield shown if normalised(shown) == name else name
        elif tag.name == "base":
            found = resolved(tag.attributes().get("href", ""), base)
            base = base if found is None else found.url
        elif tag.name == "meta":
            attributes = tag.attributes()
            if attributes.get("name") == "pypi:repository-version":
                content.minor_version(attributes.get("content"))


def _child(reference: str, base: str, page: str) -> str | None:
    """The folder directly below *page* that a link leads to; None for any other link."""
    direct = _CHILD.fullmatch(reference) if base == page else None
    if direct is not None:
        return direct[1]
    link = resolved(reference, base)
    try:
        folder = urljoin(page, ".")
    except ValueError:
        return None
    if link is None or link.query or not link.path.startswith(folder):
        return None
    found = _CHILD.fullmatch(unquote(link.path[len(folder) :]))
    return found[1] if found else None


def _as_json(names: Iterable[str]) -> Iterator[bytes]:
    separator = b'{"meta":{"api-version":"1.0"},"projects":['
    for batch in _batches(names):
        # A list of objects without its brackets joins to others.
        yield separator + msgspec.json.encode([{"name": name} for name in batch])[1:-1]
        separator = b","
    yield b"]}" if separator == b"," else separator + b"]}"


def _as_html(names: Iterable[str]) -> Iterator[bytes]:
    yield (
        '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="pypi:repository-version" content="1.{html_page.NEWEST_HTML}">\n'
        "<title>Simple index</title>\n</head>\n<body>\n"
    ).encode()
    for batch in _batches(names):
        links = ((normalised(name), name) for name in batch)
        yield "".join(
            f'<a href="{link}/">{escape(name)}</a><br>\n' for link, name in links if link
        ).encode()
    yield b"</body>\n</html>\n"


def _batches(names: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(names)
    for first in iterator:
        yield [*chain([first], islice(iterator, _BATCH - 1))]
