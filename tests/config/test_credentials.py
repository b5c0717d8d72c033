"""Named credentials: each kind, each place for its secret, and no secret in any message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.config.credentials import Basic, Bearer, Credential, Header, PathToken, resolve
from proxy.errors import ConfigError

SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    ("table", "credential"),
    [
        ({"kind": "bearer", "token": SECRET}, Bearer(token=SECRET)),
        ({"kind": "token", "token": SECRET}, PathToken(token=SECRET)),
        (
            {"kind": "basic", "username": "me", "password": SECRET},
            Basic(username="me", password=SECRET),
        ),
        (
            {"kind": "header", "name": "X-API-Key", "value": SECRET},
            Header(name="X-API-Key", value=SECRET),
        ),
    ],
)
def test_each_kind_is_made_and_hides_its_secret(
    table: dict[str, str], credential: Credential
) -> None:
    made = resolve(table, "credentials.mine", {})
    assert made == credential
    assert SECRET not in repr(made)


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    table = {"kind": "bearer", "token_file": str(tmp_path / "secret")}
    assert resolve(table, "here", {}) == Bearer(token=SECRET)


def test_the_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    table = {"kind": "bearer", "token_file": "$CREDENTIALS_DIRECTORY/secret"}
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert resolve(table, "here", environ) == Bearer(token=SECRET)


def test_a_secret_may_be_a_variable() -> None:
    table = {"kind": "basic", "username": "me", "password_env": "ITS_NAME"}
    assert resolve(table, "here", {"ITS_NAME": SECRET}) == Basic(username="me", password=SECRET)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "kind must be one of bearer, token, basic, header"),
        ({"kind": "magic"}, "kind must be one of"),
        ({"kind": ["bearer"]}, "kind must be one of"),
        ({"kind": "bearer"}, "exactly one of here.token, token_file or token_env"),
        ({"kind": "bearer", "token": SECRET, "token_env": "X"}, "not 2"),
        ({"kind": "bearer", "tokn": SECRET}, "did you mean token?"),
        ({"kind": "bearer", "token": SECRET, "password": SECRET}, "not a key of kind bearer"),
        ({"kind": "bearer", "token": 5}, "a text that is not empty"),
        ({"kind": "bearer", "token": ""}, "a text that is not empty"),
        ({"kind": "bearer", "token": f"{SECRET}\nX: y"}, "control characters"),
        ({"kind": "bearer", "token_env": SECRET}, "no variable of that name"),
        ({"kind": "bearer", "token_file": SECRET}, "write an absolute path"),
        ({"kind": "bearer", "token_file": "/no/such/file"}, "/no/such/file cannot be read"),
        ({"kind": "bearer", "token_file": "/no\0such"}, "not UTF-8 text"),
        ({"kind": "token", "token": f"{SECRET}/../x"}, "no URL path"),
        ({"kind": "basic", "username": f"{SECRET}:", "password": "x"}, "without a colon"),
        ({"kind": "header", "name": "a b", "value": SECRET}, "not that of a header"),
    ],
)
def test_what_is_wrong_is_said_without_the_secret(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(table, "here", {})
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        resolve({"kind": "bearer", "token_file": str(tmp_path / "secret")}, "here", {})


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve({"kind": "basic", "user": "me"}, "here", {})
    assert len(str(caught.value).splitlines()) == 3
