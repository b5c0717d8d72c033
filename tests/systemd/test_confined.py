"""The server lives with what the unit leaves it: nothing that it does is forbidden there."""

from __future__ import annotations

import asyncio
import ctypes.util
import shutil
import signal
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.faults.ahead import MIRROR, Ahead
from tests.faults.bench import crashes, mirrors
from tests.faults.content import Content
from tests.faults.upstream import FaultyUpstream
from tests.faults.visitors import Tally, Visitor
from tests.lab.certificates import certificate, needs_openssl
from tests.lab.server import ProxyServer, eventually, free_port
from tests.systemd.confined import allowed

UNIT = Path(__file__).parents[2] / "systemd" / "pkgproxy.service"
CONFINED = (sys.executable, "-m", "tests.systemd.confined", str(UNIT))

needs_seccomp = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or ctypes.util.find_library("seccomp") is None,
    reason="systemd-analyze or libseccomp is missing",
)


def test_lists_are_read_as_systemd_reads_them() -> None:
    known = {"@default": ["exit"], "@a": ["x", "y", "@b"], "@b": ["z"]}
    assert allowed(["@a", "~@b", "w"], known) == {"exit", "x", "y", "w"}
    assert allowed(["@a", "~@b", "z"], known) == {"exit", "x", "y", "z"}, "what comes last counts"


@needs_seccomp
@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("print()", 0),
        ("import os; os.nice(5)", 0),
        ("import ctypes; ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)()", 0),
        ("import os; os.chroot('/')", -signal.SIGSYS),
        ("import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", -signal.SIGSYS),
        ("import mmap; mmap.mmap(-1, 4096, prot=7)", 1),
    ],
)
def test_what_is_forbidden_shows(program: str, status: int) -> None:
    done = subprocess.run(
        [*CONFINED, sys.executable, "-c", program], capture_output=True, check=False
    )
    assert done.returncode == status, done.stderr


@needs_seccomp
def test_nothing_is_forbidden_that_workers_runs_and_prefetches_need(tmp_path: Path) -> None:
    """Two workers, cold and warm, renders, a run of an active mirror, its process, a reload."""

    async def visited() -> None:
        content, tally = Content(1), Tally()
        async with FaultyUpstream(content, seed=1) as upstream, asyncio.timeout(120):
            passive, ahead = mirrors(upstream.url), Ahead(content, tmp_path / "ahead")
            like = next(one for one in passive if one.type == "pypi")
            proxy = ProxyServer(
                tmp_path / "proxy",
                [*passive, ahead.mirror(like)],
                workers=2,
                tables=ahead.tables,
                prefix=CONFINED,
            )
            await asyncio.to_thread(proxy.start)
            visitor = Visitor(proxy.url, content, tally, seed=1)
            try:
                for _ in range(2):
                    assert await visitor.everything_right(), tally.examples
                going = asyncio.create_task(ahead.go(proxy.url))
                await asyncio.to_thread(_eventually_ran, proxy, ahead)
                going.cancel()
                await asyncio.gather(going, return_exceptions=True)
                proxy.signal(signal.SIGHUP)
                await asyncio.to_thread(
                    eventually, lambda: proxy.log.count(" reloaded ") == 2, "both reload"
                )
            finally:
                await visitor.aclose()
                await asyncio.to_thread(proxy.stop)
        _lived_well(proxy)
        assert f" run mirror={MIRROR} " in proxy.log

    asyncio.run(visited())


def _eventually_ran(proxy: ProxyServer, ahead: Ahead) -> None:
    def done() -> bool:
        return "state=completed" in proxy.log and ahead.done.prefetched > 0

    eventually(done, "a run and a prefetch are over", within=60.0)


@needs_seccomp
@needs_openssl
def test_nothing_is_forbidden_that_tls_and_sockets_need(tmp_path: Path) -> None:
    made, key = certificate(tmp_path / "tls", "it")
    port = free_port()
    admin = {
        "listen": f"127.0.0.1:{port}",
        "socket": str(tmp_path / "admin.socket"),
        "tls_certificate": str(made),
        "tls_key": str(key),
    }
    proxy = ProxyServer(tmp_path / "proxy", [], tables={"admin": admin}, prefix=CONFINED)
    with proxy:
        context = ssl.create_default_context(cafile=str(made))
        url = f"https://127.0.0.1:{port}/api/v1/overview"
        with urllib.request.urlopen(url, context=context, timeout=20) as answer:
            assert answer.status == 200
    _lived_well(proxy)


def _lived_well(proxy: ProxyServer) -> None:
    assert proxy.stopped_with == 0
    assert "ended with status" not in proxy.log, proxy.log
    assert crashes(proxy.log) == []
