"""A host that is down slows nobody and is found again; a host that is up is never taken for one."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from proxy.core.circuit import State
from proxy.errors import UpstreamDown, UpstreamFailed, UpstreamTimeout
from proxy.upstream.circuits import HOSTS, Circuits, host_of
from tests.lab.scripted import Answer, Exchange
from tests.upstream.test_client import BODY, QUICK, Heard, Lab, run

ONCE = replace(QUICK, attempts=1, resumes=0, trip_after=3)
BAD = Answer(status=502)


async def fail(it: Lab, path: str, times: int, error: type[Exception] = UpstreamFailed) -> None:
    for _ in range(times):
        with pytest.raises(error):
            await it.get(path)


def test_a_host_that_fails_repeatedly_is_not_asked_any_more() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/bad", BAD)
        it.server.play("/good", Answer(body=BODY))
        await fail(it, "/bad", 3)
        with pytest.raises(UpstreamDown) as caught:
            await it.get("/good")
        assert it.server.targets == ["/bad"] * 3
        assert caught.value.retry_after >= 1
        host = f"127.0.0.1:{it.server.port}"
        assert (it.heard.down, it.heard.back) == ([host], [])
        (trouble,) = it.client.circuits
        assert (trouble.host, trouble.state, trouble.failures) == (host, State.OPEN, 3)

    run(test, settings=ONCE)


def test_it_is_tried_after_each_rest_until_it_answers_and_then_asked_again() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/bad", BAD, BAD, BAD, BAD, BAD, Answer(status=404))
        it.server.play("/good", Answer(body=BODY))
        await fail(it, "/bad", 3)
        for _ in range(3):
            it.heard.over.release()
        await it.heard.returned.wait()
        assert it.heard.rests == [1.0, 2.0, 4.0]
        assert [request.method for request in it.server.seen] == ["GET"] * 3 + ["HEAD"] * 3
        assert it.heard.back == [f"127.0.0.1:{it.server.port} answered"]
        assert await it.get("/good") == BODY

    run(test, settings=ONCE)


def test_retries_of_one_request_end_when_its_host_is_given_up() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/bad", BAD)
        await fail(it, "/bad", 1, UpstreamDown)
        assert len(it.server.seen) == 3

    run(test, settings=replace(QUICK, attempts=20, trip_after=3))


@pytest.mark.parametrize("status", [200, 304, 400, 401, 404, 410, 429, 500, 501])
def test_any_other_answer_is_one_of_a_host_that_is_up(status: int) -> None:
    async def test(it: Lab) -> None:
        it.server.play("/bad", BAD)
        it.server.play("/x", Answer(status=status))
        for _ in range(5):
            await fail(it, "/bad", 2)
            if status == 200:
                await it.get("/x")
            else:
                await fail(it, "/x", 1, Exception)
        assert it.heard.down == []

    run(test, settings=ONCE)


def test_one_path_that_fails_does_not_close_the_way_to_others() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/odd", Answer(status=500))
        it.server.play("/rubbish", b"no HTTP at all\r\n\r\n")
        it.server.play("/throttled", Answer(status=503, headers={"Retry-After": "100"}))
        for path in ("/odd", "/rubbish", "/throttled"):
            await fail(it, path, 5, Exception)
        assert it.heard.down == []

    run(test, settings=ONCE)


def test_a_host_that_stalls_before_or_after_its_head_is_down() -> None:
    async def stall(exchange: Exchange) -> None:
        await exchange.left()

    async def test(it: Lab) -> None:
        hold = asyncio.Event()
        it.server.play("/late", stall)
        it.server.play("/none", Answer(body=BODY, hold=hold, hold_at=0))
        await fail(it, "/late", 1, UpstreamTimeout)
        await fail(it, "/none", 2, UpstreamTimeout)
        assert len(it.heard.down) == 1

    run(test, settings=replace(ONCE, read_timeout=0.05))


def test_a_body_that_flows_tells_that_its_host_is_up() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/bad", BAD)
        held = asyncio.Event()
        it.server.play("/slow", Answer(body=BODY, hold=held, hold_at=100))
        async with it.client.open(it.ask("/slow")) as reply:
            chunks = aiter(reply.chunks)
            await anext(chunks)
            await fail(it, "/bad", 3)
            assert len(it.heard.down) == 1
            held.set()
            await anext(chunks)
        assert it.heard.back == [f"127.0.0.1:{it.server.port} answered"]

    run(test, settings=ONCE)


def test_without_a_limit_a_host_is_always_asked() -> None:
    async def test(it: Lab) -> None:
        it.server.play("/bad", BAD)
        await fail(it, "/bad", 20)
        assert len(it.server.seen) == 20

    run(test, settings=replace(ONCE, trip_after=0))


def test_the_count_of_hosts_is_bounded() -> None:
    async def main() -> None:
        async def probe() -> None:
            raise AssertionError("it rests")

        heard = Heard()
        circuits = Circuits(2, observer=heard, clock=lambda: 0.0, sleep=heard.rest)
        error = UpstreamFailed("down")
        for _ in range(2):
            circuits.failed("https://down.example.org/", error, probe)
        for number in range(2 * HOSTS):
            circuits.failed(f"https://h{number}.example.org/", error, probe)
        known = [one.host for one in circuits]
        assert len(known) == HOSTS
        assert "down.example.org:443" in known
        await circuits.aclose()
        assert heard.back == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Files.example.org/a", "files.example.org:443"),
        ("http://u:secret@files.example.org/a", "files.example.org:80"),
        ("http://[2001:db8::1]:8080/", "[2001:db8::1]:8080"),
    ],
)
def test_a_host_is_named_without_secrets(url: str, host: str) -> None:
    assert host_of(url) == host
