"""Which credential goes with an address, whence it comes, and that it is never shown."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.config.credentials import Basic, Bearer, Credential, Header, PathToken
from proxy.core.model import Mirror
from proxy.errors import ConfigError, UpstreamFailed, UpstreamRefused
from proxy.upstream.authfile import AuthFile, OAuth, Unsupported
from proxy.upstream.credentials import EARLY, Credentials, netrc_path
from proxy.upstream.oauth import refresh as renew
from tests.lab.scripted import Answer, Scripted

HOST = "https://c.b.example.org/x"
NOW = 1_000_000.0


class Endpoint:
    """A token endpoint: counts, and answers what it is given."""

    def __init__(self, answer: Mapping[str, object] | None = None) -> None:
        self.answer = answer
        self.asked: list[OAuth] = []

    async def __call__(self, oauth: OAuth) -> Mapping[str, object]:
        self.asked.append(oauth)
        await asyncio.sleep(0)  # lets the others queue up behind this one
        assert self.answer is not None, "nothing was to be renewed"
        return self.answer


def credentials(
    *,
    named: Mapping[str, Credential] | None = None,
    auth: Path | None = None,
    netrc: Path | None = None,
    endpoint: Endpoint | None = None,
) -> Credentials:
    return Credentials(
        named=named or {},
        auth_file=auth,
        netrc_file=netrc,
        refresh=endpoint or Endpoint(),
        clock=lambda: NOW,
    )


def mirror(source: str = "https://c.b.example.org/", name: str | None = None) -> Mirror:
    return Mirror(name="a", type="conda", source=source, credentials=name)


def asked(
    found: Credentials, url: str = HOST, of: Mirror | None = None
) -> tuple[str, dict[str, str]]:
    return asyncio.run(found.for_url(url, of or mirror()))


def written(folder: Path, content: object, name: str = "auth.json") -> Path:
    path = folder / name
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def bearer(token: str) -> tuple[str, dict[str, str]]:
    return HOST, {"Authorization": f"Bearer {token}"}


def basic(user: str, password: str) -> tuple[str, dict[str, str]]:
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    return HOST, {"Authorization": f"Basic {pair}"}


# -- order -------------------------------------------------------------------------------


def test_the_sources_are_asked_in_order(tmp_path: Path) -> None:
    auth = written(tmp_path, {"c.b.example.org": {"BearerToken": "file"}})
    netrc = written(tmp_path, "machine c.b.example.org login n password netrc", "netrc")
    named = {"mine": Bearer(token="named")}
    userinfo = "https://u%40:p%3A@c.b.example.org/"
    everything = credentials(named=named, auth=auth, netrc=netrc)
    assert asked(everything, of=mirror(userinfo, "mine")) == bearer("named")
    assert asked(everything, of=mirror(userinfo)) == basic("u@", "p:")
    assert asked(everything) == bearer("file")
    assert asked(credentials(netrc=netrc)) == basic("n", "netrc")
    assert asked(credentials()) == (HOST, {})


@pytest.mark.parametrize(
    ("credential", "address", "headers"),
    [
        (Bearer(token="t"), HOST, {"Authorization": "Bearer t"}),
        (Basic(username="u", password="p"), *basic("u", "p")),
        (Basic(username="ü", password=""), *basic("ü", "")),
        (Header(name="X-API-Key", value="v"), HOST, {"X-API-Key": "v"}),
        (PathToken(token="t"), "https://c.b.example.org/t/t/x", {}),
    ],
)
def test_each_kind_is_applied(
    credential: Credential, address: str, headers: dict[str, str]
) -> None:
    found = credentials(named={"mine": credential})
    assert asked(found, of=mirror(name="mine")) == (address, headers)


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example.org/x",
        "https://c.b.example.org:8443/x",
        "https://example.org/x",
        "http://c.b.example.org/x",  # in the clear
    ],
)
def test_the_mirrors_own_credentials_stay_with_its_source(url: str) -> None:
    found = credentials(named={"mine": Bearer(token="s3cret")})
    for source in (mirror(name="mine"), mirror("https://u:s3cret@c.b.example.org/")):
        assert asked(found, url, source) == (url, {})


def test_nothing_is_sent_in_the_clear_where_the_source_is_https(tmp_path: Path) -> None:
    auth = written(tmp_path, {"*.example.org": {"BearerToken": "file"}})
    url = "http://d.example.org/x"
    assert asked(credentials(auth=auth), url) == (url, {})
    assert asked(credentials(auth=auth), url, mirror("http://d.example.org/"))[1]


def test_user_and_password_never_stay_in_the_address() -> None:
    url = "https://u:p@other.example.org/x"
    assert asked(credentials(), url) == ("https://other.example.org/x", {})


def test_credentials_that_vanished_are_named_clearly() -> None:
    found = credentials(named={"mine": Bearer(token="s3cret")})
    found.configure(named={}, auth_file=None)
    with pytest.raises(ConfigError, match=r"conda/a.*'mine'"):
        asked(found, of=mirror(name="mine"))


def test_other_credentials_are_used_after_a_reload(tmp_path: Path) -> None:
    found = credentials(named={"mine": Bearer(token="one")})
    found.configure(
        named={"mine": Bearer(token="two")},
        auth_file=written(tmp_path, {"c.b.example.org": {"BearerToken": "file"}}),
    )
    assert asked(found, of=mirror(name="mine")) == bearer("two")
    assert asked(found) == bearer("file")


# -- a token in the path -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://c.b.example.org/a/b?c=d", "https://c.b.example.org/t/tok/a/b?c=d"),
        ("https://c.b.example.org/t/tok/a", "https://c.b.example.org/t/tok/a"),
        ("https://c.b.example.org/repo/t/tok/a", "https://c.b.example.org/repo/t/tok/a"),
        ("https://c.b.example.org/lit/tle", "https://c.b.example.org/t/tok/lit/tle"),
    ],
)
def test_a_conda_token_stands_at_the_start_of_the_path_once(url: str, expected: str) -> None:
    found = credentials(named={"mine": PathToken(token="tok")})
    once, headers = asked(found, url, mirror(name="mine"))
    assert (once, headers) == (expected, {})
    assert asked(found, once, mirror(name="mine")) == (expected, {})


# -- the auth file -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("c.b.example.org", "exact"),
        ("d.c.b.example.org", "*.b"),
        ("b.example.org", "*.b"),  # a wildcard covers its own domain
        ("example.org", "*.org"),
        ("e.example.org", "*.org"),
        ("10.0.0.1", None),  # no wildcard matches an address
        ("1.2.3.4", "address"),
        ("2001:db8::1", "six"),
        ("2001:db8::2", None),
        ("example.net", None),
        ("xb.example.org", "*.org"),
    ],
)
def test_the_longest_match_by_labels_wins(tmp_path: Path, host: str, expected: str | None) -> None:
    table = {
        "c.b.example.org": "exact",
        "*.b.example.org": "*.b",
        "*.org": "*.org",
        "*.1": "never",
        "*.0.0.1": "never",
        "1.2.3.4": "address",
        "2001:db8::1": "six",
    }
    file = AuthFile(written(tmp_path, {key: {"BearerToken": it} for key, it in table.items()}))
    found = file.find(host)
    assert found == (None if expected is None else Bearer(token=expected))


def test_port_path_and_scheme_play_no_part(tmp_path: Path) -> None:
    auth = written(tmp_path, {"c.b.example.org": {"BearerToken": "file"}})
    url = "http://C.B.example.org:8080/some/where"
    _, headers = asked(credentials(auth=auth), url, mirror("http://other.example.org/"))
    assert headers == {"Authorization": "Bearer file"}


def test_every_variant_is_understood(tmp_path: Path) -> None:
    oauth = {
        "access_token": "a",
        "refresh_token": "r",
        "expires_at": 17,
        "token_endpoint": "https://e.example.org/token",
        "revocation_endpoint": None,
        "client_id": "c",
    }
    bare = {"access_token": "a", "token_endpoint": "https://e.example.org/", "client_id": "c"}
    keys = {"access_key_id": "k", "secret_access_key": "s", "session_token": None}
    file = AuthFile(
        written(
            tmp_path,
            {
                "a": {"BearerToken": "tok"},
                "b": {"BasicHTTP": {"username": "u", "password": "p"}},
                "c": {"CondaToken": "tok"},
                "d": {"S3Credentials": keys},
                "e": {"OAuth": oauth},
                "f": {"OAuth": bare},
            },
        )
    )
    assert file.find("a") == Bearer(token="tok")
    assert file.find("b") == Basic(username="u", password="p")
    assert file.find("c") == PathToken(token="tok")
    assert file.find("d") == Unsupported("S3Credentials")
    full, short = file.find("e"), file.find("f")
    assert isinstance(full, OAuth)
    assert isinstance(short, OAuth)
    assert (full.expires_at, full.refresh_token) == (17.0, "r")
    assert (short.expires_at, short.refresh_token) == (None, None)


def test_s3_credentials_are_passed_over(tmp_path: Path) -> None:
    keys = {"access_key_id": "k", "secret_access_key": "s", "session_token": None}
    auth = written(tmp_path, {"c.b.example.org": {"S3Credentials": keys}})
    netrc = written(tmp_path, "machine c.b.example.org login n password netrc", "netrc")
    assert asked(credentials(auth=auth)) == (HOST, {})
    assert asked(credentials(auth=auth, netrc=netrc)) == basic("n", "netrc")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", ""),
        ("\ud800".encode("utf-8", "surrogatepass"), ""),
        ("[]", ""),
        ('"s3cret"', ""),
        ({"h.example.org": "s3cret"}, "h.example.org"),
        ({"h.example.org": {}}, "h.example.org"),
        ({"h.example.org": {"BearerToken": "s3cret", "CondaToken": "s3cret"}}, "h.example.org"),
        ({"h.example.org": {"Unknown": "s3cret"}}, "'Unknown'"),
        ({"h.example.org": {"BearerToken": ["s3cret"]}}, "BearerToken"),
        ({"h.example.org": {"CondaToken": None}}, "CondaToken"),
        ({"h.example.org": {"BasicHTTP": {"username": "s3cret"}}}, "BasicHTTP"),
        ({"h.example.org": {"BasicHTTP": "s3cret"}}, "BasicHTTP"),
        ({"h.example.org": {"OAuth": "s3cret"}}, "OAuth"),
        ({"h.example.org": {"OAuth": {"access_token": "s3cret"}}}, "OAuth"),
        (
            {
                "h.example.org": {
                    "OAuth": {
                        "access_token": "s3cret",
                        "token_endpoint": "",
                        "client_id": "",
                        "expires_at": "s3cret",
                    }
                }
            },
            "OAuth",
        ),
    ],
)
def test_a_malformed_file_is_reported_without_its_secrets(
    tmp_path: Path, content: object, named: str
) -> None:
    path = tmp_path / "auth.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        written(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        asked(credentials(auth=path))
    assert str(path) in str(caught.value)
    assert named in str(caught.value)
    if isinstance(content, dict):
        assert "h.example.org" in str(caught.value)
    assert "s3cret" not in f"{caught.value} {caught.value!r}"


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "auth.json"
    found = credentials(auth=path)
    assert asked(found) == (HOST, {})
    written(tmp_path, {"c.b.example.org": {"BearerToken": "one"}})
    assert asked(found) == bearer("one")
    written(tmp_path, {"c.b.example.org": {"BearerToken": "three"}})
    assert asked(found) == bearer("three")
    written(tmp_path, "{")
    with pytest.raises(ConfigError):
        asked(found)
    written(tmp_path, {"c.b.example.org": {"BearerToken": "four"}})
    assert asked(found) == bearer("four")
    path.unlink()
    assert asked(found) == (HOST, {})


def test_no_repr_shows_a_secret(tmp_path: Path) -> None:
    auth = written(tmp_path, {"c.b.example.org": oauth_entry(NOW)})
    file = AuthFile(auth)
    values = [
        file.find("c.b.example.org"),
        file,
        Bearer(token="s3cret"),
        Basic(username="u", password="s3cret"),
        PathToken(token="s3cret"),
        Header(name="n", value="s3cret"),
        credentials(named={"a": Bearer(token="s3cret")}, auth=auth),
    ]
    assert "s3cret" not in repr(values)
    assert "old" not in repr(values)


# -- OAuth -------------------------------------------------------------------------------


def oauth_entry(expires_at: float | None, **more: object) -> dict[str, Any]:
    fields: dict[str, object] = {
        "access_token": "old-access",
        "refresh_token": "old-refresh",
        "expires_at": expires_at,
        "token_endpoint": "https://auth.example.org/token",
        "revocation_endpoint": "https://auth.example.org/revoke",
        "client_id": "client",
        "later_key": [1, {"kept": True}],
    }
    return {"OAuth": {**fields, **more}}


@pytest.mark.parametrize(
    ("expires_at", "refresh_token", "renewed"),
    [
        (NOW + EARLY + 1, "old-refresh", False),
        (NOW + EARLY, "old-refresh", True),
        (NOW - 1, "old-refresh", True),
        (None, "old-refresh", False),
        (NOW - 1, None, False),
    ],
)
def test_a_token_is_renewed_early_where_it_can_be(
    tmp_path: Path, expires_at: float | None, refresh_token: str | None, renewed: bool
) -> None:
    entry = oauth_entry(expires_at, refresh_token=refresh_token)
    auth = written(tmp_path, {"c.b.example.org": entry})
    endpoint = Endpoint({"access_token": "new-access", "expires_in": 3600})
    found = asked(credentials(auth=auth, endpoint=endpoint))
    assert found == bearer("new-access" if renewed else "old-access")
    assert len(endpoint.asked) == renewed


@pytest.mark.parametrize("key", ["c.b.example.org", "*.b.example.org", "*.c.b.example.org"])
def test_many_that_ask_renew_once(tmp_path: Path, key: str) -> None:
    other = {"b.example.org": {"BearerToken": "another"}} if key.startswith("*.b") else {}
    auth = written(tmp_path, {key: oauth_entry(NOW), **other})
    endpoint = Endpoint({"access_token": "new-access", "expires_in": 3600})
    found = credentials(auth=auth, endpoint=endpoint)

    async def main() -> list[tuple[str, dict[str, str]]]:
        return await asyncio.gather(*(found.for_url(HOST, mirror()) for _ in range(20)))

    assert asyncio.run(main()) == [bearer("new-access")] * 20
    assert len(endpoint.asked) == 1


def test_renewed_tokens_are_written_back_and_all_else_is_kept(tmp_path: Path) -> None:
    before = {
        "z.example.org": {"CondaToken": "kept"},
        "c.b.example.org": oauth_entry(NOW),
        "s3://bucket": {"S3Credentials": {"access_key_id": "k", "secret_access_key": "s"}},
    }
    auth = written(tmp_path, before)
    auth.chmod(0o644)
    endpoint = Endpoint(
        {"access_token": "new-access", "refresh_token": "new-refresh", "expires_in": 3600}
    )
    asked(credentials(auth=auth, endpoint=endpoint))
    after = json.loads(auth.read_bytes())
    changed = {"access_token": "new-access", "refresh_token": "new-refresh"}
    expected = oauth_entry(int(NOW) + 3600, **changed)
    assert after == {**before, "c.b.example.org": expected}
    assert list(after) == list(before)
    assert auth.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [auth]  # nothing is left over


def test_an_answer_without_an_end_is_not_asked_for_again(tmp_path: Path) -> None:
    auth = written(tmp_path, {"c.b.example.org": oauth_entry(NOW)})
    endpoint = Endpoint({"access_token": "new-access"})
    found = credentials(auth=auth, endpoint=endpoint)
    assert asked(found) == bearer("new-access")
    assert asked(found) == bearer("new-access")
    assert len(endpoint.asked) == 1
    assert endpoint.asked[0].refresh_token == "old-refresh"
    assert json.loads(auth.read_bytes())["c.b.example.org"]["OAuth"]["refresh_token"]


def test_an_answer_without_a_token_is_a_refusal(tmp_path: Path) -> None:
    auth = written(tmp_path, {"c.b.example.org": oauth_entry(NOW)})
    with pytest.raises(UpstreamRefused, match=r"c\.b\.example\.org"):
        asked(credentials(auth=auth, endpoint=Endpoint({"error": "s3cret"})))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(status=400, body=b'{"error": "invalid_grant"}'), UpstreamRefused),
        (Answer(status=401), UpstreamRefused),
        (Answer(status=302, headers={"Location": "/elsewhere"}), UpstreamFailed),
        (Answer(status=500), UpstreamFailed),
        (Answer(body=b"[]"), UpstreamFailed),
        (Answer(body=b"rubbish"), UpstreamFailed),
        (Answer(body=b"\xff\xfe"), UpstreamFailed),
        (Answer(body=b'{"a"', stop_at=2), UpstreamFailed),
        (b"rubbish\r\n\r\n", UpstreamFailed),
    ],
)
def test_a_token_endpoint_that_fails_is_reported_without_secrets(
    answer: Answer | bytes, error: type[Exception]
) -> None:
    async def main() -> None:
        async with Scripted() as server:
            server.play("/token?k=s3cretQ", answer)
            with pytest.raises(error) as caught:
                await renew(_oauth(server.url("/token?k=s3cretQ")))
            assert "s3cret" not in f"{caught.value} {caught.value!r}"
            assert server.targets == ["/token?k=s3cretQ"]

    asyncio.run(main())


def test_a_token_endpoint_is_asked_as_rfc_6749_says() -> None:
    async def main() -> None:
        async with Scripted() as server:
            server.play("/token", Answer(body=b'{"access_token": "new"}'))
            assert await renew(_oauth(server.url("/token"))) == {"access_token": "new"}
            (request,) = server.seen
            assert request.method == "POST"
            kind = request.headers["content-type"]
            assert kind.partition(";")[0] == "application/x-www-form-urlencoded"

    asyncio.run(main())


def _oauth(endpoint: str) -> OAuth:
    return OAuth(
        host="h",
        access_token="s3cretA",
        refresh_token="s3cretR",
        expires_at=0.0,
        token_endpoint=endpoint,
        client_id="c",
    )


# -- netrc -------------------------------------------------------------------------------


def test_netrc_has_an_entry_per_host_and_a_default(tmp_path: Path) -> None:
    text = "machine c.b.example.org login n password p\ndefault login d password q\n"
    found = credentials(netrc=written(tmp_path, text, "netrc"))
    assert asked(found) == basic("n", "p")
    url = "https://other.example.org/x"
    assert asked(found, url)[1] == basic("d", "q")[1]
    written(tmp_path, "machine c.b.example.org login n password other\n", "netrc")
    assert asked(found) == basic("n", "other")
    assert asked(found, url) == (url, {})
    (tmp_path / "netrc").unlink()
    assert asked(found) == (HOST, {})


@pytest.mark.parametrize(
    "text",
    ["machine h login u password p s3cret x", "s3cret", b"machine \xff\xfe s3cret", "machine"],
)
def test_a_malformed_netrc_is_reported_without_its_secrets(
    tmp_path: Path, text: str | bytes
) -> None:
    path = tmp_path / "netrc"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        asked(credentials(netrc=path))
    assert str(path) in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_netrc_is_looked_for_where_curl_looks(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert netrc_path(environ) is None
    second = written(tmp_path, "", "_netrc")
    assert netrc_path(environ) == second
    first = written(tmp_path, "", ".netrc")
    assert netrc_path(environ) == first
    given = written(tmp_path, "", "given")
    assert netrc_path({**environ, "NETRC": str(given)}) == given
    assert netrc_path({**environ, "NETRC": str(tmp_path / "none")}) is None


@pytest.mark.parametrize("reader", ["auth", "netrc"])
def test_a_folder_in_place_of_the_file_is_reported(tmp_path: Path, reader: str) -> None:
    makers: dict[str, Callable[[], Credentials]] = {
        "auth": lambda: credentials(auth=tmp_path),
        "netrc": lambda: credentials(netrc=tmp_path),
    }
    with pytest.raises(ConfigError, match=str(tmp_path)):
        asked(makers[reader]())
