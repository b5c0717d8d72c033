"""What a client sends to prove who it is stays here; what upstream wants is added by the proxy."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.conftest import PASSWORD, World, write_tree
from tests.lab.channel import build_channel, tree
from tests.lab.clients import Rattler, fetch
from tests.lab.origin import Auth, Basic, Bearer, Behaviour, Origin, PathToken
from tests.lab.server import MirrorConfig, ProxyServer

pytestmark = pytest.mark.clients

SECRET = "s3cret-of-upstream"
CLIENTS_OWN = "clients-own-secret"


def test_nothing_that_identifies_a_client_reaches_upstream(world: World) -> None:
    headers = {
        "Authorization": f"Bearer {CLIENTS_OWN}",
        "Cookie": f"session={CLIENTS_OWN}",
        "Proxy-Authorization": f"Basic {CLIENTS_OWN}",
        "X-Forwarded-For": CLIENTS_OWN,
        "Referer": f"http://client.example.org/{CLIENTS_OWN}",
    }
    base = f"{world.proxy.url}/t/{CLIENTS_OWN}"
    paths = [
        "conda/usual/noarch/repodata.json",
        "conda/usual/noarch/base-1.0-0.conda",
        "pypi/full/simple/lab-core/",
        "files/tree/small-1",
    ]
    for path in paths:
        assert fetch(f"{base}/{path}", headers=headers).status == 200, path
    assert world.origin.seen
    assert CLIENTS_OWN not in repr(world.origin.seen)
    assert CLIENTS_OWN not in world.proxy.log


def test_rattler_installs_from_an_address_with_a_token(world: World, tmp_path: Path) -> None:
    channel = f"{world.proxy.url}/t/{CLIENTS_OWN}/conda/json-only"
    prefix = Rattler(tmp_path).install(channel, "app")
    assert len(list(prefix.glob("share/*/payload.bin"))) == len({it.name for it in tree()})
    assert CLIENTS_OWN not in repr(world.origin.seen)


def test_upstreams_password_is_shown_nowhere(world: World) -> None:
    fetch(f"{world.channel('usual')}/noarch/repodata.json")
    shown = [fetch(world.proxy.url + path) for path in ("/", "/metrics", "/readyz")]
    with world.upstream_stopped():
        shown.append(fetch(f"{world.channel('zst-only')}/noarch/repodata.json"))
    for reply in shown:
        assert PASSWORD not in repr(reply)
    assert PASSWORD not in world.proxy.log


@contextlib.contextmanager
def _guarded(folder: Path, auth: Auth) -> Iterator[Origin]:
    build_channel(folder / "channel")
    write_tree(folder / "tree")
    with Origin(folder, Behaviour(auth=auth)) as origin:
        yield origin


def _sources(origin: Origin, base: str, **options: str) -> list[MirrorConfig]:
    return [
        MirrorConfig(type="conda", name="lab", source=f"{base}/channel", options=options),
        MirrorConfig(type="files", name="lab", source=f"{base}/tree", options=options),
    ]


def _assert_served(proxy: ProxyServer) -> None:
    for path in ("conda/lab/noarch/repodata.json", "files/lab/small-0"):
        assert fetch(f"{proxy.url}/{path}").status == 200
    assert SECRET not in proxy.log


def test_a_token_in_the_source_url_is_used(tmp_path: Path) -> None:
    with _guarded(tmp_path / "www", PathToken(token=SECRET)) as origin:
        mirrors = _sources(origin, f"{origin.url}/t/{SECRET}")
        with ProxyServer(tmp_path / "proxy", mirrors) as proxy:
            _assert_served(proxy)
        assert {seen.path.split("/")[2] for seen in origin.seen} == {SECRET}


@pytest.mark.parametrize(
    ("auth", "entry"),
    [
        (Bearer(token=SECRET), {"BearerToken": SECRET}),
        (
            Basic(user="me", password=SECRET),
            {"BasicHTTP": {"username": "me", "password": SECRET}},
        ),
        (PathToken(token=SECRET), {"CondaToken": SECRET}),
    ],
    ids=["bearer", "basic", "token"],
)
def test_credentials_of_a_rattler_auth_file_are_used(
    tmp_path: Path, auth: Auth, entry: object
) -> None:
    auth_file = tmp_path / "auth.json"
    auth_file.write_text(json.dumps({"127.0.0.1": entry}))
    auth_file.chmod(0o600)
    tables = {"": {"auth_file": str(auth_file)}}
    with _guarded(tmp_path / "www", auth) as origin:
        mirrors = _sources(origin, origin.url)
        with ProxyServer(tmp_path / "proxy", mirrors, tables=tables) as proxy:
            _assert_served(proxy)


def test_wrong_credentials_of_ours_do_not_ask_the_client_for_a_password(tmp_path: Path) -> None:
    with _guarded(tmp_path / "www", Bearer(token=SECRET)) as origin:
        mirrors = _sources(origin, origin.url)
        with ProxyServer(tmp_path / "proxy", mirrors) as proxy:
            reply = fetch(f"{proxy.url}/files/lab/small-0")
    assert reply.status in {502, 503}
    assert "www-authenticate" not in reply.headers
