"""Every promise of docs/promises.md names tests that there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_PROMISE = re.compile(r"^- (.+)")
_TEST = re.compile(r"^  - `(tests/[\w/]+\.py)::(\w+)`$")


def _promises() -> dict[str, list[tuple[str, str]]]:
    """The tests of each promise, up to the section of what is not promised."""
    page = (ROOT / "docs" / "promises.md").read_text().partition("## Not promised")[0]
    found: dict[str, list[tuple[str, str]]] = {}
    promise = ""
    for line in page.splitlines():
        if new := _PROMISE.match(line):
            promise = new[1]
            found[promise] = []
        elif test := _TEST.match(line):
            found[promise].append((test[1], test[2]))
    return found


@cache
def _functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("promise", _promises())
def test_a_promise_is_shown_by_tests(promise: str) -> None:
    tests = _promises()[promise]
    assert tests
    for path, name in tests:
        assert name.startswith("test_")
        assert name in _functions(path), f"{path} has no {name}"
