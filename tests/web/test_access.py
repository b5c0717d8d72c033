"""What a client may not see is, to it, not there; what is public asks nobody for anything."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from proxy.core.model import Mirror
from proxy.core.tokens import Action, Token, Tokens, hashed, id_of, scope_of, spelt
from proxy.errors import ProxyError, TooManyAttempts, Unauthenticated, UnknownMirror, UnknownPath
from proxy.web.access import ANYBODY, Access
from proxy.web.pages import Pages
from proxy.web.paths import Mirrors
from tests.web.test_content import FILES, INDEX, Door, visit
from tests.web.twins import twins

NOW = 1_000_000.0  # what the clock of the world says
EVERYTHING = spelt("allallal", "a" * 32)
CONDA_ONLY = spelt("condaaaa", "c" * 32)
FORMER = spelt("formerrr", "f" * 32)
SCRAPER = spelt("scraperr", "m" * 32)
WRONG = spelt("allallal", "x" * 32)


def token(name: str, text: str, *scopes: str, expires: float | None = None) -> Token:
    return Token(
        name=name,
        id=id_of(text) or "",
        digest=hashed(text),
        scopes=tuple(scope_of(scope) for scope in scopes),
        created=0.0,
        expires=expires,
    )


TOKENS = Tokens(
    [
        token("everything", EVERYTHING, "read"),
        token("conda-only", CONDA_ONLY, "read:conda/*"),
        token("former", FORMER, "read", expires=NOW - 1),
        token("scraper", SCRAPER, "metrics"),
    ]
)


def closed(*public: str, failures: int = 1000) -> Access:
    return Access(lambda: NOW, public=public, tokens=TOKENS, failures=failures)


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()


def test_a_token_is_taken_wherever_a_client_puts_it(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        for path, headers in (
            (f"/t/{CONDA_ONLY}{INDEX}", {}),
            (INDEX.replace("/conda/", f"/conda/t/{CONDA_ONLY}/"), {}),
            (INDEX, {"Authorization": basic(CONDA_ONLY)}),
            (INDEX, {"Authorization": f"Bearer {CONDA_ONLY}"}),
            (INDEX, {"Authorization": f"token {CONDA_ONLY}"}),
            (INDEX, {"X_API_Key": CONDA_ONLY}),
            # One of several holds.
            (f"/t/anything{INDEX}", {"X_API_Key": CONDA_ONLY}),
        ):
            reply, _ = await door.get(path, **headers)
            assert reply.status == 200, (path, headers)
            assert door.heard.exchanges[-1].visitor.name == "conda-only"
            assert CONDA_ONLY not in repr(reply.headers)

    visit(tmp_path, script, access=closed())


@pytest.mark.parametrize("shown", ["", WRONG, FORMER, EVERYTHING[:-1], "x", "Ü"])
def test_without_a_token_that_holds_nothing_is_told_apart(tmp_path: Path, shown: str) -> None:
    async def script(door: Door) -> None:
        answers = []
        for path in (INDEX, "/conda/none/x", "/pypi/p/simple/demo/", "/nothing/at/all"):
            headers = {"Authorization": basic(shown)} if shown else {}
            reply, body = await door.get(path, **headers)
            assert reply.status == 401
            assert reply.headers["WWW-Authenticate"].startswith("Basic ")
            assert reply.headers["Cache-Control"] == "no-store"
            answers.append((sorted(set(reply.headers) - {"Date"}), body))
        assert all(answer == answers[0] for answer in answers)
        assert not door.world.upstream.asks

    visit(tmp_path, script, access=closed())


def test_what_a_token_is_not_for_answers_as_if_absent(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        hidden, its_body = await door.get("/pypi/p/simple/demo/", Authorization=basic(CONDA_ONLY))
        absent, no_body = await door.get("/pypi/q/simple/demo/", Authorization=basic(CONDA_ONLY))
        for method in ("GET", "POST", "HEAD"):
            reply, _ = await door.get("/pypi/p/", method, Authorization=basic(CONDA_ONLY))
            assert reply.status == 404, "also before the method is looked at"
        assert hidden.status == absent.status == 404
        assert its_body.replace(b"pypi/p", b"pypi/q") == no_body
        its_headers, no_headers = dict(hidden.headers), dict(absent.headers)
        for headers in (its_headers, no_headers):
            headers.pop("Date")
        assert its_headers == no_headers
        assert not door.world.upstream.asks

    visit(tmp_path, script, access=closed())


def test_a_public_mirror_looks_at_no_credential(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        for _ in range(5):
            for path, headers in (
                (INDEX, {}),
                (f"/t/{WRONG}{INDEX}", {}),
                (INDEX, {"X_API_Key": WRONG}),
            ):
                reply, _ = await door.get(path, **headers)
                assert reply.status == 200
                assert reply.headers["Cache-Control"].startswith("public")
                assert door.heard.exchanges[-1].visitor is ANYBODY
        reply, _ = await door.get("/pypi/p/simple/demo/")
        assert reply.status == 401

    visit(tmp_path, script, access=closed("conda/*", failures=1))


def test_answers_to_a_token_are_kept_by_no_shared_cache(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        for path, status in (
            (INDEX, 200),
            ("/pypi/p/simple/demo/", 200),
            ("/pypi/p/simple/Demo", 301),
            ("/pypi/p/simple/absent/", 404),
            ("/conda/c/none", 404),
            ("/nothing/at/all", 404),
        ):
            for _ in range(2):
                reply, _ = await door.get(path, X_API_Key=EVERYTHING)
                assert reply.status == status, path
                assert "public" not in reply.headers["Cache-Control"], path
                assert reply.headers["Cache-Control"].startswith("private"), path

    visit(tmp_path, script, access=closed())


def test_too_many_wrong_tokens_are_refused_unread_but_known_clients_go_on(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        assert (await door.get(INDEX, X_API_Key=CONDA_ONLY))[0].status == 200
        for _ in range(3):
            assert (await door.get(INDEX, X_API_Key=WRONG))[0].status == 401
        reply, body = await door.get(INDEX, X_API_Key=WRONG)
        assert reply.status == 429
        assert 0 < int(reply.headers["Retry-After"]) <= 20
        assert reply.headers["Content-Type"] == "application/problem+json"
        assert json.loads(body)["status"] == 429
        assert (await door.get(INDEX, X_API_Key=EVERYTHING))[0].status == 429, "a lucky guess"
        assert (await door.get(INDEX, X_API_Key=CONDA_ONLY))[0].status == 200
        assert (await door.get(INDEX))[0].status == 401, "no token is no attempt"

    visit(tmp_path, script, access=closed(failures=3))


def test_a_token_is_in_no_log_line_and_no_error(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        for path in (
            f"/t/{CONDA_ONLY}/conda/c/none",
            f"/t/{CONDA_ONLY}/",
            f"/t/{CONDA_ONLY}",
            f"/conda/t/{CONDA_ONLY}",
            f"/conda/t/{CONDA_ONLY}/",
            f"/t/{WRONG}/pypi/x",
        ):
            reply, body = await door.get(path)
            exchange = door.heard.exchanges[-1]
            told = (path, exchange, str(exchange.error), reply.headers, body, reply.reason)
            for text in (CONDA_ONLY, WRONG):
                assert text not in repr(told[1:]), path

    visit(tmp_path, script, access=closed())


def test_what_was_given_to_a_token_is_not_given_to_others_from_memory(tmp_path: Path) -> None:
    access = closed("files/*")

    async def main() -> None:
        async with twins(tmp_path, FILES, access=access) as both:
            key = {"X-API-Key": CONDA_ONLY}
            for _ in range(3):
                assert (await both.ask("GET", INDEX, key)).status == 200
                assert (await both.ask("GET", INDEX)).status == 401
                assert (await both.ask("GET", f"/t/{CONDA_ONLY}{INDEX}")).status == 200
            assert not both.shelf
            public = "/files/f/big.bin"
            for _ in range(3):
                assert (await both.ask("GET", public, {"Range": "bytes=0-9"})).status == 206
            assert len(both.shelf) == 1
            # What SIGHUP does: the mirror is not public any more.
            access.configure((), 1000)
            both.reload(None)
            assert (await both.ask("GET", public, {"Range": "bytes=0-9"})).status == 401

    asyncio.run(main())


# -- the decision by itself ---------------------------------------------------------------


def mirrors(*keys: str) -> Mirrors:
    made = []
    for key in keys:
        kind, _, name = key.partition("/")
        made.append(Mirror(type=kind, name=name, source="https://upstream.example.org/"))
    return Mirrors(made)


def request(**headers: str) -> web.Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_mocked_request("GET", "/", headers=named)


def test_the_list_of_mirrors_shows_what_the_visitor_may_see() -> None:
    known = mirrors("conda/main", "pypi/p", "files/f")

    def seen(access: Access, **headers: str) -> list[str]:
        return [mirror.key for mirror in access.visible(known, request(**headers))]

    assert seen(closed("*")) == ["conda/main", "pypi/p", "files/f"]
    assert seen(closed("files/*")) == ["files/f"]
    assert seen(closed("files/*"), X_API_Key=CONDA_ONLY) == ["conda/main", "files/f"]
    assert seen(closed(), X_API_Key=EVERYTHING) == ["conda/main", "pypi/p", "files/f"]
    assert seen(closed(), X_API_Key=SCRAPER) == []
    for headers in ({}, {"X_API_Key": WRONG}):
        with pytest.raises(Unauthenticated):
            seen(closed(), **headers)
    with pytest.raises(Unauthenticated):
        seen(closed("files/*"), X_API_Key=WRONG)


def test_the_front_page_names_no_mirror_that_is_not_for_the_visitor() -> None:
    known = mirrors("conda/main", "pypi/p")
    pages = Pages(lambda: known, lambda: b"figures", lambda: True, list, closed("pypi/*"))

    async def main() -> None:
        page = (await pages.front(request())).text
        assert page is not None
        assert "pypi/p" in page
        assert "conda/main" not in page
        assert (await pages.metrics(request())).status == 401
        assert (await pages.metrics(request(X_API_Key=EVERYTHING))).status == 404
        assert (await pages.metrics(request(Authorization=f"Bearer {SCRAPER}"))).body == b"figures"
        assert (await pages.healthz(request())).status == 200
        assert (await pages.readyz(request())).status == 200

    asyncio.run(main())


@pytest.mark.parametrize("action", [Action.WRITE, Action.ADMIN])
def test_writing_and_administration_need_a_token_even_where_all_is_public(action: Action) -> None:
    access = closed("*")
    with pytest.raises(Unauthenticated):
        access.check(action, request())
    with pytest.raises(UnknownPath):
        access.check(action, request(X_API_Key=EVERYTHING))
    access.tokens = Tokens([token("boss", EVERYTHING, "admin")])
    assert access.check(action, request(X_API_Key=EVERYTHING)).name == "boss"


@pytest.mark.parametrize(
    ("public", "open_to_all"), [((), False), (("*",), True), (("conda/*",), False)]
)
def test_whether_everything_is_public_is_known_beforehand(
    public: Iterable[str], open_to_all: bool
) -> None:
    assert closed(*public).is_open is open_to_all


def test_who_was_refused_is_counted_by_cause() -> None:
    causes: list[str] = []
    access = Access(lambda: NOW, public=(), tokens=TOKENS, failures=1, refused=causes.append)
    asked = mirrors("conda/main").find("/conda/main/x")
    for headers in ({}, {"X_API_Key": WRONG}, {"X_API_Key": WRONG}):
        with pytest.raises(ProxyError):
            access.reader(asked, request(**headers))
    assert causes == ["missing", "wrong", "limited"]


def test_a_change_of_tokens_and_settings_holds_at_once() -> None:
    known = mirrors("conda/main")
    asked = known.find("/conda/main/x")
    access = closed()
    assert access.reader(asked, request(X_API_Key=EVERYTHING)).name == "everything"
    access.tokens = Tokens()
    with pytest.raises(Unauthenticated):
        access.reader(asked, request(X_API_Key=EVERYTHING))
    access.configure(["conda/main"], 1)
    assert access.reader(asked, request()) is ANYBODY
    access.configure([], 1)
    with pytest.raises(Unauthenticated):
        access.reader(asked, request())
    with pytest.raises(Unauthenticated):
        access.reader(asked, request(X_API_Key=WRONG))
    with pytest.raises(TooManyAttempts):
        access.reader(asked, request(X_API_Key=WRONG))
    access.configure(["*"], 1)
    with pytest.raises(UnknownMirror):
        access.reader(known.find("/conda/none/x"), request())
