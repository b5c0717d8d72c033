"""Only configured proxies are believed when they say whom they speak for."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from proxy.web.proxies import Proxies

NETWORKS = ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "unix"]


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("", True),
        ("rubbish", False),
    ],
)
def test_who_is_believed(address: str, trusted: bool) -> None:
    assert Proxies(NETWORKS).trusts(address) is trusted
    assert not Proxies([]).trusts(address)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.5", "203.0.113.5"),
        # What the client itself wrote stands before what the proxies added.
        ("127.0.0.1, 203.0.113.5", "203.0.113.5"),
        ("203.0.113.5, 10.9.9.9", "203.0.113.5"),
        ("203.0.113.5, 10.9.9.9, 192.0.2.7", "203.0.113.5"),
        ("10.5.5.5, 10.9.9.9", "10.5.5.5"),
        ("", "10.0.0.1"),
        ("unknown", "10.0.0.1"),
        ("203.0.113.5, rubbish", "10.0.0.1"),
        ("203.0.113.5, 10.9.9.9, rubbish", "10.0.0.1"),
        ("2001:db9::1", "2001:db9::1"),
        ("1.2.3.4\r\nX: y", "10.0.0.1"),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy(forwarded: str, client: str) -> None:
    assert Proxies(NETWORKS).client("10.0.0.1", forwarded) == client


@given(st.text(), st.text())
def test_anything_may_be_written_there(address: str, forwarded: str) -> None:
    proxies = Proxies(NETWORKS)
    assert proxies.client("198.51.100.1", forwarded) == "198.51.100.1"
    found = proxies.client("10.0.0.1", forwarded)
    assert found.isprintable()
    proxies.client(address, forwarded)


def request(peer: str, **headers: str) -> web.Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    made = make_mocked_request("GET", "/x", headers={"Host": "cache.example.org", **named})
    return made.clone(remote=peer)


def test_what_a_trusted_proxy_says_is_the_request_and_what_others_say_is_not() -> None:
    said = {
        "X_Forwarded_For": "203.0.113.5",
        "X_Forwarded_Proto": "https",
        "X_Forwarded_Host": "packages.example.org",
    }
    proxies = Proxies(NETWORKS)
    believed = proxies.believed(request("10.0.0.1", **said))
    assert (believed.remote, believed.scheme, believed.host) == (
        "203.0.113.5",
        "https",
        "packages.example.org",
    )
    ignored = proxies.believed(request("203.0.113.9", **said))
    assert (ignored.remote, ignored.scheme, ignored.host) == (
        "203.0.113.9",
        "http",
        "cache.example.org",
    )


@pytest.mark.parametrize(
    "host", ["", "a/b", 'x"><script>', "a b", "user@host", "host:port", "-", "[::1", "a" * 300]
)
def test_a_host_that_is_none_is_ignored(host: str) -> None:
    believed = Proxies(NETWORKS).believed(request("10.0.0.1", X_Forwarded_Host=host))
    assert believed.host == "cache.example.org"
    believed = Proxies(NETWORKS).believed(request("10.0.0.1", X_Forwarded_Proto="javascript"))
    assert believed.scheme == "http"
