"""Released clients install through a closed proxy with a token, each in its own way."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.conftest import write_tree
from tests.lab.channel import build_channel, tree
from tests.lab.clients import ClientError, Conda, Pip, Rattler, Uv, fetch
from tests.lab.origin import Origin
from tests.lab.server import MirrorConfig, ProxyServer, clean_environment, eventually
from tests.lab.simple_index import build_index

pytestmark = pytest.mark.clients


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A proxy that lets nobody in without a token, and one for everything."""

    proxy: ProxyServer
    token: str

    def url(self, user: str = "") -> str:
        return self.proxy.url.replace("//", f"//{user}@") if user else self.proxy.url


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Closed]:
    folder = tmp_path_factory.mktemp("closed")
    build_channel(folder / "www" / "channel")
    build_index(folder / "www" / "index")
    write_tree(folder / "www" / "tree")
    with Origin(folder / "www") as origin, _proxied(folder / "proxy", origin) as proxy:
        yield Closed(proxy=proxy, token=create(proxy, "everything"))


@contextlib.contextmanager
def _proxied(folder: Path, origin: Origin, workers: int = 1) -> Iterator[ProxyServer]:
    mirrors = [
        MirrorConfig(type="conda", name="lab", source=f"{origin.url}/channel"),
        MirrorConfig(type="pypi", name="lab", source=f"{origin.url}/index/simple/"),
        MirrorConfig(type="files", name="tree", source=f"{origin.url}/tree/"),
        MirrorConfig(type="files", name="open", source=f"{origin.url}/tree/"),
    ]
    tables = {"access": {"public": ["files/open"], "failures": 1000}}
    with ProxyServer(folder, mirrors, workers=workers, tables=tables) as proxy:
        yield proxy


