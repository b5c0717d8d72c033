"""Upstream pages for the tests of PyPI's views, and what is made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from proxy.core.model import Index
from proxy.core.rows import Row, Table, decode_row
from proxy.ecosystems.base import ROWS, Body, Context
from proxy.ecosystems.pypi.ecosystem import PyPI

MIRROR = "pypi/main"
JSON = "application/vnd.pypi.simple.v1+json"
FILES = "https://files.example.org"
PAGE_URL = "https://index.example.org/simple/sample/"

HEX = "0123456789abcdef" * 4
SHAPED = f"packages/{HEX[:2]}/{HEX[2:4]}/{HEX[4:]}"
SHA256 = "5" * 64
METADATA_SHA256 = "7" * 64

PYPI = PyPI()


def sample_file(**changes: Any) -> dict[str, Any]:
    """One file as a full upstream describes it, with *changes* (underscores are dashes)."""
    file: dict[str, Any] = {
        "filename": "sample-1.0-py3-none-any.whl",
        "url": f"{FILES}/{SHAPED}/sample-1.0-py3-none-any.whl",
        "hashes": {"sha256": SHA256},
        "requires-python": ">=3.8,<4",
        "size": 1234,
        "upload-time": "2024-05-06T07:08:09.101112Z",
        "yanked": False,
        "core-metadata": {"sha256": METADATA_SHA256},
        "data-dist-info-metadata": {"sha256": METADATA_SHA256},
        "provenance": None,
    }
    file.update({key.replace("_", "-"): value for key, value in changes.items()})
    if "filename" in changes and "url" not in changes:
        file["url"] = f"{FILES}/{SHAPED}/{changes['filename'].replace('+', '%2B')}"
    return file


def sample_page(*files: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A page of version 1.4 that lists *files*."""
    return {
        "meta": {"api-version": "1.4", "_last-serial": 42},
        "name": "sample",
        "project-status": {"status": "active"},
        "versions": ["1.0"],
        "files": list(files),
        **changes,
    }


@dataclass(frozen=True, slots=True)
class Views:
    """What clients see of one page, and its rows."""

    json: dict[str, Any]
    html: str
    rows: dict[str, Row]

    @property
    def file(self) -> dict[str, Any]:
        (only,) = self.json["files"]
        assert isinstance(only, dict)
        return only


def page_index(project: str = "sample") -> Index:
    found = PYPI.classify(MIRROR, f"simple/{project}/")
    assert isinstance(found, Index)
    return found


def render(index: Index, body: Body, *forms: str) -> dict[str, bytes]:
    """Those forms of *index*, whole."""
    views = PYPI.render(index, body, Context(mirror=MIRROR), frozenset(forms))
    return {view.form: b"".join(view.chunks) for view in views}


def body_of(content: object, *, media_type: str | None = None, url: str = PAGE_URL) -> Body:
    """*content* as upstream sends it: a value as JSON, a text as HTML, bytes as they are."""
    match content:
        case bytes():
            raw, usual = content, "application/octet-stream"
        case str():
            raw, usual = content.encode(), "text/html"
        case _:
            raw, usual = json.dumps(content).encode(), JSON
    media_type = usual if media_type is None else media_type
    return Body(content=memoryview(raw), source="", media_type=media_type, url=url)


def views_of(
    content: object,
    *,
    project: str = "sample",
    media_type: str | None = None,
    url: str = PAGE_URL,
) -> Views:
    """All forms of a project's page that upstream sends as *content*."""
    body = body_of(content, media_type=media_type, url=url)
    made = render(page_index(project), body, "json", "html", ROWS)
    table = Table(made[ROWS])
    rows = {key: decode_row(table.get(key) or b"") for key in [*table.keys()]}
    return Views(json.loads(made["json"]), made["html"].decode(), rows)


def anchors(*links: str, head: str = "") -> str:
    """An HTML page around *links*."""
    return f"<!DOCTYPE html><html><head>{head}</head><body>\n{'<br>'.join(links)}</body></html>"


def anchor(href: str, text: str | None = None, **attributes: str) -> str:
    """One link; `data_size` is the attribute `data-size`."""
    written = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    shown = href.partition("#")[0].rpartition("/")[2] if text is None else text
    return f'<a href="{href}"{written}>{shown}</a>'
