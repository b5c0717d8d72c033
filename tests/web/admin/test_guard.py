"""Who may administer: whoever has the token, and no page of another site."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.errors import TooManyAttempts, UpstreamRefused
from proxy.upstream.running import RunningProxy
from proxy.web.admin.guard import COOKIE, FAILURES, SESSION, Guard, NotForYou, NoToken
from tests.web.admin.desk import TOKEN, Desk, play

HERE = "127.0.0.1:8081"


def _guard(token: str | None = None) -> Guard:
    return Guard(token, lambda: 1000.0, hosts=frozenset({"admin.example.org"}))


@pytest.mark.parametrize(
    "host", [HERE, "[::1]:8081", "localhost:1", "admin.example.org", "10.1.2.3"]
)
def test_without_a_token_addresses_and_own_names_are_good(host: str) -> None:
    _guard().check_origin("GET", {"Host": host}, is_local=False)


@pytest.mark.parametrize("host", ["evil.example.org", "", "127.0.0.1.evil.example.org", "[::1"])
def test_without_a_token_no_other_site_can_lend_its_name(host: str) -> None:
    with pytest.raises(NotForYou):
        _guard().check_origin("GET", {"Host": host}, is_local=False)
    _guard().check_origin("GET", {"Host": host}, is_local=True)
    _guard(TOKEN).check_origin("GET", {"Host": host}, is_local=False)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": f"http://{HERE}"},
    ],
)
@pytest.mark.parametrize("token", [None, TOKEN])
def test_other_sites_change_nothing(headers: dict[str, str], token: str | None) -> None:
    with pytest.raises(NotForYou):
        _guard(token).check_origin("POST", {"Host": HERE, **headers}, is_local=False)


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{HERE}"}]
)
def test_programs_and_own_pages_may(headers: dict[str, str]) -> None:
    _guard().check_origin("DELETE", {"Host": HERE, **headers}, is_local=False)


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \udcff"]
)
def test_a_wrong_token_is_refused(given: str) -> None:
    with pytest.raises(NoToken):
        _guard(TOKEN).check_token({"Authorization": given}, {}, "192.0.2.1")


def test_the_token_and_the_session_are_good() -> None:
    guard = _guard(TOKEN)
    guard.check_token({"Authorization": f"bearer {TOKEN}"}, {}, "192.0.2.1")
    guard.check_token({}, {COOKIE: guard.session()}, "192.0.2.1")
    _guard().check_token({}, {}, "192.0.2.1")


@pytest.mark.parametrize(
    "cookie", ["", ".", "9999999999.", "9999999999.abc", "é.é", "\udcff.\udcff"]
)
def test_a_made_up_session_is_refused(cookie: str) -> None:
    with pytest.raises(NoToken):
        _guard(TOKEN).check_token({}, {COOKIE: cookie}, "192.0.2.1")


def test_a_session_of_another_server_or_yesterday_is_refused() -> None:
    with pytest.raises(NoToken):
        _guard(TOKEN).check_token({}, {COOKIE: _guard(TOKEN).session()}, "192.0.2.1")
    now = 1000.0
    guard = Guard(TOKEN, lambda: now)
    session = guard.session()
    now += SESSION + 1
    with pytest.raises(NoToken):
        guard.check_token({}, {COOKIE: session}, "192.0.2.1")


def test_a_token_for_everything_is_good_too() -> None:
    guard = Guard(TOKEN, lambda: 1000.0, holds=lambda token: token == "another")
    guard.check_token({"Authorization": "Bearer another"}, {}, "192.0.2.1")
    with pytest.raises(NoToken):
        guard.check_token({"Authorization": "Bearer others"}, {}, "192.0.2.1")


def test_tokens_cannot_be_tried_out() -> None:
    guard = _guard(TOKEN)
    for number in range(FAILURES):
        assert not guard.admits(f"{number}", "192.0.2.1")
    with pytest.raises(TooManyAttempts) as caught:
        guard.admits(TOKEN, "192.0.2.1")
    assert 0 < caught.value.retry_after <= 60
    assert guard.admits(TOKEN, "192.0.2.2")


def test_a_form_without_our_word_is_refused() -> None:
    with pytest.raises(NotForYou):
        _guard().check_word(_guard().word)


def test_without_the_token_programs_are_refused_and_people_asked(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        refused = await desk.client.get("/api/v1/overview")
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert refused.content_type == "application/problem+json"
        assert (await desk.client.get("/api/v1/nothing")).status == 401
        asked = await desk.client.get("/events?sort=refusal", allow_redirects=False)
        assert asked.status == 303
        assert asked.headers["Location"] == "/login?next=/events%3Fsort%3Drefusal"
        assert (await desk.client.get("/static/admin.css")).status == 200
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert (await desk.client.get("/api/v1/overview", headers=bearer)).status == 200

    play(tmp_path, script, token=TOKEN)


@pytest.mark.parametrize(("token", "given"), [(None, None), (TOKEN, None), (TOKEN, TOKEN)])
def test_who_looks_for_packages_here_is_told_where_he_is(
    tmp_path: Path, token: str | None, given: str | None
) -> None:
    """`pkgproxy prefetch` with this address for the proxy's."""

    async def script(desk: Desk) -> None:
        url = str(desk.client.make_url("/"))
        async with RunningProxy(url, connections=1, token=given) as running:
            with pytest.raises(UpstreamRefused, match="is the administration's address"):
                await running.mirrors()

    play(tmp_path, script, token=token)


def test_people_log_in_and_out(tmp_path: Path) -> None:
    async def script(desk: Desk) -> None:
        post = desk.client.post
        form = {"word": desk.guard.word, "next": "/events", "token": TOKEN}
        wrong = await post("/login", data={**form, "token": "x"}, allow_redirects=False)
        assert wrong.status == 403
        assert "That is not the token" in await wrong.text()
        assert (await post("/login", data={**form, "word": ""})).status == 403
        right = await post("/login", data=form, allow_redirects=False)
        assert (right.status, right.headers["Location"]) == (303, "/events")
        cookie = right.headers["Set-Cookie"]
        assert {"HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
        assert TOKEN not in cookie
        assert (await desk.client.get("/events", allow_redirects=False)).status == 200
        out = await post("/logout", data={"word": desk.guard.word}, allow_redirects=False)
        assert out.status == 303
        assert (await desk.client.get("/events", allow_redirects=False)).status == 303

    play(tmp_path, script, token=TOKEN)


@pytest.mark.parametrize("onward", ["//evil.example.org", "https://evil.example.org", "/\\e", "x"])
def test_logging_in_leads_nowhere_else(tmp_path: Path, onward: str) -> None:
    async def script(desk: Desk) -> None:
        form = {"word": desk.guard.word, "next": onward, "token": TOKEN}
        answer = await desk.client.post("/login", data=form, allow_redirects=False)
        assert answer.headers["Location"] == "/"

    play(tmp_path, script, token=TOKEN)
