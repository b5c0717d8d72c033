"""No open relay: what an index or a redirect may name, and what only the operator may."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Mirror
from proxy.errors import UpstreamForbidden
from proxy.upstream.guard import GuardedResolver, check, confidential, own, trusted


def mirror(source: str = "http://source.example.org/", *allow: str) -> Mirror:
    return Mirror(name="a", type="files", source=source, allow_hosts=frozenset(allow))


INSIDE = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",  # metadata of cloud machines
    "192.0.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "fe80::1",
    "fec0::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "64:ff9b::7f00:1",  # NAT64 of 127.0.0.1
    "64:ff9b:1::a00:1",
]
OUTSIDE = ["1.1.1.1", "203.0.113.9", "172.32.0.1", "2606:4700::1", "::ffff:1.1.1.1"]


def literal(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("address", INSIDE)
def test_an_inner_address_is_refused(address: str, scheme: str) -> None:
    with pytest.raises(UpstreamForbidden, match="allow_hosts of mirror files/a"):
        check(f"{scheme}://{literal(address)}/x", mirror())


@pytest.mark.parametrize("address", OUTSIDE)
def test_a_public_address_is_fine(address: str) -> None:
    check(f"http://{literal(address)}/x", mirror())


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "127.0.0.0x1",
        "127.0.0.0x",
        "1.2.3.4.5",
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020\u30020\u30021",
        "127%2e0%2e0%2e1",
        "\u2460\u2461\u2466.0.0.1",
        "loc\u00adalhost",
        "a..example.org",
        ".",
        "*",
        "[v1.fe80::a]",
        "[::1%25lo]",
        "[::ffff:7f00:1%25lo]",
    ],
)
def test_an_odd_spelling_of_a_host_is_refused(host: str) -> None:
    with pytest.raises(UpstreamForbidden):
        check(f"http://{host}/x", mirror())


@pytest.mark.parametrize(
    "url",
    [
        "http://source.example.org@127.0.0.1/",
        "http://source.example.org:80@127.0.0.1/",
        "http://source.example.org%23@127.0.0.1:99/../@127.0.0.1/",
        "http://1.1.1.1 @127.0.0.1/",
        "http://a:b@c@127.0.0.1/",
        "http:///x",
        "http:x",
        "//source.example.org/x",
        "ftp://source.example.org/x",
        "file:///etc/passwd",
        "gopher://source.example.org:70/_",
        "http://[::1",
        "http://source.example.org:none/",
        "http://source.example.org:99999/",
        "http://other.example.org:-1/",
    ],
)
def test_a_trick_is_refused(url: str) -> None:
    with pytest.raises(UpstreamForbidden):
        check(url, mirror())


@pytest.mark.parametrize(
    ("url", "source", "fine"),
    [
        ("https://other.example.org/x", "http://s.example.org/", True),
        ("https://other.example.org:443/x", "https://s.example.org/", True),
        ("http://other.example.org/x", "http://s.example.org/", True),
        ("http://other.example.org/x", "https://s.example.org/", False),
        ("https://other.example.org:8443/x", "https://s.example.org/", False),
        ("http://other.example.org:22/x", "http://s.example.org/", False),
        ("https://other.example.org./x", "https://s.example.org/", True),
        ("https://xn--bcher-kva.example.org/x", "https://s.example.org/", True),
        ("https://under_score.example.org/x", "https://s.example.org/", True),
    ],
)
def test_a_strangers_scheme_and_port(url: str, source: str, fine: bool) -> None:
    if fine:
        check(url, mirror(source))
    else:
        with pytest.raises(UpstreamForbidden):
            check(url, mirror(source))


@pytest.mark.parametrize("source", ["http://127.0.0.1:8080/", "http://[::1]/", "http://localhost/"])
def test_the_sources_own_host_is_always_trusted(source: str) -> None:
    ours = mirror(source)
    host = source.removeprefix("http://").removesuffix("/").removesuffix(":8080")
    for url in (source, f"http://{host}/x", f"http://{host}:1234/x", f"https://u:p@{host}/"):
        assert trusted(url, ours)
        check(url, ours)


@pytest.mark.parametrize(
    ("allowed", "url", "expected"),
    [
        ("10.0.0.1", "http://10.0.0.1:99/", True),
        ("10.0.0.1:99", "http://10.0.0.1:99/", True),
        ("10.0.0.1:99", "http://10.0.0.1:98/", False),
        ("10.0.0.1:99", "http://10.0.0.1/", False),
        ("files.lan:443", "https://files.lan/", True),
        ("files.lan:443", "http://files.lan/", False),
        ("files.lan:80", "http://FILES.lan/", True),
        ("files.lan", "http://evil.files.lan/", False),
        ("files.lan", "http://files.lan.example.org/", False),
        ("files.lan", "http://files.lan@10.0.0.1/", False),
    ],
)
def test_allow_hosts_is_matched_as_a_whole(allowed: str, url: str, expected: bool) -> None:
    assert trusted(url, mirror("http://source.example.org/", allowed)) is expected


@pytest.mark.parametrize(
    ("url", "source", "expected"),
    [
        ("https://s.example.org/x", "https://s.example.org/", True),
        ("https://S.example.org:443/x", "https://s.example.org/", True),
        ("https://s.example.org/x", "http://s.example.org/", True),
        ("http://s.example.org/x", "https://s.example.org/", False),
        ("http://s.example.org:8080/x", "http://s.example.org/", False),
        ("https://s.example.org:8443/x", "https://s.example.org/", False),
        ("http://s.example.org:8080/x", "http://s.example.org:8080/", True),
        ("https://s.example.org/x", "http://s.example.org:8080/", False),
        ("https://t.example.org/x", "https://s.example.org/", False),
        ("https://s.example.org@t.example.org/x", "https://s.example.org/", False),
    ],
)
def test_secrets_go_to_the_sources_own_server_only(url: str, source: str, expected: bool) -> None:
    assert own(url, mirror(source)) is expected


def test_what_is_no_address_is_not_the_sources_own() -> None:
    assert not own("https://[s.example.org/", mirror("https://s.example.org/"))


def test_no_secret_goes_in_the_clear_where_the_source_is_https() -> None:
    assert not confidential("http://any.example.org/", mirror("https://s.example.org/"))
    assert confidential("https://any.example.org/", mirror("https://s.example.org/"))
    assert confidential("http://any.example.org/", mirror("http://s.example.org/"))


@given(st.text(max_size=40))
def test_any_address_is_judged_and_nothing_else_raised(text: str) -> None:
    for url in (text, f"http://{text}", f"http://{text}/x", f"https://a:{text}@b{text}:1"):
        try:
            check(url, mirror())
        except UpstreamForbidden:
            continue


@given(st.ip_addresses(v=4))
def test_an_address_is_public_in_each_of_its_spellings_or_in_none(address: Any) -> None:
    def refused(host: str) -> bool:
        try:
            check(f"http://{host}/", mirror())
        except UpstreamForbidden:
            return True
        return False

    assert refused(str(address)) is refused(f"[::ffff:{address}]")
    assert refused(str(int(address)))


# -- names -------------------------------------------------------------------------------


class Table(AbstractResolver):
    """Names from a table."""

    def __init__(self, **addresses: list[str]) -> None:
        self._addresses = addresses
        self.closed = False

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=one, port=port, family=socket.AF_INET, proto=0, flags=0
            )
            for one in self._addresses[host]
        ]

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("address", [*INSIDE, "fe80::1%eth0"])
def test_a_strangers_name_that_leads_inside_is_refused(address: str) -> None:
    resolver = GuardedResolver(Table(stranger=["1.1.1.1", address]))
    with pytest.raises(UpstreamForbidden, match="stranger resolves to"):
        asyncio.run(resolver.resolve("stranger", 80))


def test_a_strangers_name_that_leads_outside_is_resolved() -> None:
    resolver = GuardedResolver(Table(stranger=OUTSIDE))
    found = asyncio.run(resolver.resolve("stranger", 80))
    assert [one["host"] for one in found] == OUTSIDE


def test_closing_closes_the_inner_resolver() -> None:
    table = Table()
    asyncio.run(GuardedResolver(table).close())
    assert table.closed
