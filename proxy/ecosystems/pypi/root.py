"""The list of all projects: 800,000 names and 40 MB where the upstream is a large one.

Each form is made alone and in pieces, so that the text and its names are all that is held. JSON
needs no edit: it is checked and passed on byte for byte. From HTML only the names are taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from html import escape
from itertools import chain, islice
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from proxy.ecosystems.base import Body, Rendered
from proxy.ecosystems.pypi import content, html_page
from proxy.ecosystems.pypi.links import resolved
from proxy.ecosystems.pypi.markup import tags, unescaped
from proxy.ecosystems.pypi.names import normalised
from proxy.errors import BadIndex

_PIECE = 1 << 20  # bytes passed on at a time
_BATCH = 8192  # names written at a time

Hides = Callable[[str], bool]
"""Whether the project with that name, as it is spelt, is not to be listed."""

_CHILD = re.compile(r"(?:\./)?([a-z0-9._-]+)/?", re.IGNORECASE | re.ASCII)


class _Project(msgspec.Struct, gc=False):
    name: str


class _Root(msgspec.Struct):
    projects: list[_Project]
    meta: Any = None


def render(body: Body, forms: frozenset[str], hides: Hides | None) -> Iterator[Rendered]:
    """Make those of the forms `json` and `html` that are asked for, without what *hides* names.

    Raises BadIndex, for HTML also while the chunks are consumed.
    """
    is_json = content.is_json(body)
    for form in sorted(forms):
        if form == "html":
            chunks = _as_html(_shown(projects(body), hides))
        elif not is_json:
            chunks = _as_json(_shown(_read(body), hides))
        else:
            chunks = _checked(body) if hides is None else _filtered(body, hides)
        yield Rendered(form=form, chunks=chunks)


def _shown(names: Iterator[str], hides: Hides | None) -> Iterator[str]:
    return names if hides is None else (name for name in names if not hides(name))


def projects(body: Body) -> Iterator[str]:
    """The projects' names, as they are spelt there. Raises BadIndex."""
    return _decoded(body) if content.is_json(body) else _read(body)


def _checked(body: Body) -> Iterator[bytes]:
    for _ in _decoded(body):
        break  # whatever could be wrong has been found by then
    whole = content.without_bom(body)
    for start in range(0, len(whole), _PIECE):
        yield bytes(whole[start : start + _PIECE])


def _filtered(body: Body, hides: Hides) -> Iterator[bytes]:
    """The document without the projects that are hidden; those that are shown keep their bytes."""
    names = _decoded(body)
    top = content.decoded(body, dict[str, msgspec.Raw])
    listed = msgspec.json.decode(top["projects"], type=list[msgspec.Raw])
    kept = [bytes(raw) for name, raw in zip(names, listed, strict=True) if not hides(name)]
    separator = b"{"
    for key, raw in top.items():
        yield separator + msgspec.json.encode(key) + b":"
        separator = b","
        if key != "projects":
            yield bytes(raw)
            continue
        yield b"["
        for start in range(0, len(kept), _BATCH):
            yield (b"," if start else b"") + b",".join(kept[start : start + _BATCH])
        yield b"]"
    yield b"}"


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
    here = _Here(body.url, body.url)
    for tag in tags(content.text(body)):
        match tag.name:
            case "a":
                link = here.child(tag.attributes().get("href", ""))
                name = normalised(link) if link else None
                if name is not None:
                    shown = unescaped(tag.text).strip()
                    yield shown if normalised(shown) == name else name
            case "base":
                found = resolved(tag.attributes().get("href", ""), body.url)
                here = here if found is None else _Here(body.url, found.url)
            case "meta":
                attributes = tag.attributes()
                if attributes.get("name") == "pypi:repository-version":
                    content.minor_version(attributes.get("content"))


class _Here:
    """The folder of a page whose links refer to *base*; finds the folders directly below it.

    Joining each link would take 15 s for 800,000; comparing its beginning takes one.
    """

    def __init__(self, page: str, base: str) -> None:
        """Raises BadIndex where *page* is no URL."""
        try:
            self._folder = urljoin(page, ".")
            path = urlsplit(self._folder).path
            within = urljoin(base, path) == self._folder
            direct = urljoin(base, ".") == self._folder
        except ValueError as error:
            raise BadIndex(f"the page's address cannot be read: {error}") from error
        self._beginnings = (self._folder, *([path] if within else []))
        self._direct = direct
        self._base = base

    def child(self, reference: str) -> str | None:
        """The name of the folder that *reference* leads to; None for any other link."""
        reference = reference.strip()
        if ".." in reference:
            link = resolved(reference, self._base)
            reference = "" if link is None else link.url
        for beginning in self._beginnings:
            if reference.startswith(beginning):
                found = _CHILD.fullmatch(reference, len(beginning))
                return found[1] if found else None
        found = _CHILD.fullmatch(reference) if self._direct else None
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
