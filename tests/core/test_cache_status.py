"""Cache-Status: the header and the metrics' word come from one value."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.cache_status import CacheStatus


@pytest.mark.parametrize(
    ("status", "header", "result"),
    [
        (CacheStatus.hit(), "pkgproxy; hit", "hit"),
        (CacheStatus.hit(30.9), "pkgproxy; hit; ttl=30", "hit"),
        (
            CacheStatus.stale(-4.1, detail="updating"),
            "pkgproxy; hit; ttl=-5; detail=updating",
            "updating",
        ),
        (
            CacheStatus.stale(-5, detail="UpstreamFailed"),
            "pkgproxy; hit; ttl=-5; detail=UpstreamFailed",
            "stale",
        ),
        (CacheStatus.stale(-5), "pkgproxy; hit; ttl=-5", "stale"),
        (CacheStatus.negative(9), "pkgproxy; hit; ttl=9; detail=negative", "negative"),
        (CacheStatus.forwarded("uri-miss", stored=True), "pkgproxy; fwd=uri-miss; stored", "miss"),
        (
            CacheStatus.forwarded("uri-miss", collapsed=True),
            "pkgproxy; fwd=uri-miss; collapsed",
            "collapsed",
        ),
        (
            CacheStatus.forwarded("stale", fwd_status=304),
            "pkgproxy; fwd=stale; fwd-status=304",
            "revalidated",
        ),
        (
            CacheStatus.forwarded("stale", fwd_status=200, stored=True),
            "pkgproxy; fwd=stale; fwd-status=200; stored",
            "miss",
        ),
        (CacheStatus.forwarded("bypass"), "pkgproxy; fwd=bypass", "bypass"),
        (CacheStatus.forwarded("partial"), "pkgproxy; fwd=partial", "bypass"),
        (CacheStatus.refused("no GPL 3"), 'pkgproxy; detail="no GPL 3"', "refused"),
        (CacheStatus.none(), "pkgproxy", "none"),
    ],
)
def test_each_outcome_has_its_header_and_its_word(
    status: CacheStatus, header: str, result: str
) -> None:
    assert str(status) == header
    assert status.result == result


@given(st.text())
def test_a_detail_cannot_break_out_of_the_header(detail: str) -> None:
    header = str(CacheStatus.refused(detail))
    assert header.isascii()
    assert header.isprintable()
    text = header.removeprefix("pkgproxy; detail=")
    if text.startswith('"'):
        inner = text[1:-1].replace("\\\\", "").replace('\\"', "")
        assert '"' not in inner
        assert "\\" not in inner
    else:
        assert ";" not in text
        assert "," not in text


@pytest.mark.parametrize("ttl", [1e300, -1e300, float("inf"), float("-inf")])
def test_a_ttl_fits_a_structured_integer(ttl: float) -> None:
    assert len(str(CacheStatus.hit(ttl)).partition("ttl=")[2].lstrip("-")) <= 15


def test_it_survives_a_trip_between_processes() -> None:
    status = CacheStatus.forwarded("stale", fwd_status=304, collapsed=True)
    sent = msgspec.to_builtins(status)
    assert msgspec.convert(sent, CacheStatus) == status
