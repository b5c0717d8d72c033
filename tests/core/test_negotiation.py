"""Content negotiation with what real clients send, and with rubbish."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.negotiation import choose, choose_coding
from proxy.errors import NotAcceptable

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
TEXT = "text/html"
OFFERED = (TEXT, JSON, HTML)
CODINGS = ("zstd", "gzip", "identity")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        (f"{JSON}, {HTML}; q=0.1, text/html; q=0.01", JSON),
        (f"{JSON}, {HTML};q=0.2, text/html;q=0.01", JSON),
        (f"{JSON}, */*;q=0.1", JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
        ("application/vnd.pypi.simple.latest+json", JSON),
        ("application/vnd.pypi.simple.latest+html, text/html;q=0.5", HTML),
        ("APPLICATION/VND.PYPI.SIMPLE.V1+JSON", JSON),
        ("application/*", JSON),
        ("application/*, text/html;q=0.5", JSON),
        # the most specific range decides, whatever the order
        (f"*/*, text/html;q=0, {JSON};q=0", HTML),
        (f"{JSON};q=0, application/*;q=0.5", HTML),
        ("text/*;q=0.1, */*;q=0.5", JSON),
        # equals: the order of what is offered
        (f"{HTML}, {JSON}", JSON),
        # robust weights and parameters
        (f"{JSON};q=7, text/html;q=0.9", JSON),
        (f"{JSON};q=junk, text/html;q=0.9", TEXT),
        (f"{JSON};q=junk", JSON),
        (f"{JSON} ; Q=0.2 , text/html ; q = 0.1", JSON),
        (f"{JSON};q=.5, text/html;q=0.4", JSON),
        ("text/html; charset=utf-8", TEXT),
        (f'text/html;x="a,b;q=1", {JSON}', JSON),
        (f"text/html;level=1, {JSON};q=0.1", JSON),
        (f",,; ,{JSON}", JSON),
    ],
)
def test_accept_chooses(accept: str | None, expected: str) -> None:
    assert choose(accept, OFFERED) == expected


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "text/html;q=0",
        "*/*;q=0",
        "*/*;q=0.000",
        "text/plain, image/*",
        "application/vnd.pypi.simple.v2+json",
        "junk",
        "text/html;level=1",
    ],
)
def test_nothing_acceptable_is_said_so(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="text/html"):
        choose(accept, OFFERED)


def test_a_parameter_that_is_offered_is_matched_before_the_bare_type() -> None:
    offered = ("text/plain;version=0.0.4", "text/plain")
    assert choose("text/plain;version=0.0.4, text/plain;q=0.5", offered) == offered[0]
    assert choose("text/plain;version=0.0.4;q=0.3, text/plain;q=0.5", offered) == offered[1]


@pytest.mark.parametrize(
    "wanted",
    [JSON, JSON.replace("+", " "), "application/vnd.pypi.simple.latest+json", JSON.upper()],
)
def test_format_takes_precedence(wanted: str) -> None:
    assert choose("text/html", OFFERED, wanted=wanted) == JSON


def test_an_unknown_format_is_not_replaced_by_accept() -> None:
    with pytest.raises(NotAcceptable):
        choose("text/html", OFFERED, wanted="application/json")
    with pytest.raises(NotAcceptable):
        choose("text/html", OFFERED, wanted="*/*")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "identity"),
        ("", "identity"),
        ("identity", "identity"),
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, zstd", "zstd"),
        ("zstd,gzip;q=0.5", "zstd"),
        ("zstd;q=0.5,gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZIP", "gzip"),
        ("br", "identity"),
        ("gzip;q=0", "identity"),
        ("gzip;q=0.1", "gzip"),
        ("gzip;q=0.5, identity;q=0.7", "identity"),
        ("identity;q=0, gzip", "gzip"),
        ("*", "zstd"),
        ("zstd;q=0, *", "gzip"),
        ("*;q=0, gzip", "gzip"),
        ("identity, *;q=0", "identity"),
        ("gzip;q=junk", "gzip"),
        (",;=,,", "identity"),
    ],
)
def test_accept_encoding_chooses(header: str | None, expected: str) -> None:
    assert choose_coding(header, CODINGS) == expected


@pytest.mark.parametrize("header", ["identity;q=0", "*;q=0", "br, identity;q=0", "br, *;q=0"])
def test_no_coding_may_be_left(header: str) -> None:
    with pytest.raises(NotAcceptable):
        choose_coding(header, CODINGS)


def test_without_identity_the_first_coding_is_the_default() -> None:
    assert choose_coding(None, ("zstd",)) == "zstd"


@given(st.text())
def test_rubbish_is_answered_or_refused(header: str) -> None:
    with contextlib.suppress(NotAcceptable):
        assert choose(header, OFFERED) in OFFERED
    with contextlib.suppress(NotAcceptable):
        assert choose_coding(header, CODINGS) in CODINGS


@given(st.permutations([f"{JSON};q=0.9", f"{HTML};q=0.2", "text/html;q=0.01", "*/*;q=0.001"]))
def test_the_order_of_ranges_does_not_matter(ranges: list[str]) -> None:
    assert choose(", ".join(ranges), OFFERED) == JSON
