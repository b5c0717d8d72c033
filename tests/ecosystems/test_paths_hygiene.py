"""What may stand in a path at all, whatever the type of the mirror."""

from __future__ import annotations

import posixpath
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ecosystems import ECOSYSTEMS
from proxy.ecosystems.paths import LONGEST, checked
from proxy.errors import UnknownPath

BAD = [
    "/",
    "/a",
    "//",
    "//a",
    "a//",
    "a//b",
    ".",
    "..",
    "./",
    "../",
    "./a",
    "../a",
    "a/.",
    "a/..",
    "a/./b",
    "a/../b",
    "a/b/..",
    "a/../",
    "a\\b",
    "..\\a",
    "\\",
    "a\x00",
    "a\n",
    "\r\na",
    "a\tb",
    "a\x1fb",
    "a\x7f",
    "a\x85b",
    "a\ud800",
    "a" * (LONGEST + 1),
]
GOOD = [
    "",
    "a",
    "a/",
    "a/b",
    "a/b/",
    "...",
    ".a",
    "a.",
    "..a",
    "a..",
    "a/.../b",
    " ",
    "a b",
    "é",
    "\u00a0\u2028",
    "%2e%2e/%2f",
    "a?b#c;d:e@f",
    "http:a",
    "~a",
    "\U0001f40d",
    "a" * LONGEST,
]


@pytest.mark.parametrize("path", GOOD)
def test_a_good_path_is_itself(path: str) -> None:
    assert checked(path) == path


@pytest.mark.parametrize("path", BAD)
def test_a_bad_path_is_unknown(path: str) -> None:
    with pytest.raises(UnknownPath):
        checked(path)


@pytest.mark.parametrize("path", BAD)
@pytest.mark.parametrize("name", sorted(ECOSYSTEMS))
def test_every_type_of_mirror_refuses_a_bad_path(name: str, path: str) -> None:
    with pytest.raises(UnknownPath):
        ECOSYSTEMS[name].classify(f"{name}/m", path)


@pytest.mark.parametrize("path", BAD)
def test_an_error_can_be_logged_on_one_line(path: str) -> None:
    with pytest.raises(UnknownPath) as caught:
        checked(path)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < LONGEST + 100
    message.encode()


_PARTS = st.sampled_from(["a", "b.c", "..", ".", "", "...", "\\", "\n", "é", "%2e"])


@given(st.text() | st.lists(_PARTS, max_size=6).map("/".join))
def test_what_is_good_stays_below_its_root(path: str) -> None:
    try:
        checked(path)
    except UnknownPath:
        return
    assert posixpath.normpath(f"/root/{path}").startswith("/root")
    assert path.isprintable() or not any(ord(one) < 32 for one in path)
    plain = "".join(one for one in path if one.isalnum() or one in "/.-_")
    if plain == path:
        assert urljoin("https://h.example.org/root/", path).startswith(
            "https://h.example.org/root/"
        )
