"""The look for secrets finds them, else its silence means nothing."""

from __future__ import annotations

import base64
import sqlite3
from pathlib import Path

import pytest

from tests.lab.secrets import CLIENTS, UPSTREAMS, left_behind, shown, tokens

SECRET = UPSTREAMS[0]


@pytest.mark.parametrize("secret", UPSTREAMS + CLIENTS)
@pytest.mark.parametrize("user", ["", "a", "ab", "abc", "someone"])
def test_a_secret_that_is_shown_is_found(secret: str, user: str) -> None:
    for text in (secret, f"https://{user}:{secret}@h.example.org/", f"?t={secret}&x"):
        assert shown(text.encode()) == [secret]
    basic = base64.b64encode(f"{user}:{secret}".encode())
    assert shown(b"authorization: Basic " + basic) == [secret]


def test_a_token_of_ours_is_found_whatever_it_is() -> None:
    token = "-".join(("pkp", "a1B2" * 2, "c3D4" * 8))
    assert tokens(f"GET /t/{token}/conda/x".encode()) == ["a token"]
    assert tokens(f"GET /t/{token[:-1]}/conda/x".encode()) == []


def test_nothing_else_is_found() -> None:
    assert shown(b"upstream secret; " + base64.b64encode(b"user:another")) == []


@pytest.mark.parametrize("place", ["server.log", "pages.txt", "cache/catalog/cache.db"])
def test_it_is_found_where_a_server_wrote_it(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "proxy"
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".db":
        (folder / "cache" / "FORMAT").write_text("1")
        with sqlite3.connect(path) as table:
            table.execute("create table t (value blob)")
            table.execute("insert into t values (?)", (f"https://u:{SECRET}@h/".encode(),))
        table.close()
    else:
        path.write_text(f"x {SECRET} y")
    assert list(left_behind(tmp_path)) == [f"{path} shows {SECRET}"]
    path.unlink()


def test_what_a_test_wrote_itself_is_no_finding(tmp_path: Path) -> None:
    (tmp_path / "pkgproxy.toml").write_text(f'password = "{SECRET}"')
    assert list(left_behind(tmp_path)) == []
