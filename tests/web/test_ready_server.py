"""A real server that gives answers again: counted, logged, ended by a reload, drained."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.origin import Behaviour, Origin
from tests.lab.server import MirrorConfig, ProxyServer, eventually

BODY = b"some bytes"


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "a.txt").write_bytes(BODY)
    with Origin(folder, Behaviour(cache_control="max-age=1000")) as started:
        yield started


def mirror(origin: Origin) -> MirrorConfig:
    return MirrorConfig(type="files", name="f", source=f"{origin.url}/")


class Kept:
    """One connection that is kept alive."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def get(self, path: str = "/files/f/a.txt", **headers: str) -> tuple[int, bytes]:
        self._connection.request("GET", path, headers=headers)
        reply = self._connection.getresponse()
        return reply.status, reply.read()

    def close(self) -> None:
        self._connection.close()


def test_what_lies_ready_is_counted_logged_reloaded_and_drained(
    tmp_path: Path, origin: Origin
) -> None:
    with ProxyServer(tmp_path / "proxy", [mirror(origin)]) as server:
        kept = Kept(server.port)
        for number in range(50):
            assert kept.get(**{"User-Agent": f"client {number % 2}"}) == (200, BODY)
        assert server.metric("pkgproxy_ready_answers") == 1
        asked = {"mirror": "files/f", "method": "GET", "code": "2xx"}
        assert server.metric("pkgproxy_requests_total", **asked) == 50
        assert server.metric("pkgproxy_response_bytes_total", mirror="files/f") == 50 * len(BODY)
        eventually(lambda: server.log.count(" path=/files/f/a.txt ") == 50, "all are logged")
        assert server.log.count('agent="client 1"') == 25
        server.mirrors = []
        server.write_config()
        server.signal(signal.SIGHUP)
        eventually(lambda: kept.get()[0] == 404, "the mirror is gone")
        server.mirrors = [mirror(origin)]
        server.write_config()
        server.signal(signal.SIGHUP)
        eventually(lambda: kept.get() == (200, BODY), "the mirror is back")
        kept.get()
        server.stop()
        assert server.stopped_with == 0
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            kept.get()
        kept.close()


def test_several_workers_each_have_their_own(tmp_path: Path, origin: Origin) -> None:
    with ProxyServer(tmp_path / "proxy", [mirror(origin)], workers=2) as server:
        for _ in range(20):  # the kernel chooses the worker
            kept = Kept(server.port)
            for _ in range(5):
                assert kept.get() == (200, BODY)
            kept.close()
        eventually(
            lambda: server.metric("pkgproxy_requests_total", mirror="files/f") == 100,
            "all are counted, a moment later where it is the other worker that is asked",
        )
        assert 1 <= server.metric("pkgproxy_ready_answers") <= 2
        assert server.metric("pkgproxy_upstream_requests_total", mirror="files/f") == 1
