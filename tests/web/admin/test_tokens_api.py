"""Tokens over the API: shown once, listed without what proves them, revoked by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.core.tokens import hashed
from tests.web.admin.desk import TOKEN, Desk, play
from tests.web.admin.test_api import API, check, described

BEARER = {"Authorization": f"Bearer {TOKEN}"}
URL = f"{API}/tokens"


async def made(desk: Desk, **body: Any) -> dict[str, Any]:
    answer = await desk.client.post(URL, json=body, headers=BEARER)
    assert answer.status == 201, await answer.text()
    assert answer.headers["Cache-Control"] == "no-store"
    found: dict[str, Any] = await answer.json()
    return found


async def text_of(desk: Desk, path: str) -> str:
    return str(await (await desk.client.get(path, headers=BEARER)).text())


def test_a_token_is_told_once_listed_and_revoked(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        answer = await desk.client.get(f"{API}/openapi.json", headers=BEARER)
        document = await answer.json()
        scopes = ["read:conda/*", "metrics", "metrics"]
        shown = await made(desk, name="farm", scopes=scopes, holds_for=60)
        check(document, URL, "post", 201, shown)
        (token,) = desk.tokens.read()
        assert token.digest == hashed(shown["text"])
        assert token.expires == token.created + 60
        assert shown["token"]["scopes"] == ["read:conda/*", "metrics"]
        other = await made(desk, name="a-reader")
        assert other["token"] | {"created": 0} == {
            "name": "a-reader", "scopes": ["read"], "created": 0, "expires": None,
        }  # fmt: skip

        listed = await text_of(desk, URL)
        check(document, URL, "get", 200, json.loads(listed))
        assert json.loads(listed) == [other["token"], shown["token"]]
        assert shown["text"] not in listed
        assert token.digest not in listed
        gone = await desk.client.delete(f"{URL}/farm", headers=BEARER)
        assert (gone.status, await gone.read()) == (204, b"")
        assert [one.name for one in desk.tokens.read()] == ["a-reader"]
        assert desk.told == ["token_made farm", "token_made a-reader", "token_revoked farm"]

    play(tmp_path, script, token=TOKEN)


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        (("POST", "", {"name": "farm"}), 409, "there is a token farm already"),
        (("POST", "", {"name": "Farm"}), 422, "name"),
        (("POST", "", {"name": "x", "scopes": []}), 422, "scopes"),
        (("POST", "", {"name": "x", "scopes": ["all"]}), 422, "scopes"),
        (("POST", "", {"name": "x", "scopes": ["admin:conda/*"]}), 422, "scopes"),
        (("POST", "", {"name": "x", "holds_for": 0}), 422, "holds_for"),
        (("POST", "", {"name": "x", "holds_for": 1e12}), 422, "holds_for"),
        (("DELETE", "/none", None), 404, "there is no token 'none'; there are: farm"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    tmp_path: Path, request_: tuple[str, str, Any], status: int, said: str
) -> None:
    method, path, body = request_

    async def script(desk: Desk) -> None:
        await made(desk, name="farm")
        answer = await desk.client.request(method, URL + path, json=body, headers=BEARER)
        told = await answer.json(content_type="application/problem+json")
        assert answer.status == status, told
        assert said in told["detail"]
        assert [one.name for one in desk.tokens.read()] == ["farm"]
        assert desk.told == ["token_made farm"]

    play(tmp_path, script, token=TOKEN)


def test_who_has_not_proved_anything_gets_no_tokens(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        document = await described(desk)
        for method, path in (("post", URL), ("delete", f"{URL}/{{name}}")):
            body = {"name": "x"} if method == "post" else None
            answer = await desk.client.request(method, path.format(name="x"), json=body)
            told = await answer.json(content_type="application/problem+json")
            assert answer.status == 409
            assert "set admin.credentials" in told["detail"]
            check(document, path, method, 409, told)
        assert await (await desk.client.get(URL)).json() == []
        assert not desk.tokens.path.exists()

    play(tmp_path, script)


def test_a_file_that_makes_no_sense_is_not_the_callers_fault(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        desk.tokens.path.write_text("{")
        for method, path in (("GET", ""), ("POST", ""), ("DELETE", "/farm")):
            body = {"name": "farm"} if method == "POST" else None
            answer = await desk.client.request(method, URL + path, json=body, headers=BEARER)
            told = await answer.json(content_type="application/problem+json")
            assert answer.status == 503
            assert "tokens.json: is not a file of tokens" in told["detail"]
        assert desk.tokens.path.read_text() == "{"

    play(tmp_path, script, token=TOKEN)
