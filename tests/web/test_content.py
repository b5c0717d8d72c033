"""What a client sees of an answer: conditions, ranges, forms, errors, and bodies that end short."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest
from aiohttp import web

from proxy.core.model import Bounds
from proxy.ecosystems import ECOSYSTEMS
from proxy.errors import Denied, UpstreamFailed, UpstreamRefused
from proxy.storage.disk import DiskBlobs
from proxy.storage.ports import Blobs
from proxy.web.access import Access
from proxy.web.content import Content
from proxy.web.exchange import Exchange
from proxy.web.paths import Mirrors
from proxy.web.sending import Outlet
from tests.gateway.world import HOST, NAME, PACKAGE, World, channel, world
from tests.lab.fake_upstream import FakeFile

PAGE = json.dumps(
    {
        "meta": {"api-version": "1.1"},
        "name": "demo",
        "versions": ["1.0"],
        "files": [
            {
                "filename": "demo-1.0-py3-none-any.whl",
                "url": f"{HOST}/files/demo-1.0-py3-none-any.whl",
                "hashes": {"sha256": "a" * 64},
                "size": 10,
            }
        ],
    }
).encode()
FILES: dict[str, FakeFile | bytes] = {
    **channel(),
    f"{HOST}/simple/demo/": FakeFile(
        body=PAGE, media_type="application/vnd.pypi.simple.v1+json", etag='"p"'
    ),
    f"{HOST}/tree/big.bin": FakeFile(body=PACKAGE, etag='"strong"', media_type="text/x-log"),
}
INDEX = "/conda/c/linux-64/repodata.json"
PACKAGE_PATH = f"/conda/c/linux-64/{NAME}"
PACKAGE_URL = f"{HOST}/channel/linux-64/{NAME}"


class Heard:
    """What was told of the requests."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.fifth = asyncio.Event()

    def finished(self, exchange: Exchange, seconds: float) -> None:
        self.exchanges.append(exchange)
        if len(self.exchanges) == 5:
            self.fifth.set()

    def crashed(self, exchange: Exchange, error: Exception) -> None:
        raise AssertionError(f"crashed on {exchange.path}") from error


@dataclass
class Door:
    """A client in front of a real server over a gateway of fakes."""

    client: aiohttp.ClientSession
    world: World
    heard: Heard
    port: int

    async def get(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, path, headers=named, allow_redirects=False) as reply:
            return reply, await reply.read()


def visit(
    folder: Path,
    script: Callable[[Door], Awaitable[None]],
    files: dict[str, FakeFile | bytes] | None = None,
    access: Access | None = None,
    blobs: Callable[[Path], Blobs] = DiskBlobs,
) -> None:
    async def main() -> None:
        serving = served(folder, FILES if files is None else files, access, blobs)
        async with serving as door, asyncio.timeout(30):
            await script(door)

    asyncio.run(main())


@contextlib.asynccontextmanager
async def served(
    folder: Path,
    files: dict[str, FakeFile | bytes],
    access: Access | None = None,
    blobs: Callable[[Path], Blobs] = DiskBlobs,
) -> AsyncIterator[Door]:
    """A door before a gateway to *files*."""
    heard, outlet = Heard(), Outlet(2)
    async with world(folder, files, Bounds(), blobs) as made:
        content = Content(
            gateway=made.gateway,
            ecosystems=ECOSYSTEMS,
            mirrors=Mirrors(made.mirrors.values()),
            outlet=outlet,
            requests=heard,
            access=access or Access(lambda: made.now),
        )
        application = web.Application()
        application.router.add_route("*", "/{path:.+}", content.handle)
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        address = f"http://127.0.0.1:{port}"
        try:
            async with aiohttp.ClientSession(
                address, auto_decompress=False, skip_auto_headers=("Accept-Encoding",)
            ) as client:
                yield Door(client, made, heard, port)
        finally:
            await runner.cleanup()
            outlet.close()


def test_a_304_repeats_the_validators_and_has_no_content_type(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        for path in (INDEX, "/pypi/p/simple/demo/", "/files/f/big.bin"):
            first, _ = await door.get(path)
            again, body = await door.get(path, If_None_Match=first.headers["ETag"])
            assert (again.status, body) == (304, b"")
            assert "Content-Type" not in again.headers, path
            for name in ("ETag", "Last-Modified", "Vary", "Cache-Control"):
                if name != "Cache-Control":
                    assert again.headers.get(name) == first.headers.get(name), (path, name)
                assert (name in again.headers) == (name in first.headers), (path, name)

    visit(tmp_path, script)


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-9", 206, PACKAGE[:10]),
        ("bytes=100000-", 206, PACKAGE[100000:]),
        ("bytes=-10", 206, PACKAGE[-10:]),
        ("bytes=-99999999", 206, PACKAGE),
        ("bytes=99999999-", 416, b""),
        ("bytes=nonsense", 200, PACKAGE),
    ],
)
@pytest.mark.parametrize("path", [PACKAGE_PATH, "/files/f/big.bin"])
def test_ranges_of_a_file_cold_and_warm(
    tmp_path: Path, path: str, asked: str, status: int, expected: bytes
) -> None:
    async def script(door: Door) -> None:
        for _ in range(2):
            reply, body = await door.get(path, Range=asked)
            assert (reply.status, body) == (status, expected)
            if status == 206:
                assert reply.headers["Content-Range"].endswith(f"/{len(PACKAGE)}")
            await door.world.settled()

    visit(tmp_path, script)


