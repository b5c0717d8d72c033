"""The cache outlives the process; reloading and stopping disturb no client."""

from __future__ import annotations

import contextlib
import http.client
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.clients.conftest import ALWAYS_STALE, write_tree
from tests.lab.channel import build_channel
from tests.lab.clients import Rattler, fetch
from tests.lab.origin import Origin
from tests.lab.server import MirrorConfig, ProxyServer, eventually

pytestmark = pytest.mark.clients


@contextlib.contextmanager
def _pair(folder: Path, *, workers: int = 1) -> Iterator[tuple[Origin, ProxyServer]]:
    build_channel(folder / "www" / "channel")
    write_tree(folder / "www" / "tree")
    with Origin(folder / "www") as origin:
        mirrors = [
            MirrorConfig(type="conda", name="lab", source=f"{origin.url}/channel"),
            MirrorConfig(type="files", name="lab", source=f"{origin.url}/tree"),
        ]
        with ProxyServer(folder / "proxy", mirrors, workers=workers) as proxy:
            yield origin, proxy


@pytest.mark.parametrize("workers", [1, 2])
def test_a_restart_keeps_the_cache(tmp_path: Path, workers: int) -> None:
    with _pair(tmp_path, workers=workers) as (origin, proxy):
        Rattler(tmp_path / "cold").install(f"{proxy.url}/conda/lab", "app")
        small = fetch(f"{proxy.url}/files/lab/small-0")
        with origin.stopped():
            proxy.restart()
            Rattler(tmp_path / "after").install(f"{proxy.url}/conda/lab", "app")
            again = fetch(f"{proxy.url}/files/lab/small-0")
        assert (again.body, again.headers["etag"]) == (small.body, small.headers["etag"])


def test_a_killed_proxy_starts_again_on_its_cache(tmp_path: Path) -> None:
    with _pair(tmp_path) as (origin, proxy):
        fetch(f"{proxy.url}/files/lab/small-0")
        with origin.holding("/tree/big-0") as held, _begun(f"{proxy.url}/files/lab/big-0"):
            held.wait_reached()
            proxy.signal(signal.SIGKILL)
            proxy.wait()
        proxy.start()
        big = fetch(f"{proxy.url}/files/lab/big-0")
        assert big.body == (tmp_path / "www" / "tree" / "big-0").read_bytes()
        with origin.stopped():
            assert fetch(f"{proxy.url}/files/lab/small-0").status == 200


@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_adds_a_mirror(tmp_path: Path, workers: int) -> None:
    with _pair(tmp_path, workers=workers) as (_, proxy):
        url = f"{proxy.url}/files/added/small-0"
        assert fetch(url).status == 404
        added = replace(proxy.mirrors[1], name="added")
        proxy.mirrors.append(added)
        proxy.write_config()
        proxy.signal(signal.SIGHUP)
        # Each request is a new connection, so all workers are met with near certainty.
        eventually(
            lambda: all(fetch(url).status == 200 for _ in range(8)), "the added mirror is served"
        )


def test_a_bad_file_keeps_the_old_configuration_and_says_why(tmp_path: Path) -> None:
    with _pair(tmp_path) as (_, proxy):
        proxy.mirrors[0] = replace(proxy.mirrors[0], type="no-such-type")
        proxy.write_config()
        proxy.signal(signal.SIGHUP)
        eventually(lambda: "no-such-type" in proxy.log, "the log names the bad value")
        assert fetch(f"{proxy.url}/conda/lab/noarch/repodata.json").status == 200


def test_a_bad_file_at_start_ends_with_status_2_and_says_where(tmp_path: Path) -> None:
    mirror = MirrorConfig(type="conda", name="lab", source="not a url", options=ALWAYS_STALE)
    proxy = ProxyServer(tmp_path, [mirror])
    with pytest.raises(AssertionError, match="did not become ready"):
        proxy.start()
    assert proxy.stopped_with == 2
    assert str(proxy.config_file) in proxy.log.replace("\n", "")
    assert "source" in proxy.log


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_lets_a_running_download_finish(tmp_path: Path, workers: int) -> None:
    with _pair(tmp_path, workers=workers) as (origin, proxy):
        url = f"{proxy.url}/files/lab/big-0"
        with origin.holding("/tree/big-0") as held, _begun(url) as client:
            held.wait_reached()
            proxy.signal(signal.SIGTERM)
            eventually(lambda: _refuses(proxy), "no new connection is taken")
            held.release()
            body = client.read()
        assert body == (tmp_path / "www" / "tree" / "big-0").read_bytes()
        assert proxy.wait() == 0


@contextlib.contextmanager
def _begun(url: str) -> Iterator[http.client.HTTPResponse]:
    """A download whose header has arrived."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", parts.path)
        with connection.getresponse() as response:
            yield response


def _refuses(proxy: ProxyServer) -> bool:
    try:
        return fetch(f"{proxy.url}/readyz").status == 503
    except OSError:
        return True
