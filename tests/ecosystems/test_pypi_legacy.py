"""The legacy JSON passes whole, and its files lead to the paths that pages give them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urljoin

import pytest

from proxy.core.model import Index
from proxy.errors import BadIndex
from tests.ecosystems.pypi_pages import (
    FILES,
    HEX,
    MIRROR,
    PYPI,
    SHAPED,
    body_of,
    render,
    sample_file,
    sample_page,
    views_of,
)

NAME = "sample-1.0+l-py3-none-any.whl"


def _file(**changes: Any) -> dict[str, Any]:
    file = {
        "filename": NAME,
        "url": f"{FILES}/{SHAPED}/{NAME}",
        "digests": {"sha256": HEX, "md5": "1"},
        "size": None,
        "yanked_reason": None,
    }
    return file | changes


def _rendered(content: object, path: str = "pypi/sample/json") -> Any:
    index = PYPI.classify(MIRROR, path)
    assert isinstance(index, Index)
    return json.loads(render(index, body_of(content), "json")["json"])


@pytest.mark.parametrize("path", ["pypi/sample/json", "pypi/sample/1.0/json"])
def test_file_urls_resolve_against_the_request_to_what_pages_list(path: str) -> None:
    file = _file()
    document = {"info": {"name": "sample", "x": None}, "urls": [file], "last_serial": 3}
    shown = _rendered(document, path)
    served = urljoin(f"https://p.example.org/pypi/main/{path}", shown["urls"][0].pop("url"))
    assert served == f"https://p.example.org/pypi/main/{SHAPED}/{NAME.replace('+', '%2B')}"
    del file["url"]
    assert shown == document


def test_all_releases_are_led_here() -> None:
    document = {"urls": [], "releases": {"1.0": [_file()], "0.9": [], "2.0": [_file()]}}
    shown = _rendered(document)["releases"]
    assert list(shown) == ["1.0", "0.9", "2.0"]
    assert all(file["url"].startswith("../../packages/") for file in shown["1.0"] + shown["2.0"])


def test_files_of_other_shapes_are_where_the_page_has_them() -> None:
    url = f"{FILES}/flat/{NAME}"
    page = views_of(sample_page(sample_file(filename=NAME, url=url, hashes={"sha256": HEX})))
    assert _rendered({"urls": [_file(url=url)]})["urls"][0]["url"] == page.file["url"]


def test_files_that_cannot_be_served_are_dropped() -> None:
    files = [_file(url="ftp://h/a.whl"), _file(filename="a/b"), _file(digests=None)]
    assert len(_rendered({"urls": files})["urls"]) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not the JSON"),
        (b"<html>", "not the JSON"),
        (b"[]", "a JSON list"),
        ({"urls": {}}, "a list of files"),
        ({"urls": [1]}, "lists a int"),
        ({"urls": [{"filename": "a.whl"}]}, "'url'"),
        ({"releases": []}, "'releases'"),
        ({"releases": {"1.0": None}}, "a list of files"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_a_body_that_is_no_such_document_is_refused(content: object, message: str) -> None:
    with pytest.raises(BadIndex, match=message):
        _rendered(content)
