"""Whatever upstream sends, it is an index or a `BadIndex`: nothing else is raised."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Index
from proxy.errors import BadIndex
from tests.ecosystems.pypi_pages import (
    JSON,
    MIRROR,
    PYPI,
    anchor,
    anchors,
    body_of,
    render,
    sample_file,
    sample_page,
)

_PATHS = st.sampled_from(["simple/", "simple/sample/", "pypi/sample/json"])
_TYPES = st.sampled_from([JSON, "text/html", "application/octet-stream", "", "text/plain"])
_URLS = st.sampled_from(["https://i.example.org/simple/x/", "https://***/", "", "https://[x/", "x"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)

_GOOD_JSON = json.dumps(
    sample_page(sample_file(), projects=[{"name": "a"}], urls=[sample_file()], releases={})
).encode()
_GOOD_HTML = anchors(
    anchor("a-1.tar.gz#sha256=" + "1" * 64, data_size="1", data_yanked=""),
    anchor("foo/", "foo"),
    head='<base href="/x/"><meta name="pypi:repository-version" content="1.1">',
).encode()


def _rendered(content: object, path: str, media_type: str, url: str) -> None:
    index = PYPI.classify(MIRROR, path)
    assert isinstance(index, Index)
    for group in PYPI.groups(index):
        with contextlib.suppress(BadIndex):
            made = render(index, body_of(content, media_type=media_type, url=url), *group)
            assert made.keys() == group


@given(st.binary(), _PATHS, _TYPES, _URLS)
def test_any_bytes(raw: bytes, path: str, media_type: str, url: str) -> None:
    _rendered(raw, path, media_type, url)


@given(st.text(st.sampled_from("<>/a!- =\"'&;#hrefmetabs")), _PATHS, _URLS)
def test_any_markup(page: str, path: str, url: str) -> None:
    _rendered(page, path, "text/html", url)


@given(
    st.sampled_from([_GOOD_JSON, _GOOD_HTML]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=4)), max_size=4),
    _PATHS,
    _URLS,
)
def test_mutated_pages(
    good: bytes, edits: list[tuple[float, int, bytes]], path: str, url: str
) -> None:
    raw = bytearray(good)
    for where, cut, inserted in edits:
        at = int(where * len(raw))
        raw[at : at + cut] = inserted
    _rendered(bytes(raw), path, "", url)


_KEYS = ("meta", "name", "files", "versions", "project-status", "projects", "urls", "releases")
_FILE_KEYS = (*sample_file(), "gpg-sig", "dist-info-metadata", "digests")


@given(st.dictionaries(st.sampled_from(_KEYS), _VALUES), _PATHS)
def test_wrong_types_in_a_page(changes: dict[str, Any], path: str) -> None:
    good = json.loads(_GOOD_JSON)
    _rendered(good | changes, path, JSON, "https://i.example.org/simple/x/")


@given(st.dictionaries(st.sampled_from(_FILE_KEYS), _VALUES), _PATHS)
def test_wrong_types_in_a_file(changes: dict[str, Any], path: str) -> None:
    page = json.loads(_GOOD_JSON)
    page["files"][0].update(changes)
    page["urls"][0].update(changes)
    _rendered(page, path, JSON, "https://i.example.org/simple/x/")


@given(st.integers(1, len(_GOOD_JSON) - 1), _PATHS)
def test_truncated_json_is_never_taken(length: int, path: str) -> None:
    _rendered(_GOOD_JSON[:length], path, JSON, "https://i.example.org/simple/x/")