def token_command(proxy: ProxyServer, *arguments: str) -> str:
    command = [sys.executable, "-m", "proxy", "token", *arguments]
    ended = subprocess.run(
        [*command, "--config", str(proxy.config_file)],
        cwd=Path(__file__).parents[2],
        env=clean_environment(proxy.folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return ended.stdout.strip()


def create(proxy: ProxyServer, name: str, *options: str) -> str:
    """A token that every worker knows."""
    text = token_command(proxy, "create", name, *options)
    path = f"{proxy.url}/files/none/x"
    # Connections are spread over the workers.
    eventually(lambda: 401 not in [_status(path, text) for _ in range(20)], "the token is known")
    return text


def _status(url: str, token: str) -> int:
    return fetch(url, headers={"X-API-Key": token}).status


def test_pip_and_uv_install_with_the_token_as_password(closed: Closed, tmp_path: Path) -> None:
    address = f"{closed.url(f'me:{closed.token}')}/pypi/lab/simple/"
    assert (Pip(tmp_path / "pip").install(address, "lab-app") / "lab_app").is_dir()
    if Uv.executable() is not None:
        assert (Uv(tmp_path / "uv").install(address, "lab-app") / "lab_app").is_dir()


@pytest.mark.parametrize("place", ["/t/{}/pypi", "/pypi/t/{}"])
def test_pip_and_uv_install_with_the_token_in_the_path(
    closed: Closed, tmp_path: Path, place: str
) -> None:
    address = f"{closed.url()}{place.format(closed.token)}/lab/simple/"
    # Another spelling of the name is redirected, and the token stays in front.
    assert (Pip(tmp_path / "pip").install(address, "Lab_App") / "lab_app").is_dir()
    if Uv.executable() is not None:
        assert (Uv(tmp_path / "uv").install(address, "Lab_App") / "lab_app").is_dir()


def test_pip_without_a_token_installs_nothing(closed: Closed, tmp_path: Path) -> None:
    with pytest.raises(ClientError):
        Pip(tmp_path).install(f"{closed.url()}/pypi/lab/simple/", "lab-app")


@pytest.mark.parametrize("place", ["/t/{}/conda", "/conda/t/{}"])
def test_conda_and_rattler_install_with_the_token_in_the_path(
    closed: Closed, tmp_path: Path, place: str
) -> None:
    channel = f"{closed.url()}{place.format(closed.token)}/lab"
    prefix = Rattler(tmp_path / "rattler").install(channel, "app")
    assert len(list(prefix.glob("share/*/payload.bin"))) == len({it.name for it in tree()})
    if Conda.executable() is not None:
        prefix = Conda(tmp_path / "conda").install(channel, "app")
        assert list(prefix.glob("share/*/payload.bin"))


def test_conda_and_rattler_install_with_the_token_as_password(
    closed: Closed, tmp_path: Path
) -> None:
    channel = f"{closed.url(f'me:{closed.token}')}/conda/lab"
    prefix = Rattler(tmp_path / "rattler").install(channel, "app")
    assert list(prefix.glob("share/*/payload.bin"))
    if Conda.executable() is not None:
        prefix = Conda(tmp_path / "conda").install(channel, "app")
        assert list(prefix.glob("share/*/payload.bin"))


@pytest.mark.parametrize("kind", ["BearerToken", "CondaToken", "BasicHTTP"])
def test_rattler_finds_its_token_in_an_auth_file(closed: Closed, tmp_path: Path, kind: str) -> None:
    entry = {"username": "me", "password": closed.token} if kind == "BasicHTTP" else closed.token
    auth_file = tmp_path / "auth.json"
    auth_file.write_text(json.dumps({"127.0.0.1": {kind: entry}}))
    script = """
import asyncio, os, sys, rattler
async def main(channel, cache):
    client = rattler.Client.authenticated_client()
    gateway = rattler.Gateway(cache_dir=cache, client=client)
    channels = [rattler.Channel(channel)]
    found = await rattler.solve(
        channels, ["app"], gateway=gateway, platforms=["linux-64", "noarch"]
    )
    print(len(found), flush=True)
    os._exit(0)  # threads of rattler's may still run, which an ordinary end does not survive
asyncio.run(main(*sys.argv[1:]))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, f"{closed.url()}/conda/lab", str(tmp_path / "cache")],
        env={**clean_environment(tmp_path), "RATTLER_AUTH_FILE": str(auth_file)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 1


def test_a_revoked_token_is_refused_within_seconds_by_every_worker(tmp_path: Path) -> None:
    write_tree(tmp_path / "www" / "tree")
    with Origin(tmp_path / "www") as origin, _proxied(tmp_path / "p", origin, workers=2) as proxy:
        url = f"{proxy.url}/files/tree/small-1"
        text = create(proxy, "short-lived", "--scope", "read:files/*")
        assert [_status(url, text) for _ in range(20)] == [200] * 20
        assert [_status(f"{proxy.url}/pypi/lab/simple/", text) for _ in range(4)] == [404] * 4
        token_command(proxy, "revoke", "short-lived")
        revoked = time.monotonic()
        eventually(lambda: [_status(url, text) for _ in range(20)] == [401] * 20, "it is refused")
        assert time.monotonic() - revoked < 10
        proxy.token = create(proxy, "scraper", "--scope", "metrics")
        assert proxy.metric("pkgproxy_token_requests_total", token="short-lived", code="2xx") >= 20
        assert proxy.metric("pkgproxy_access_refused_total", cause="wrong") >= 20
        assert text not in proxy.log
        assert "by=short-lived" in proxy.log


def test_what_is_public_needs_no_token_and_the_rest_does_after_a_reload(closed: Closed) -> None:
    assert fetch(f"{closed.url()}/files/open/small-0").status == 200
    assert fetch(f"{closed.url()}/files/tree/small-0").status == 401
    assert fetch(f"{closed.url()}/metrics").status == 401
    front = fetch(f"{closed.url()}/").body.decode()
    assert "files/open" in front
    assert "conda/lab" not in front


def test_no_token_is_in_the_log(closed: Closed) -> None:
    fetch(f"{closed.url()}/t/{closed.token}/files/tree/small-2")
    fetch(f"{closed.url()}/files/tree/small-2?token={closed.token}")
    assert closed.token not in closed.proxy.log
    assert "by=everything" in closed.proxy.log
