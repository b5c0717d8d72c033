"""One upstream request feeds any number of clients, and no client harms another."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest

from tests.clients.conftest import FILES, World, make_world
from tests.lab.channel import Archive, Recipe
from tests.lab.clients import Reply, fetch
from tests.lab.origin import Fault, Held
from tests.lab.server import eventually

pytestmark = pytest.mark.clients

CLIENTS = 50


def _upstream_body(world: World, name: str) -> bytes:
    return (world.origin.root / "tree" / name).read_bytes()


def _digests(bodies: list[bytes]) -> set[str]:
    """Bodies of many megabytes, as something that a failure can show."""
    return {hashlib.sha256(body).hexdigest() for body in bodies}


def _get_or_none(url: str) -> Reply | None:
    """The reply; None where its body ended early or the connection broke."""
    try:
        return fetch(url)
    except (http.client.HTTPException, ConnectionError):
        return None


async def _follow_together(url: str, held: Held) -> list[bytes]:
    """All clients read the first half while upstream is held there, then the rest."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        replies = await asyncio.gather(*(session.get(url) for _ in range(CLIENTS)))
        firsts = await asyncio.gather(*(reply.content.readany() for reply in replies))
        assert all(firsts), "a client got nothing before upstream had finished"
        held.release()
        rests = await asyncio.gather(*(reply.read() for reply in replies))
    return [first + rest for first, rest in zip(firsts, rests, strict=True)]


def test_many_clients_of_one_file_are_one_upstream_request(world: World) -> None:
    with world.origin.holding("/tree/big-0") as held:
        bodies = asyncio.run(_follow_together(world.file("big-0"), held))
    assert _digests(bodies) == _digests([_upstream_body(world, "big-0")])
    assert len(world.origin.asked("/tree/big-0")) == 1


def test_two_workers_share_one_upstream_request(tmp_path: Path) -> None:
    with make_world(tmp_path, workers=2) as world:
        with world.origin.holding("/tree/big-0") as held:
            bodies = asyncio.run(_follow_together(world.file("big-0"), held))
        assert _digests(bodies) == _digests([_upstream_body(world, "big-0")])
        assert len(world.origin.asked("/tree/big-0")) == 1


@contextlib.contextmanager
def _client_that_reads_a_little(url: str) -> Iterator[None]:
    """Inside the block, somebody has asked for *url* and reads no further; then they leave."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: lab\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        yield


def test_a_leaving_client_does_not_stop_the_fill(world: World) -> None:
    reading = _client_that_reads_a_little(world.file("big-1"))
    with world.origin.holding("/tree/big-1") as held, reading:
        held.wait_reached()
    assert fetch(world.file("big-1")).body == _upstream_body(world, "big-1")
    assert len(world.origin.asked("/tree/big-1")) == 1


def test_a_client_that_does_not_read_holds_up_nobody(world: World) -> None:
    with _client_that_reads_a_little(world.file("big-2")):
        assert fetch(world.file("big-2")).body == _upstream_body(world, "big-2")
    assert len(world.origin.asked("/tree/big-2")) == 1


def test_a_body_that_breaks_off_is_resumed_where_it_broke(world: World) -> None:
    world.origin.fail("/tree/big-3", Fault.TRUNCATE, times=1)
    assert fetch(world.file("big-3")).body == _upstream_body(world, "big-3")
    first, second = world.origin.asked("/tree/big-3")
    assert "range" not in first.headers
    assert second.headers["range"].startswith("bytes=")
    assert "if-range" in second.headers


def test_a_body_that_always_breaks_off_is_never_delivered_whole(world: World) -> None:
    world.origin.fail("/tree/small-0", Fault.TRUNCATE)
    broken = _get_or_none(world.file("small-0"))
    # Resumed often enough it may yet become whole, and then it is right.
    if broken is not None and broken.status < 500:
        assert broken.body == _upstream_body(world, "small-0")
    world.origin.heal()
    repaired = fetch(world.file("small-0"))
    assert repaired.body == _upstream_body(world, "small-0")
    assert len(repaired.body) == FILES["small-0"]


def _stored_bytes(world: World) -> list[bytes]:
    """Every file in the proxy's cache folder that is as large as a package."""
    files = (world.proxy.folder / "cache").rglob("*")
    return [path.read_bytes() for path in files if path.is_file()]


def test_a_wrong_conda_package_is_neither_delivered_whole_nor_stored(world: World) -> None:
    clib = Recipe(name="clib", subdir="linux-64", archive=Archive.BZ2)
    path = f"linux-64/{clib.filename}"
    good = (world.origin.root / "channels" / "usual" / path).read_bytes()
    _assert_refused(world, f"{world.channel('usual')}/{path}", good, f"*/{clib.filename}")


def test_a_wrong_wheel_is_neither_delivered_whole_nor_stored(world: World) -> None:
    page_url = f"{world.simple('full')}lab-big/"
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    (file,) = json.loads(fetch(page_url, headers=accept).body)["files"]
    good = world.full.files[file["filename"]].body
    _assert_refused(world, urljoin(page_url, file["url"]), good, f"*/{file['filename']}")


def _assert_refused(world: World, url: str, good: bytes, pattern: str) -> None:
    wrong = bytes(byte ^ 0xFF for byte in good)
    before = world.proxy.metric("pkgproxy_integrity_failures_total")
    world.origin.fail(pattern, Fault.CORRUPT)
    reply = _get_or_none(url)
    world.origin.heal()
    assert reply is None or reply.status >= 500
    assert wrong not in _stored_bytes(world)
    eventually(
        lambda: world.proxy.metric("pkgproxy_integrity_failures_total") > before,
        "the failure is counted",
    )


def test_an_unavailable_upstream_is_a_503_for_conda(world: World) -> None:
    world.origin.fail("/channels/zst-only/*", Fault.UNAVAILABLE)
    reply = fetch(f"{world.channel('zst-only')}/noarch/repodata.json")
    world.origin.heal()
    assert reply.status == 503
    assert reply.headers["content-type"] == "application/problem+json"
    assert fetch(f"{world.channel('zst-only')}/noarch/repodata.json").status == 200
