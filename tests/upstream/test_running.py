"""A running proxy as its client sees it: problems in our words, patience, bodies dropped."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.errors import (
    Blocked,
    ConfigError,
    Denied,
    ProxyError,
    UpstreamFailed,
    UpstreamMissing,
    UpstreamRefused,
    UpstreamThrottled,
    UpstreamTimeout,
)
from proxy.upstream.running import RunningProxy
from proxy.upstream.served import ADMINISTRATION, Refused, Served
from tests.lab.scripted import Answer, Scripted

BODY = bytes(range(256)) * 100


def _ran(work: Callable[[Scripted, RunningProxy], Awaitable[Any]]) -> list[float]:
    """Run *work* with a server and a client of it; how long the client wanted to sleep."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def main() -> None:
        async with (
            Scripted() as server,
            RunningProxy(server.url("/"), connections=2, sleep=sleep) as running,
        ):
            await work(server, running)

    asyncio.run(main())
    return waits


def _problem(status: int, **members: Any) -> Answer:
    headers = {"Content-Type": "application/problem+json"}
    return Answer(status=status, headers=headers, body=json.dumps(members).encode())


def test_its_mirrors_are_those_it_lists_at_the_address_that_was_given() -> None:
    async def work(server: Scripted, running: RunningProxy) -> None:
        row = {"type": "conda", "name": "team/main", "source": "https://x.example.org/", "url": "y"}
        server.play("/", Answer(body=json.dumps({"version": "1", "mirrors": [row]}).encode()))
        (found,) = await running.mirrors()
        url = server.url("/conda/team/main/")
        assert found == Served(
            type="conda", name="team/main", source="https://x.example.org/", url=url
        )
        assert server.seen[0].headers["accept"] == "application/json"

    _ran(work)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"mirrors": [{}]}'])
def test_another_server_is_told_from_a_proxy(body: bytes) -> None:
    async def work(server: Scripted, running: RunningProxy) -> None:
        server.play("/", Answer(body=body))
        with pytest.raises(UpstreamFailed, match="is no pkgproxy"):
            await running.mirrors()

    _ran(work)


@pytest.mark.parametrize("status", [200, 401, 403])
def test_the_administration_is_told_from_a_proxy(status: int) -> None:
    async def work(server: Scripted, running: RunningProxy) -> None:
        server.play("/", Answer(status=status, headers={"Server": ADMINISTRATION}, body=b"<html>"))
        with pytest.raises(UpstreamRefused, match=r"is the administration's .* clients have"):
            await running.mirrors()

    _ran(work)


def test_what_a_policy_hides_is_counted_by_rule_and_its_silence_is_no_failure() -> None:
    async def work(server: Scripted, running: RunningProxy) -> None:
        path = "/api/v1/policy/explain?mirror=conda%2Flab&package=web"
        rows = [
            *({"effect": "deny", "rule": "old", "reason": "why", "until": None} for _ in range(3)),
            *(
                {
                    "effect": "deny",
                    "rule": "new",
                    "reason": "so",
                    "until": f"1970-01-0{day}T00:00:00+00:00",
                }
                for day in (3, 2)
            ),
            {"effect": "deny", "rule": "none", "reason": ""},
            {"effect": "allow", "rule": "default", "reason": ""},
        ]
        server.play(path, Answer(body=json.dumps({"files": rows}).encode()))
        assert await running.refused("conda/lab", "web") == (
            Refused(rule="old", reason="why", files=3),
            Refused(rule="new", reason="so", files=2, until=86400),
            Refused(rule="none", reason="", files=1),
        )
        server.play(path, _problem(401, detail="not for you"), Answer(body=b"{}"))
        assert await running.refused("conda/lab", "web") == ()
        assert await running.refused("conda/lab", "web") == ()

    _ran(work)


@pytest.mark.parametrize(
    ("status", "here"), [("pkgproxy; hit; ttl=5", True), ("pkgproxy; fwd=uri-miss; stored", False)]
)
def test_a_file_is_hashed_and_dropped(status: str, here: bool) -> None:
    async def work(server: Scripted, running: RunningProxy) -> None:
        server.play("/f", Answer(body=BODY, headers={"Cache-Status": status}))
        pulled = await running.pull(server.url("/f"))
        assert (pulled.size, pulled.sha256) == (len(BODY), hashlib.sha256(BODY).hexdigest())
        assert pulled.here is here
        assert server.seen[0].headers["accept-encoding"] == "identity"

    _ran(work)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            _problem(403, detail="d", rule="r", reason="why", filename="f-1.whl"),
            Denied,
            "f-1.whl is refused by rule r: why",
        ),
        (_problem(451, rule="r", reason="why"), Blocked, "f is refused by rule r: why"),
        (_problem(403, detail="no token"), UpstreamFailed, "no token"),
        (_problem(401, detail="show a token"), UpstreamRefused, "show a token"),
        (_problem(404, detail="no such thing"), UpstreamMissing, "no such thing"),
        (Answer(status=404, body=b"<html>"), UpstreamMissing, "answers 404 Not Found"),
        (_problem(410, detail="no longer"), UpstreamMissing, "no longer"),
    ],
)
def test_a_refusal_comes_back_in_our_words_at_once(
    answer: Answer, kind: type[ProxyError], words: str
) -> None:
    async def work(server: Scripted, running: RunningProxy) -> None:
        server.play("/f", answer)
        with pytest.raises(kind) as caught:
            await running.pull(server.url("/f"))
        assert words in str(caught.value)
        assert len(server.seen) == 1

    assert _ran(work) == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (_problem(502, detail="broken"), UpstreamFailed),
        (_problem(503, detail="later"), UpstreamThrottled),
        (_problem(504, detail="slow"), UpstreamTimeout),
        (Answer(body=BODY, stop_at=100), UpstreamFailed),
        (Answer(reset=True, stop_at=0, body=BODY), UpstreamFailed),
    ],
)
def test_what_may_pass_is_asked_for_again_and_not_for_ever(
    answer: Answer, kind: type[ProxyError]
) -> None:
    async def work(server: Scripted, running: RunningProxy) -> None:
        server.play("/once", answer, Answer(body=BODY))
        assert (await running.pull(server.url("/once"))).size == len(BODY)
        server.play("/always", answer)
        with pytest.raises(kind):
            await running.read(server.url("/always"))
        assert server.targets == ["/once"] * 2 + ["/always"] * 4

    assert len(_ran(work)) == 4


@pytest.mark.parametrize(("value", "waited"), [("7", 7.0), ("100000", 30.0), ("soon", 1.0)])
def test_it_waits_as_long_as_it_is_asked_to_within_reason(value: str, waited: float) -> None:
    async def work(server: Scripted, running: RunningProxy) -> None:
        busy = Answer(status=503, headers={"Retry-After": value})
        server.play("/f", busy, Answer(body=BODY))
        await running.pull(server.url("/f"))

    assert _ran(work) == [waited]


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x.example.org", "http://", "", "/x"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"write an address such as http://127\.0\.0\.1:8080"):
        RunningProxy(url, connections=1)


def test_a_token_in_its_address_is_sent_but_not_shown() -> None:
    async def work(server: Scripted, running: RunningProxy) -> None:
        inner = RunningProxy(server.url("/t/SECRET"), connections=1)
        async with inner:
            with pytest.raises(UpstreamMissing) as caught:
                await inner.read(f"{inner.url}/f")
        assert server.targets == ["/t/SECRET/f"]
        assert "SECRET" not in str(caught.value)

    _ran(work)
