"""The client against a server that misbehaves on purpose: statuses, redirects, bodies, secrets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from proxy.config.credentials import Basic, Bearer, Credential, PathToken
from proxy.config.upstream_settings import UpstreamSettings
from proxy.core.model import Bounds, Mirror, Validators
from proxy.errors import (
    ConfigError,
    Offline,
    UpstreamError,
    UpstreamFailed,
    UpstreamForbidden,
    UpstreamMissing,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamTimeout,
)
from proxy.upstream.client import REDIRECTS, AiohttpUpstream
from proxy.upstream.credentials import Credentials
from proxy.upstream.heads import target
from proxy.upstream.port import Ask
from tests.lab.scripted import Answer, Exchange, Scripted, Step

BODY = bytes(range(256)) * 64
STRONG = {"ETag": '"one"'}
DATED = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
QUICK = UpstreamSettings(trust_env=False, connect_timeout=5.0, read_timeout=5.0, backoff=1.0)


@dataclass(slots=True)
class Heard:
    """What the client told its observer, and how long it wanted to sleep."""

    outcomes: list[str] = field(default_factory=list)
    retries: list[str] = field(default_factory=list)
    bytes: int = 0
    waits: list[float] = field(default_factory=list)
    rests: list[float] = field(default_factory=list)
    down: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    returned: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def requested(self, mirror: str, outcome: str, seconds: float) -> None:
        self.outcomes.append(outcome)

    def received(self, mirror: str, count: int) -> None:
        self.bytes += count

    def retried(self, mirror: str, cause: str) -> None:
        self.retries.append(cause)

    def tripped(self, host: str, error: UpstreamError) -> None:
        self.down.append(host)

    def closed(self, host: str, cause: str, seconds: float) -> None:
        self.back.append(f"{host} {cause}")
        self.returned.set()

    async def rest(self, seconds: float) -> None:
        """Until the test says that it is over."""
        self.rests.append(seconds)
        await self.over.acquire()

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


class Names(AbstractResolver):
    """Leads every name to 127.0.0.1, but those of `unknown` nowhere."""

    def __init__(self, *unknown: str) -> None:
        self._unknown = unknown
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        self.asked.append(host)
        if host in self._unknown:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=0,
            )
        ]

    async def close(self) -> None:
        pass


@dataclass(slots=True)
class Lab:
    """A client, the server it talks to, and a mirror of that server."""

    server: Scripted
    client: AiohttpUpstream
    mirror: Mirror
    heard: Heard
    names: Names

    def ask(self, path: str, **more: Any) -> Ask:
        return Ask(mirror=self.mirror, url=self.server.url(path), **more)

    async def get(self, ask: Ask | str) -> bytes:
        ask = self.ask(ask) if isinstance(ask, str) else ask
        async with self.client.open(ask) as reply:
            return b"".join([chunk async for chunk in reply.chunks])

    async def status(self, ask: Ask) -> int:
        async with self.client.open(ask) as reply:
            return reply.status


@asynccontextmanager
async def lab(
    settings: UpstreamSettings = QUICK,
    *,
    source: Callable[[Scripted], str] | None = None,
    named: dict[str, Credential] | None = None,
    allow: frozenset[str] = frozenset(),
    unknown: tuple[str, ...] = (),
) -> AsyncIterator[Lab]:
    async def refresh(_: object) -> dict[str, object]:
        raise AssertionError("nothing to renew")

    heard, names = Heard(), Names(*unknown)
    async with Scripted() as server:
        mirror = Mirror(
            name="lab",
            type="files",
            source=source(server) if source else server.url("/"),
            credentials=next(iter(named), None) if named else None,
            allow_hosts=allow,
        )
        client = AiohttpUpstream(
            settings,
            authority=Credentials(
                named=named or {}, auth_file=None, netrc_file=None, refresh=refresh
            ),
            observer=heard,
            sleep=heard.sleep,
            rest=heard.rest,
            dice=lambda: 0.5,
            resolver=lambda: names,
        )
        try:
            yield Lab(server, client, mirror, heard, names)
        finally:
            await client.aclose()


def run(test: Callable[[Lab], Awaitable[None]], **options: Any) -> None:
    """Run *test* in a lab of its own; what hangs fails."""

    async def main() -> None:
        async with asyncio.timeout(20), lab(**options) as it:
            await test(it)

    asyncio.run(main())


# -- statuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "requests"),
    [
        (404, UpstreamMissing, 1),
        (410, UpstreamMissing, 1),
        (401, UpstreamRefused, 1),
        (403, UpstreamRefused, 1),
        (418, UpstreamFailed, 1),
        (206, UpstreamFailed, 1),
        (304, UpstreamFailed, 1),
        (429, UpstreamThrottled, 3),
        (500, UpstreamFailed, 3),
        (502, UpstreamFailed, 3),
        (503, UpstreamFailed, 3),
    ],
)
def test_a_status_becomes_one_of_our_errors(
    status: int, error: type[UpstreamError], requests: int
) -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", Answer(status=status))
        with pytest.raises(error) as caught:
            await it.get("/x")
        assert type(caught.value) is error
        assert str(status) in str(caught.value)
        assert len(it.server.seen) == requests
        assert it.heard.outcomes == [error.__name__]

    run(test)


def test_nothing_is_sent_for_a_mirror_that_is_offline() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", Answer(body=BODY))
        it.mirror = replace(it.mirror, bounds=Bounds(offline=True))
        with pytest.raises(Offline, match="files/lab is offline"):
            await it.get("/x")
        assert it.server.connections == 0

    run(test)


def test_gone_is_told_from_not_found() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/gone", Answer(status=410))
        for path, gone in (("/gone", True), ("/never", False)):
            with pytest.raises(UpstreamMissing) as caught:
                await it.get(path)
            assert caught.value.gone is gone

    run(test)


def test_a_body_arrives_whole_with_its_head() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", Answer(body=BODY, headers={**STRONG, "X-Some": "Thing"}))
        async with it.client.open(it.ask("/x")) as reply:
            assert (reply.status, reply.length, reply.url) == (200, len(BODY), it.server.url("/x"))
            assert reply.headers["etag"] == '"one"'
            assert reply.headers["x-some"] == "Thing"
            assert b"".join([chunk async for chunk in reply.chunks]) == BODY
        assert it.heard.bytes == len(BODY)
        assert it.heard.outcomes == ["ok"]

    run(test)


def test_unchanged_is_an_answer_where_it_was_asked_for() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", Answer(status=304, headers=STRONG))
        known = Validators(etag='"one"', last_modified=DATED["Last-Modified"])
        assert await it.status(it.ask("/x", validators=known)) == 304
        assert it.server.seen[0].headers["if-none-match"] == '"one"'
        assert it.server.seen[0].headers["if-modified-since"] == DATED["Last-Modified"]
        assert it.heard.outcomes == ["unchanged"]

    run(test)


def test_a_range_is_passed_on_and_its_part_accepted() -> None:
    async def test(it: Lab) -> None:
        part = Answer(status=206, body=b"bc", headers={"Content-Range": "bytes 1-2/9"})
        it.server.play("/x", part)
        async with it.client.open(it.ask("/x", byte_range="bytes=1-2")) as reply:
            assert (reply.status, reply.length) == (206, 2)
            assert reply.headers["content-range"] == "bytes 1-2/9"
        assert it.server.seen[0].headers["range"] == "bytes=1-2"

    run(test)


def test_a_head_has_a_length_and_no_body() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", Answer(body=BODY))
        async with it.client.open(it.ask("/x", method="HEAD")) as reply:
            assert reply.length == len(BODY)
            assert [chunk async for chunk in reply.chunks] == []

    run(test)


@pytest.mark.parametrize("raw", [b"rubbish\r\n\r\n", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", b""])
def test_rubbish_instead_of_a_head_is_a_failure(raw: bytes) -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", raw)
        with pytest.raises(UpstreamFailed):
            await it.get("/x")

    run(test)


# -- patience ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "expected"),
    [("120", 120.0), ("0", 0.0), ("9999999999", 86400.0), ("later", None), ("²", None)],
)
def test_retry_after_in_seconds(status: int, value: str, expected: float | None) -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", Answer(status=status, headers={"Retry-After": value}))
        with pytest.raises(UpstreamError) as caught:
            await it.get("/x")
        if status == 503 and expected is None:
            assert type(caught.value) is UpstreamFailed
        else:
            assert isinstance(caught.value, UpstreamThrottled)
            assert caught.value.retry_after == expected

    run(test)


@pytest.mark.parametrize(("ahead", "expected"), [(3600, 3600), (-3600, 0), (10**7, 86400)])
def test_retry_after_as_a_date(ahead: float, expected: float) -> None:
    async def test(it: Lab) -> None:
        date = formatdate(time.time() + ahead, usegmt=True)
        it.server.play("/x", Answer(status=429, headers={"Retry-After": date}))
        with pytest.raises(UpstreamThrottled) as caught:
            await it.get("/x")
        assert caught.value.retry_after == pytest.approx(expected, abs=30)

    run(test)


def test_a_failure_is_asked_again_with_growing_waits() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", Answer(status=500), Answer(status=502), Answer(body=BODY))
        assert await it.get("/x") == BODY
        assert it.heard.waits == [0.5, 1.0]
        assert it.heard.retries == ["UpstreamFailed", "UpstreamFailed"]
        assert it.heard.outcomes == ["ok"]

    run(test)


def test_a_short_retry_after_is_honoured_and_a_long_one_passed_on() -> None:
    async def test(it: Lab) -> None:
        short = Answer(status=429, headers={"Retry-After": "4"})
        it.server.play("/x", short, Answer(body=BODY))
        assert await it.get("/x") == BODY
        assert it.heard.waits == [4.0]
        it.server.play("/y", Answer(status=503, headers={"Retry-After": "40"}))
        with pytest.raises(UpstreamThrottled):
            await it.get("/y")
        assert it.heard.waits == [4.0]
        assert it.server.targets == ["/x", "/x", "/y"]

    run(test)


# -- redirects ---------------------------------------------------------------------------


def moved(location: str, status: int = 302) -> Answer:
    return Answer(status=status, headers={"Location": location})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_relative_redirect_is_followed(status: int) -> None:
    async def test(it: Lab) -> None:
        it.server.play("/a/b", moved("../c?d=e", status))
        it.server.play("/c?d=e", Answer(body=BODY))
        async with it.client.open(it.ask("/a/b")) as reply:
            assert reply.url == it.server.url("/c?***")
            assert b"".join([chunk async for chunk in reply.chunks]) == BODY

    run(test)


def test_a_loop_of_redirects_ends() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", moved("/x"))
        with pytest.raises(UpstreamFailed, match=f"more than {REDIRECTS}"):
            await it.get("/x")
        assert len(it.server.seen) == REDIRECTS

    run(test)


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("", UpstreamFailed),
        ("http://[::1", UpstreamFailed),
        ("http://other.example.org:99999/", UpstreamForbidden),
        ("http://127.0.0.1:port/", UpstreamForbidden),
        ("file:///etc/passwd", UpstreamForbidden),
        ("http://localhost:22/", UpstreamForbidden),
    ],
)
def test_a_redirect_to_a_bad_address_is_refused(location: str, error: type[UpstreamError]) -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", moved(location))
        with pytest.raises(error):
            await it.get("/x")
        assert set(it.server.targets) == {"/x"}

    run(test)


def test_https_is_never_left_for_http() -> None:
    secure = "https://a.example.org/x"
    assert target(secure, "/y") == "https://a.example.org/y"
    assert target("http://a.example.org/", secure) == secure
    for location in ("http://a.example.org/x", "http://b.example.org/", "ftp://a.example.org/"):
        with pytest.raises(UpstreamForbidden):
            target(secure, location)


def test_credentials_stay_with_their_host_and_port() -> None:
    async def test(it: Lab) -> None:
        async with Scripted() as other:
            elsewhere = [other.url("/y"), it.server.url("/y", host="localhost")]
            for number, place in enumerate(elsewhere):
                it.server.play(f"/x{number}", moved(place))
                it.server.play("/y", Answer(body=BODY))
                other.play("/y", Answer(body=BODY))
                assert await it.get(f"/x{number}") == BODY
            asked = {
                (request.target, request.headers.get("authorization"))
                for request in it.server.seen + other.seen
            }
        assert asked == {("/x0", "Bearer s3cret"), ("/x1", "Bearer s3cret"), ("/y", None)}

    allow = frozenset({"localhost"})
    run(test, named={"mine": Bearer(token="s3cret")}, allow=allow)


def test_credentials_are_found_anew_when_a_redirect_comes_back() -> None:
    async def test(it: Lab) -> None:
        away = it.server.url("/away", host="localhost")
        it.server.play("/x", moved(away))
        it.server.play("/away", moved(it.server.url("/back")))
        it.server.play("/back", Answer(body=BODY))
        assert await it.get("/x") == BODY
        found = [request.headers.get("authorization") for request in it.server.seen]
        assert found == ["Bearer s3cret", None, "Bearer s3cret"]

    run(test, named={"mine": Bearer(token="s3cret")}, allow=frozenset({"localhost"}))


def test_an_anonymous_ask_carries_no_credentials() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", Answer(body=BODY))
        await it.get(replace(it.ask("/x", anonymous=True), url=it.mirror.source + "x"))
        assert "authorization" not in it.server.seen[0].headers

    run(test, source=lambda server: server.url("/", host="u:s3cret@127.0.0.1"))


def test_cookies_are_never_sent_back() -> None:
    async def test(it: Lab) -> None:
        cookie = {"Set-Cookie": "session=1; Path=/"}
        it.server.play("/x", Answer(status=302, headers={**cookie, "Location": "/y"}))
        it.server.play("/y", Answer(body=BODY, headers=cookie))
        for path in ("/x", "/y"):
            await it.get(Ask(mirror=it.mirror, url=it.server.url(path, host="localhost")))
        assert all("cookie" not in request.headers for request in it.server.seen)
        assert len(it.server.seen) == 3

    # By name: a jar would take none from a bare address.
    run(test, source=lambda server: server.url("/", host="localhost"))


# -- bodies that break -------------------------------------------------------------------


def part(first: int, headers: dict[str, str], *, total: int = len(BODY)) -> Answer:
    span = {"Content-Range": f"bytes {first}-{total - 1}/{total}"}
    return Answer(status=206, body=BODY[first:], headers={**span, **headers})


@pytest.mark.parametrize(
    ("headers", "if_range"),
    [
        (STRONG, '"one"'),
        (DATED, DATED["Last-Modified"]),
        ({**STRONG, **DATED}, '"one"'),
        ({"ETag": 'W/"weak"', **DATED}, DATED["Last-Modified"]),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_a_broken_body_is_resumed(
    headers: dict[str, str], if_range: str, chunked: bool, reset: bool
) -> None:
    async def test(it: Lab) -> None:
        broken = Answer(body=BODY, headers=headers, stop_at=1000, chunked=chunked, reset=reset)

        async def rest(exchange: Exchange) -> None:
            first = int(exchange.request.headers["range"].removeprefix("bytes=").rstrip("-"))
            answer = part(first, headers)
            await exchange.send(answer.head() + answer.body)

        it.server.play("/x", broken, rest)
        assert await it.get("/x") == BODY
        assert it.server.seen[1].headers["if-range"] == if_range
        assert it.heard.retries == ["resume_UpstreamFailed"]

    run(test)


def test_a_body_without_validators_is_not_joined_unless_verified() -> None:
    async def test(it: Lab) -> None:
        broken = Answer(body=BODY, stop_at=1000)
        it.server.play("/x", broken, Answer(body=BODY))
        with pytest.raises(UpstreamFailed, match="broke off"):
            await it.get("/x")
        assert len(it.server.seen) == 1
        it.server.play("/y", broken, Answer(body=BODY))
        assert await it.get(it.ask("/y", verified=True)) == BODY
        assert it.server.seen[2].headers["range"] == "bytes=1000-"
        assert "if-range" not in it.server.seen[2].headers

    run(test)


@pytest.mark.parametrize(
    "second",
    [
        Answer(body=BODY[::-1], headers={"ETag": '"two"'}),  # If-Range did not match
        part(1001, STRONG),
        part(1000, STRONG, total=len(BODY) - 1),
        part(1000, {"ETag": '"two"'}),  # a server that does not heed If-Range
        Answer(status=206, body=BODY[1000:], headers=STRONG),
        Answer(status=416),
        Answer(status=304),
    ],
)
def test_a_file_that_changed_meanwhile_is_an_error(second: Answer) -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", Answer(body=BODY, headers=STRONG, stop_at=1000), second)
        with pytest.raises(UpstreamFailed) as caught:
            await it.get("/x")
        assert not caught.value.retryable
        assert len(it.server.seen) == 2

    run(test)


def test_a_range_of_absurd_numbers_is_another_place() -> None:
    async def test(it: Lab) -> None:
        absurd = {**STRONG, "Content-Range": f"bytes {'9' * 9000}-{'9' * 9000}/{'9' * 9000}"}
        it.server.play(
            "/x",
            Answer(body=BODY, headers=STRONG, stop_at=100),
            Answer(status=206, body=BODY[100:], headers=absurd),
        )
        with pytest.raises(UpstreamFailed, match="resumed at another place"):
            await it.get("/x")

    run(test)


def test_a_file_that_vanished_meanwhile_is_missing() -> None:
    async def test(it: Lab) -> None:
        broken = Answer(body=BODY, headers=STRONG, stop_at=1000)
        it.server.play("/x", broken, Answer(status=404))
        with pytest.raises(UpstreamMissing):
            await it.get("/x")

    run(test)


@pytest.mark.parametrize("second", [BODY[:10], BODY + b"more", BODY[:-1]])
def test_a_verified_file_of_another_size_ends_in_an_error(second: bytes) -> None:
    async def test(it: Lab) -> None:
        broken = Answer(body=BODY, stop_at=1000)
        it.server.play("/x", broken, Answer(body=second))
        with pytest.raises(UpstreamFailed):
            await it.get(it.ask("/x", verified=True))
        assert len(it.server.seen) < 20

    run(test)


def test_resumes_without_progress_are_bounded() -> None:
    async def test(it: Lab) -> None:
        def stuck(first: int) -> Answer:
            return replace(part(first, STRONG), stop_at=0)

        it.server.play("/x", Answer(body=BODY, headers=STRONG, stop_at=1000), stuck(1000))
        with pytest.raises(UpstreamFailed):
            await it.get("/x")
        assert len(it.server.seen) == 1 + QUICK.resumes
        assert it.heard.waits == [0.5, 1.0, 1.5, 2.0, 2.5]

    run(test)


def drip(piece: bytes, head: bytes = b"") -> Step:
    """A server that sends *piece* again and again, a little too slowly, after *head*."""

    async def act(exchange: Exchange) -> None:
        await exchange.send(head)
        while True:
            await exchange.send(piece)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await exchange.left()
                    return

    return act


IMPATIENT = replace(QUICK, attempts=1, connect_timeout=0.1, read_timeout=0.1, slowest=1024)


@pytest.mark.parametrize("verified", [False, True])
def test_a_body_that_only_drips_is_given_up(verified: bool) -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", drip(b"x", Answer(body=BODY, headers=STRONG).head()))
        with pytest.raises(UpstreamTimeout, match="sends too slowly"):
            await it.get(it.ask("/x", verified=verified))
        assert len(it.server.seen) == 1

    run(test, settings=IMPATIENT)


def test_a_body_that_drips_by_connections_is_given_up() -> None:
    async def test(it: Lab) -> None:
        async def bit(exchange: Exchange) -> None:
            given = exchange.request.headers.get("range", "bytes=0-")
            first = int(given.removeprefix("bytes=").rstrip("-"))
            answer = part(first, STRONG) if first else Answer(body=BODY, headers=STRONG)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await exchange.left()
            await exchange.send(answer.head() + BODY[first : first + 1])

        it.server.play("/x", bit)
        with pytest.raises(UpstreamTimeout, match="sends too slowly"):
            await it.get("/x")

    run(test, settings=IMPATIENT)


def test_a_slow_body_that_is_fast_enough_arrives() -> None:
    async def test(it: Lab) -> None:
        size = 100
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n"
        it.server.play("/x", drip(b"x" * size, head))
        assert await it.get("/x") == b"x" * 2000

    run(test, settings=IMPATIENT)


def test_a_client_s_own_pace_does_not_count() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", Answer(body=BODY))
        async with it.client.open(it.ask("/x")) as reply:
            whole = b""
            async for chunk in reply.chunks:
                whole += chunk
                await asyncio.sleep(0.3)  # a client that takes its time is what this is about
        assert whole == BODY

    run(test, settings=replace(IMPATIENT, slowest=1 << 30))


def test_a_head_that_drips_hits_its_deadline() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", drip(b"x: y\r\n", b"HTTP/1.1 200 OK\r\n"))
        with pytest.raises(UpstreamTimeout, match="did not answer in time"):
            await it.get("/x")

    run(test, settings=IMPATIENT)


def test_progress_starts_the_count_anew() -> None:
    async def test(it: Lab) -> None:
        async def bit(exchange: Exchange) -> None:
            given = exchange.request.headers.get("range", "bytes=0-")
            first = int(given.removeprefix("bytes=").rstrip("-"))
            answer = part(first, STRONG) if first else Answer(body=BODY, headers=STRONG)
            await exchange.send(answer.head() + BODY[first : first + 1024])

        it.server.play("/x", bit)
        assert await it.get("/x") == BODY
        assert len(it.server.seen) == len(BODY) // 1024 > QUICK.resumes

    run(test)


# -- content codings ---------------------------------------------------------------------


def test_a_compressed_body_is_asked_for_only_with_accept_and_has_no_length() -> None:
    async def test(it: Lab) -> None:
        packed = {"Content-Encoding": "gzip"}
        it.server.play("/x", Answer(body=gzip.compress(BODY), headers=packed))
        async with it.client.open(it.ask("/x", headers={"accept": "text/html"})) as reply:
            assert reply.length is None
            assert b"".join([chunk async for chunk in reply.chunks]) == BODY
        it.server.play("/y", Answer(body=BODY))
        await it.get("/y")
        index, file = (request.headers for request in it.server.seen)
        assert (index["accept"], index["accept-encoding"]) == ("text/html", "gzip")
        assert (file["accept"], file["accept-encoding"]) == ("*/*", "identity")

    run(test)


def test_a_compressed_body_that_breaks_is_not_joined() -> None:
    async def test(it: Lab) -> None:
        headers = {"Content-Encoding": "gzip", **STRONG}
        body = gzip.compress(BODY)
        it.server.play("/x", Answer(body=body, headers=headers, stop_at=len(body) // 2))
        with pytest.raises(UpstreamFailed):
            await it.get(it.ask("/x", headers={"accept": "text/html"}))
        assert len(it.server.seen) == 1

    run(test)


# -- deadlines and connections -----------------------------------------------------------

SHORT = replace(QUICK, read_timeout=0.1, attempts=2, resumes=1)


def test_a_stalled_head_hits_its_deadline() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", Answer(hold=asyncio.Event()))
        with pytest.raises(UpstreamTimeout):
            await it.get("/x")
        assert it.heard.retries == ["UpstreamTimeout"]

    run(test, settings=SHORT)


def test_a_stalled_body_hits_its_deadline() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/x", Answer(body=BODY, hold=asyncio.Event(), hold_at=1000))
        with pytest.raises(UpstreamTimeout):
            await it.get("/x")

    run(test, settings=SHORT)


def test_a_stalled_body_with_a_validator_is_resumed() -> None:
    async def test(it: Lab) -> None:
        stalled = Answer(body=BODY, headers=STRONG, hold=asyncio.Event(), hold_at=1000)
        it.server.play("/x", stalled, part(1000, STRONG))
        assert await it.get("/x") == BODY
        assert it.heard.retries == ["resume_UpstreamTimeout"]

    run(test, settings=SHORT)


def test_a_refused_connection_is_a_failure() -> None:
    async def test(it: Lab) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))  # bound, but not listening
            port = unused.getsockname()[1]
            with pytest.raises(UpstreamFailed):
                await it.get(Ask(mirror=it.mirror, url=f"http://127.0.0.1:{port}/x"))

    run(test)


def test_a_name_that_does_not_resolve_is_a_failure() -> None:
    async def test(it: Lab) -> None:
        with pytest.raises(UpstreamFailed, match="Name or service not known"):
            await it.get(Ask(mirror=it.mirror, url="https://nowhere.example.org/x"))
        assert it.names.asked

    run(test, unknown=("nowhere.example.org",))


def test_leaving_in_the_middle_ends_the_connection() -> None:
    async def test(it: Lab) -> None:
        ended = asyncio.Event()

        async def watched(exchange: Exchange) -> None:
            await exchange.send(Answer(body=BODY).head() + BODY[:100])
            await exchange.left()
            ended.set()

        it.server.play("/x", watched)
        async with it.client.open(it.ask("/x")) as reply:
            assert await anext(aiter(reply.chunks))
        await ended.wait()

    run(test)


def test_a_bad_ca_bundle_is_a_mistake_of_the_operator(tmp_path: Path) -> None:
    settings = replace(QUICK, ca_bundle=tmp_path / "none.pem")
    with pytest.raises(ConfigError, match=r"ca_bundle: .*none\.pem"):
        run(_nothing, settings=settings)


async def _nothing(it: Lab) -> None:
    pass


# -- trust -------------------------------------------------------------------------------


def test_what_one_mirror_trusts_no_other_mirror_reaches() -> None:
    """Neither by a name that was resolved nor by a connection that is still open."""

    async def test(it: Lab) -> None:
        it.server.play("/x", Answer(body=BODY))
        inside = f"http://inside.example.org:{it.server.port}"
        owner = Mirror(name="owner", type="files", source=f"{inside}/")
        url = f"{inside}/x"
        assert await it.get(Ask(mirror=owner, url=url)) == BODY
        assert it.server.connections == 1
        # A stranger to this mirror, on the standard port: refused by its address.
        with pytest.raises(UpstreamForbidden, match="private"):
            await it.get(Ask(mirror=it.mirror, url="http://inside.example.org/x"))
        with pytest.raises(UpstreamForbidden, match="port"):
            await it.get(Ask(mirror=it.mirror, url=url))
        assert it.server.connections == 1

    run(test)


# -- secrets -----------------------------------------------------------------------------

SECRETS = ("s3cretU", "s3cretP", "s3cretT", "s3cretB", "s3cretQ")


def _texts(error: BaseException | None) -> str:
    found = ""
    while error is not None:
        found += f"{error} {error!r} {error.args}"
        if not isinstance(error, UpstreamError):
            break  # a library's own; what is logged of it goes through `scrubbed`
        error = error.__cause__ if isinstance(error.__cause__, UpstreamError) else None
    return found


@pytest.mark.parametrize(
    "steps",
    [[Answer(status=status)] for status in (206, 304, 401, 403, 404, 410, 418, 429, 500, 503)]
    + [
        [b"rubbish s3cretT\r\n\r\n"],
        [b"HTTP/1.1 418 s3cretT\r\ncontent-length: 0\r\n\r\n"],
        [moved("http://x:s3cretP@localhost:1/t/s3cretT/?s3cretQ")],
        [moved("//u:s3cretP@[/t/s3cretT/")],
        [moved("http://x:s3cretP@h.example.org:port/t/s3cretT/")],
        [moved("?s3cretQ")],
        [Answer(body=BODY, stop_at=10)],
        [Answer(body=BODY, stop_at=10, headers=STRONG), Answer(body=BODY)],
        [Answer(body=BODY, stop_at=10, headers=STRONG), part(11, STRONG)],
        [Answer(hold=asyncio.Event())],
        [Answer(body=BODY, hold=asyncio.Event(), hold_at=10)],
    ],
)
@pytest.mark.parametrize(
    "credential",
    [
        None,
        Bearer(token="s3cretB"),
        Basic(username="s3cretU", password="s3cretB"),
        PathToken(token="s3cretB"),
    ],
)
def test_no_error_shows_a_secret(steps: list[Step], credential: Credential | None) -> None:
    async def test(it: Lab) -> None:
        for path in ("/t/s3cretT/x?s3cretQ", "/t/s3cretT/x"):
            it.server.play(path, *steps)
        ask = Ask(mirror=it.mirror, url=f"{it.mirror.source}x?s3cretQ")
        with pytest.raises(UpstreamError) as caught:
            await it.get(ask)
        shown = f"{_texts(caught.value)} {ask!r} {it.mirror!r} {it.client!r} {it.heard!r}"
        assert [secret for secret in SECRETS if secret in shown] == []

    def source(server: Scripted) -> str:
        return server.url("/t/s3cretT/", host="s3cretU:s3cretP@127.0.0.1")

    run(
        test,
        settings=replace(SHORT, attempts=1, read_timeout=0.05),
        source=source,
        named={"mine": credential} if credential else None,
    )


def test_the_final_address_shows_no_secret() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/t/s3cretT/x", Answer(body=BODY))
        async with it.client.open(Ask(mirror=it.mirror, url=f"{it.mirror.source}x")) as reply:
            assert reply.url == it.server.url("/t/***/x")
        authorization = it.server.seen[0].headers["authorization"]
        assert authorization == "Basic dTpzM2NyZXRQ"  # u:s3cretP

    run(test, source=lambda server: server.url("/t/s3cretT/", host="u:s3cretP@127.0.0.1"))
