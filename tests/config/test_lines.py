"""The line of every setting is found, however TOML is written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.lines import Path, line_of, lines

TEXT = '''\
# comment = 1
top = "x" # [not.a.table]

[server]
port = 1
"quoted.key" = """
[fake]
port = 2
""""
deep.down.here = {a = 1, "b c" = [1, 2]}

[[mirror]]
name = "one"
  hosts = [ # first
    "a", 'b]',
    [
      "c",
    ],
  ]

[[mirror]]  # second
name = 'two'
[mirror.extra]
note = \'\'\'it's
[x]\'\'\'
[credentials."a.b"]
kind = "bearer"
when = 1979-05-27 07:32:00
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("server",), 4),
        (("server", "port"), 5),
        (("server", "quoted.key"), 6),
        (("server", "deep"), 10),
        (("server", "deep", "down", "here"), 10),
        (("server", "deep", "down", "here", "b c", 1), 10),
        (("mirror",), 12),
        (("mirror", 0), 12),
        (("mirror", 0, "hosts"), 14),
        (("mirror", 0, "hosts", 1), 15),
        (("mirror", 0, "hosts", 2), 16),
        (("mirror", 0, "hosts", 2, 0), 17),
        (("mirror", 1), 21),
        (("mirror", 1, "name"), 22),
        (("mirror", 1, "extra", "note"), 24),
        (("credentials", "a.b", "kind"), 27),
        (("credentials", "a.b", "when"), 28),
    ],
)
def test_each_setting_has_its_line(path: Path, line: int) -> None:
    assert lines(TEXT)[path] == line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("server", "missing"), 4),
        (("mirror", 1, "source"), 21),
        (("credentials", "a.b", "token"), 26),
        (("nowhere", "at", "all"), None),
    ],
)
def test_a_missing_key_has_the_line_of_its_table(path: Path, line: int | None) -> None:
    assert line_of(lines(TEXT), path) == line


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _paths(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _paths(inner, (*path, number))


def test_windows_line_ends_count_once() -> None:
    assert lines(TEXT.replace("\n", "\r\n")) == lines(TEXT)


_FRAGMENTS = st.sampled_from(
    [
        *("[a]", "[a.b]", "[[a]]", "[[c]]", "[c.d]", '["x.y"]', "[ a . 'b' ]"),
        *("a = 1", "b.c = true", '"q" = "#"', "k = '''\n[a]\n'''", 'k = """\\"""" '),
        *('l = """a""" # c', "m = [1,\n # ]\n [2], {z = '}'}]", "n = {o = {p = 1}, q.r = []}"),
        *("", "# [z]", "  ", "\t", "d = 1e5", "t = 1979-05-27", 'k = """x""""', "e = ''"),
    ]
)


@given(st.lists(_FRAGMENTS, max_size=12))
def test_what_the_parser_sees_is_what_has_lines(fragments: list[str]) -> None:
    text = "\n".join(fragments)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = lines(text)
    assert set(_paths(content)) <= set(found) | _implied(content, found)
    assert set(found) <= set(_paths(content))
    assert all(1 <= line <= text.count("\n") + 1 for line in found.values())


def _implied(content: dict[str, Any], found: object) -> set[Path]:
    """Tables that only a deeper header made: `[a.b]` alone makes `a`."""
    assert isinstance(found, dict)
    return {path for path in _paths(content) if any(path == one[: len(path)] for one in found)}
