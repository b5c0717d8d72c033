"""A token is found by its text alone, and allows what its scopes say."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.tokens import (
    Action,
    Scope,
    Token,
    Tokens,
    checked_name,
    checked_pattern,
    hashed,
    id_of,
    scope_of,
    spelt,
)
from proxy.errors import ConfigError

TEXT = spelt("aB3dEfGh", "x" * 31 + "7")
NOW = 1_000_000.0


def token(*scopes: str, text: str = TEXT, expires: float | None = None) -> Token:
    return Token(
        name="build-farm",
        id=id_of(text) or "",
        digest=hashed(text),
        scopes=tuple(scope_of(scope) for scope in scopes),
        created=NOW,
        expires=expires,
    )


def test_a_token_survives_the_clients_that_cut_others() -> None:
    assert re.fullmatch("[A-Za-z0-9-]+", TEXT), "conda takes nothing else out of a URL"


def test_a_token_is_found_by_the_whole_of_its_text() -> None:
    known = token("read")
    tokens = Tokens([known, token("read", text=spelt("other123", "y" * 32))])
    assert tokens.find(TEXT, NOW) is known
    for wrong in (
        "",
        TEXT[:-1],
        TEXT + "7",
        TEXT[:-1] + "8",
        TEXT.lower(),
        TEXT.replace("aB3dEfGh", "other123"),
        TEXT.replace("aB3dEfGh", "nobody12"),
        known.digest,
        known.id,
        TEXT + "\n",
        "\ud800",
    ):
        assert tokens.find(wrong, NOW) is None, wrong


def test_a_token_ends_when_it_expires() -> None:
    tokens = Tokens([token("read", expires=NOW + 10)])
    assert tokens.find(TEXT, NOW + 9.9) is not None
    assert tokens.find(TEXT, NOW + 10) is None


def test_a_token_shows_no_digest_of_itself() -> None:
    known = token("read")
    assert known.digest not in repr(known)
    assert known.digest not in repr(Tokens([known]))


@pytest.mark.parametrize(
    ("scope", "action", "mirror", "allowed"),
    [
        ("read", Action.READ, "conda/main", True),
        ("read", Action.WRITE, "conda/main", False),
        ("read", Action.METRICS, "", False),
        ("read:conda/*", Action.READ, "conda/main", True),
        ("read:conda/*", Action.READ, "conda/forge/label/rc", True),
        ("read:conda/*", Action.READ, "pypi/conda", False),
        ("read:conda/ma?n", Action.READ, "conda/main", True),
        ("read:conda/main", Action.READ, "conda/main2", False),
        ("read:conda/main", Action.READ, "conda/main/label/x", False),
        ("write:conda/main", Action.WRITE, "conda/main", True),
        ("write:conda/main", Action.READ, "conda/main", False),
        ("metrics", Action.METRICS, "", True),
        ("metrics", Action.READ, "conda/main", False),
        ("admin", Action.READ, "conda/main", True),
        ("admin", Action.WRITE, "conda/main", True),
        ("admin", Action.METRICS, "", True),
        ("write", Action.ADMIN, "", False),
    ],
)
def test_scopes(scope: str, action: Action, mirror: str, allowed: bool) -> None:
    assert token(scope).allows(action, mirror) is allowed


def test_several_scopes_add_up() -> None:
    both = token("read:conda/*", "write:pypi/own")
    assert both.allows(Action.READ, "conda/main")
    assert both.allows(Action.WRITE, "pypi/own")
    assert not both.allows(Action.WRITE, "conda/main")


@pytest.mark.parametrize(
    "wrong", ["", "all", "read:", "read:*\n", "Read", "admin:conda/*", "metrics:*", "read:a[b]"]
)
def test_a_scope_that_means_nothing_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError):
        scope_of(wrong)


@given(st.sampled_from(["read", "write"]), st.from_regex(r"[a-z0-9_./*?-]{1,20}", fullmatch=True))
def test_a_scope_is_read_as_it_is_written(action: str, pattern: str) -> None:
    scope = Scope(action=Action(action), pattern=pattern)
    assert scope_of(str(scope)) == scope


@pytest.mark.parametrize("wrong", ["", "A", "-a", "a b", "a\n", "a" * 65, 'a"', "ä"])
def test_a_name_that_would_upset_a_label_or_a_log_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError):
        checked_name(wrong)


def test_names_and_patterns_that_are_fine() -> None:
    assert checked_name("ci.build-farm_2") == "ci.build-farm_2"
    assert checked_pattern("conda/*/label/r?") == "conda/*/label/r?"


@given(st.text())
def test_any_text_may_be_shown(text: str) -> None:
    assert Tokens([token("read")]).find(text, NOW) is None
