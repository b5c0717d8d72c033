"""From what an index says to the address that is asked for: secrets go home and nowhere else."""

from __future__ import annotations

import pytest

from proxy.core.model import Mirror, Source
from proxy.gateway.addresses import address, shown

SOURCE = "https://c.example.org/repo/t/s3cret/main/"


def asked(path: str, source: str = SOURCE) -> str:
    return address(Mirror(name="a", type="conda", source=source), Source(path=path))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("linux-64/a-1-0.conda", f"{SOURCE}linux-64/a-1-0.conda"),
        ("noarch/a b+c.conda", f"{SOURCE}noarch/a%20b%2Bc.conda"),
        ("c:d", f"{SOURCE}c:d"),
        ("..;x", f"{SOURCE}..;x"),
        ("..;/x", f"{SOURCE}..;/x"),
        ("a/..;x/y", f"{SOURCE}a/..;x/y"),
        (";x", f"{SOURCE};x"),
        ("a//b", f"{SOURCE}a//b"),
        ("//other.example.org/x", f"{SOURCE}//other.example.org/x"),
        ("?x#y", f"{SOURCE}%3Fx%23y"),
        # As an index may refer to a sibling.
        ("../other/a.conda", "https://c.example.org/repo/t/s3cret/other/a.conda"),
    ],
)
def test_a_path_is_below_the_source_with_its_token(path: str, expected: str) -> None:
    assert asked(path) == expected


def test_a_masked_token_at_the_source_is_ours() -> None:
    masked = "https://c.example.org/repo/t/***/main/noarch/a.conda"
    assert asked(masked) == f"{SOURCE}noarch/a.conda"
    standard = "https://C.example.org:443/repo/t/***/x"
    assert asked(standard) == "https://C.example.org:443/repo/t/s3cret/x"


@pytest.mark.parametrize(
    "url",
    [
        "https://other.example.org/repo/t/***/main/a.conda",
        "https://c.example.org:8443/repo/t/***/main/a.conda",
        "http://c.example.org/repo/t/***/main/a.conda",  # in the clear
        "https://c.example.org@other.example.org/t/***/a.conda",
        "https://c.example.org.other.example.org/t/***/a.conda",
        "https://[c.example.org/t/***/a.conda",
    ],
)
def test_the_token_goes_nowhere_else(url: str) -> None:
    assert asked(url) == url


def test_an_address_without_a_mask_stays_as_it_is() -> None:
    url = "https://c.example.org/repo/a.conda"
    assert asked(url) == url
    assert asked(url, "https://c.example.org/plain/") == url


def test_what_is_shown_has_no_secret() -> None:
    mirror = Mirror(name="a", type="conda", source="https://u:s3cret@c.example.org/t/s3cret/x/")
    assert shown(mirror, Source(path="a.conda")) == "https://c.example.org/t/***/x/a.conda"