def test_several_ranges_are_parts_of_one_body(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        await door.get(PACKAGE_PATH)
        await door.world.settled()
        reply, body = await door.get(PACKAGE_PATH, Range="bytes=0-9,100000-100009")
        assert reply.status == 206
        kind, _, boundary = reply.headers["Content-Type"].partition("; boundary=")
        assert kind == "multipart/byteranges"
        parts = body.split(b"--" + boundary.strip('"').encode())
        assert [part.split(b"\r\n\r\n", 1)[1][:-2] for part in parts[1:-1]] == [
            PACKAGE[:10],
            PACKAGE[100000:100010],
        ]
        assert len(body) == int(reply.headers["Content-Length"])

    visit(tmp_path, script)


def test_if_range_sends_the_whole_file_when_it_is_another_one(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        first, _ = await door.get(PACKAGE_PATH)
        await door.world.settled()
        etag = first.headers["ETag"]
        same, part = await door.get(PACKAGE_PATH, Range="bytes=0-9", If_Range=etag)
        other, whole = await door.get(PACKAGE_PATH, Range="bytes=0-9", If_Range='"another"')
        assert (same.status, part) == (206, PACKAGE[:10])
        assert (other.status, whole) == (200, PACKAGE)

    visit(tmp_path, script)


def test_head_says_what_get_says_and_has_no_body(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        for path in (INDEX, PACKAGE_PATH, "/pypi/p/simple/demo/", "/files/f/big.bin"):
            get, _ = await door.get(path)
            await door.world.settled()
            head, body = await door.get(path, "HEAD")
            assert (head.status, body) == (200, b"")
            for name in ("Content-Length", "Content-Type", "ETag", "Accept-Ranges"):
                assert head.headers.get(name) == get.headers.get(name), (path, name)

    visit(tmp_path, script)


@pytest.mark.parametrize(
    ("accept", "query", "kind"),
    [
        ("application/vnd.pypi.simple.v1+json", "", "application/vnd.pypi.simple.v1+json"),
        ("application/vnd.pypi.simple.latest+json", "", "application/vnd.pypi.simple.v1+json"),
        ("text/html;q=0.1, application/vnd.pypi.simple.v1+html", "", "vnd.pypi.simple.v1+html"),
        ("text/html", "", "text/html"),
        ("*/*", "", "text/html"),
        ("text/html", "?format=application/vnd.pypi.simple.v1%2Bjson", "v1+json"),
        ("image/png", "", None),
    ],
)
def test_a_page_comes_in_the_form_that_the_client_asks_for(
    tmp_path: Path, accept: str, query: str, kind: str | None
) -> None:
    async def script(door: Door) -> None:
        reply, body = await door.get(f"/pypi/p/simple/demo/{query}", Accept=accept)
        if kind is None:
            assert reply.status == 406
            return
        assert kind in reply.headers["Content-Type"]
        assert body.startswith(b"{" if "json" in kind else b"<!DOCTYPE")
        assert "Accept" in reply.headers["Vary"]

    visit(tmp_path, script)


def test_content_codings_are_negotiated_and_never_put_on_zst(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        plain, _ = await door.get(INDEX)
        tags = {plain.headers["ETag"]}
        for coding in ("gzip", "zstd"):
            reply, _ = await door.get(INDEX, Accept_Encoding=coding)
            assert reply.headers["Content-Encoding"] == coding
            assert "Accept-Encoding" in reply.headers["Vary"]
            tags.add(reply.headers["ETag"])
        assert len(tags) == 3
        reply, _ = await door.get(f"{INDEX}.zst", Accept_Encoding="gzip, zstd")
        assert "Content-Encoding" not in reply.headers
        reply, _ = await door.get(PACKAGE_PATH, Accept_Encoding="gzip")
        assert "Content-Encoding" not in reply.headers

    visit(tmp_path, script)


def test_a_token_in_the_path_is_accepted_and_goes_nowhere(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        for path in (f"/t/tk-123{INDEX}", INDEX.replace("/conda/", "/conda/t/tk-123/")):
            reply, _ = await door.get(path)
            assert reply.status == 200
        assert not any("tk-123" in ask.url for ask in door.world.upstream.asks)

    visit(tmp_path, script)


def test_another_spelling_of_a_project_is_redirected_to_the_one(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        for path, wanted in (
            ("/pypi/p/simple/DEMO/", "../../simple/demo/"),
            ("/pypi/p/simple/demo", "../simple/demo/"),
            ("/pypi/p/simple", "simple/"),
            # The token stays with the client, and in front of the new path.
            ("/t/tok/pypi/p/simple/Demo/?format=x", "../../simple/demo/?format=x"),
        ):
            reply, _ = await door.get(path)
            assert (reply.status, reply.headers["Location"]) == (301, wanted)
            there = urlsplit(urljoin(path, wanted)).path.replace("/t/tok", "")
            assert there in {"/pypi/p/simple/demo/", "/pypi/p/simple/"}
        reply, _ = await door.get("/pypi/p/simple%2FDEMO/")
        assert reply.status == 404

    visit(tmp_path, script)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/conda/none/linux-64/repodata.json", 404),
        ("GET", "/conda/c/linux-64/../../etc", 404),
        ("GET", "/conda/c/linux-64/repodata.json.bz2", 404),
        ("GET", "/nothing/at/all", 404),
        ("POST", INDEX, 405),
        ("DELETE", PACKAGE_PATH, 405),
    ],
)
def test_what_is_not_served_says_so_in_a_problem_document(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    async def script(door: Door) -> None:
        reply, body = await door.get(path, method)
        assert reply.status == status
        assert reply.headers["Content-Type"] == "application/problem+json"
        problem = json.loads(body)
        assert problem["status"] == status
        assert problem["title"]
        assert problem["title"] in (reply.reason or "")

    visit(tmp_path, script)


def test_a_refusal_shows_its_rule_and_reason_where_clients_look(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        reply, body = await door.get("/files/f/x.bin")
        assert reply.status == 403
        assert "no-x" in (reply.reason or "")
        assert "because" in json.loads(body)["detail"]

    error = Denied("x.bin", rule="no-x", reason="because")
    visit(tmp_path, script, {f"{HOST}/tree/x.bin": FakeFile(error=error)})  # type: ignore[arg-type]


def test_conda_is_told_503_where_others_are_told_502(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        conda, _ = await door.get(INDEX)
        files, _ = await door.get("/files/f/x.bin")
        refused, _ = await door.get("/files/f/y.bin")
        assert (conda.status, files.status, refused.status) == (503, 502, 502)
        assert "Retry-After" in conda.headers
        assert "WWW-Authenticate" not in refused.headers

    down = FakeFile(error=UpstreamFailed("down"))
    files: dict[str, FakeFile | bytes] = {
        f"{HOST}/channel/linux-64/repodata.json": down,
        f"{HOST}/channel/linux-64/repodata.json.zst": down,
        f"{HOST}/tree/x.bin": down,
        f"{HOST}/tree/y.bin": FakeFile(error=UpstreamRefused("no")),
    }
    visit(tmp_path, script, files)


def test_a_body_that_fails_on_the_way_ends_short(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        with pytest.raises(aiohttp.ClientPayloadError):
            await door.get(PACKAGE_PATH)

    wrong = {f"{HOST}/channel/linux-64/{NAME}": FakeFile(body=PACKAGE[:-1] + b"!")}
    visit(tmp_path, script, {**FILES, **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        FakeFile(body=b"y" * 1000),
        FakeFile(body=b"x" * 1000, breaks_at=500, breaking=UpstreamFailed("reset")),
    ],
)
def test_a_short_body_that_fails_on_the_way_is_an_error_that_says_so(
    tmp_path: Path, wrong: FakeFile
) -> None:
    """Nothing of it is released before all of it is right, so that its head can wait, too."""

    async def script(door: Door) -> None:
        reply, body = await door.get(PACKAGE_PATH)
        assert (reply.status, reply.content_type) == (503, "application/problem+json")
        assert json.loads(body)["status"] == 503
        assert door.heard.exchanges[0].meter.sent == len(body)

    visit(tmp_path, script, {**channel({NAME: b"x" * 1000}), PACKAGE_URL: wrong})


def test_every_answer_says_what_the_cache_did(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        paths = (INDEX, PACKAGE_PATH, "/pypi/p/simple/demo/", "/pypi/p/simple/Demo", "/files/f/no")
        for path in (*paths, "/nothing"):
            for method in ("GET", "HEAD", "PUT"):
                reply, _ = await door.get(path, method)
                assert reply.headers["Cache-Status"].startswith("pkgproxy"), (method, path)
                assert reply.headers["Server"] == "pkgproxy"
        assert len(door.heard.exchanges) == 18
        assert all(exchange.status for exchange in door.heard.exchanges)

    visit(tmp_path, script)


def test_a_client_that_has_everything_is_not_counted_as_gone(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        for _ in range(5):
            await door.get(PACKAGE_PATH, Connection="close")
        await door.heard.fifth.wait()
        assert [exchange.status for exchange in door.heard.exchanges] == [200] * 5
        assert {exchange.meter.sent for exchange in door.heard.exchanges} == {len(PACKAGE)}

    visit(tmp_path, script)


def test_a_client_that_stops_reading_holds_nobody_else_up(tmp_path: Path) -> None:
    large = bytes(32 << 20)

    async def script(door: Door) -> None:
        async with door.client.get("/files/f/large.bin") as stuck:
            await stuck.content.read(1)
            for _ in range(3):
                _, body = await door.get("/files/f/large.bin")
                assert len(body) == len(large)

    visit(tmp_path, script, {f"{HOST}/tree/large.bin": large})
