"""A mirror of files: every path is a file, and nothing is an index."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Index, Plain, Source
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.files.ecosystem import Files
from proxy.errors import BadIndex, UnknownPath

FILES = Files()
MIRROR = "files/dist"
INDEX = Index(mirror=MIRROR, path="x", sources=(), forms=())


@pytest.mark.parametrize(
    "path",
    [
        "",  # upstream's own front page, if it has one
        "a.txt",
        "a/b/c.tar.gz",
        "a/b/",
        "a/index.html",
        "...",
        "..a/b..",
        "a b/é/%2e%2e/+&=?#;:@~",
        "simple/sample/",
        "noarch/repodata.json",
    ],
)
def test_every_path_is_a_file_of_the_same_path(path: str) -> None:
    assert FILES.classify(MIRROR, path) == Plain(
        mirror=MIRROR,
        path=path,
        source=Source(path=path),
        forward=("accept", "accept-language", "user-agent"),
    )
    assert FILES.canonical(path) is None


def test_upstream_decides_what_a_file_is_and_how_long_it_lasts() -> None:
    found = FILES.classify(MIRROR, "a.txt")
    assert isinstance(found, Plain)
    assert found.media_type is None
    assert not found.anonymous
    assert not found.absent_on_error


@pytest.mark.parametrize("path", ["../a", "a/../b", "./a", "a//b", "/a", "a\\..\\b", "a\nb", "//"])
def test_no_path_leaves_the_tree(path: str) -> None:
    with pytest.raises(UnknownPath):
        FILES.classify(MIRROR, path)


@given(st.text(), st.text())
def test_two_paths_are_two_files(one: str, other: str) -> None:
    try:
        keys = {FILES.classify(MIRROR, path).key for path in (one, other)}
    except UnknownPath:
        return
    assert len(keys) == len({one, other})


def test_there_are_no_indexes() -> None:
    body = Body(content=b"{}", source="x", media_type="", url="https://f.example.org/x")
    assert FILES.groups(INDEX) == ()
    assert FILES.absent_body(INDEX) is None
    with pytest.raises(BadIndex, match="no index such as x"):
        FILES.render(INDEX, body, Context(mirror=MIRROR), frozenset())
