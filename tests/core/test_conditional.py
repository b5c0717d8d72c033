"""Preconditions in their order of precedence; ranges cut so that every byte asked for is there."""

from __future__ import annotations

import re
from email.parser import BytesParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.conditional import (
    MOST_RANGES,
    PART_OVERHEAD,
    Decision,
    NotModified,
    Part,
    Parts,
    PreconditionFailed,
    Ranged,
    Representation,
    Unsatisfiable,
    Whole,
    cut,
    decide,
    plan_multipart,
)
from proxy.core.http_date import format_http_date

MODIFIED = 784111777.5
THEN = format_http_date(MODIFIED)
BEFORE = format_http_date(MODIFIED - 1)
AFTER = format_http_date(MODIFIED + 1)
HELD = Representation(etag='"a"', last_modified=MODIFIED, length=100)
UNKNOWN = Representation()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Whole()),
        ({"if-none-match": '"a"'}, NotModified()),
        ({"if-none-match": 'W/"a"'}, NotModified()),
        ({"if-none-match": '"b", "c,d" , W/"a"'}, NotModified()),
        ({"if-none-match": "*"}, NotModified()),
        ({"if-none-match": '"b"'}, Whole()),
        ({"if-none-match": "a"}, Whole()),
        ({"if-none-match": '"A"'}, Whole()),
        ({"if-none-match": ""}, Whole()),
        ({"if-modified-since": THEN}, NotModified()),
        ({"if-modified-since": AFTER}, NotModified()),
        ({"if-modified-since": BEFORE}, Whole()),
        ({"if-modified-since": "junk"}, Whole()),
        # If-None-Match wins, in both directions and even where it is junk
        ({"if-none-match": '"b"', "if-modified-since": THEN}, Whole()),
        ({"if-none-match": "junk", "if-modified-since": THEN}, Whole()),
        ({"if-none-match": '"a"', "if-modified-since": BEFORE}, NotModified()),
        ({"if-match": '"a"'}, Whole()),
        ({"if-match": '"b", "a"'}, Whole()),
        ({"if-match": "*"}, Whole()),
        ({"if-match": 'W/"a"'}, PreconditionFailed()),
        ({"if-match": '"b"'}, PreconditionFailed()),
        ({"if-unmodified-since": THEN}, Whole()),
        ({"if-unmodified-since": BEFORE}, PreconditionFailed()),
        ({"if-unmodified-since": "junk"}, Whole()),
        ({"if-match": '"a"', "if-unmodified-since": BEFORE}, Whole()),
        ({"if-match": '"b"', "if-none-match": '"a"'}, PreconditionFailed()),
        ({"if-match": '"a"', "if-none-match": '"a"'}, NotModified()),
        ({"if-none-match": '"a"', "range": "bytes=0-1"}, NotModified()),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_preconditions_are_met_in_order(
    method: str, headers: dict[str, str], expected: Decision
) -> None:
    assert decide(method, headers, HELD) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"if-none-match": '"a"'}, Whole()),
        ({"if-none-match": "*"}, NotModified()),
        ({"if-modified-since": THEN}, Whole()),
        ({"if-unmodified-since": BEFORE}, Whole()),
        ({"if-match": '"a"'}, PreconditionFailed()),
        ({"range": "bytes=0-1"}, Whole()),
    ],
)
def test_what_is_unknown_is_not_compared(headers: dict[str, str], expected: Decision) -> None:
    assert decide("GET", headers, UNKNOWN) == expected


@pytest.mark.parametrize(
    ("validator", "cuts"),
    [
        ('"a"', True),
        (' "a" ', True),
        ('W/"a"', False),
        ('"b"', False),
        ("a", False),
        (THEN, True),
        (BEFORE, False),
        (AFTER, False),
        ("", False),
    ],
)
def test_if_range_cuts_only_the_very_same_bytes(validator: str, *, cuts: bool) -> None:
    answer = decide("GET", {"range": "bytes=50-", "if-range": validator}, HELD)
    assert answer == (Part(50, 99) if cuts else Whole())


def test_a_weak_etag_of_ours_never_satisfies_if_range() -> None:
    weak = Representation(etag='W/"a"', length=100)
    assert decide("GET", {"range": "bytes=50-", "if-range": 'W/"a"'}, weak) == Whole()
    assert decide("GET", {"if-none-match": '"a"'}, weak) == NotModified()


def test_head_ignores_range() -> None:
    assert decide("HEAD", {"range": "bytes=200-"}, HELD) == Whole()
    assert decide("GET", {"range": "bytes=200-"}, HELD) == Unsatisfiable(100)


FAR = 10 * PART_OVERHEAD


@pytest.mark.parametrize(
    ("value", "length", "expected"),
    [
        ("bytes=0-0", 100, Part(0, 0)),
        ("bytes=0-99", 100, Part(0, 99)),
        ("bytes=0-100", 100, Part(0, 99)),
        ("bytes=99-", 100, Part(99, 99)),
        ("bytes=100-", 100, Unsatisfiable(100)),
        ("bytes=-1", 100, Part(99, 99)),
        ("bytes=-100", 100, Part(0, 99)),
        ("bytes=-101", 100, Part(0, 99)),
        ("bytes=-0", 100, Unsatisfiable(100)),
        ("BYTES = 1-2", 100, Part(1, 2)),
        ("bytes=0-" + "9" * 5000, 100, Part(0, 99)),
        ("bytes=" + "9" * 5000 + "-", 100, Unsatisfiable(100)),
        ("bytes=-" + "9" * 5000, 100, Part(0, 99)),
        ("bytes=0000000000000000000000000000001-2", 100, Part(1, 2)),
        # not understood, or invalid: as if it had not been sent
        ("", 100, Whole()),
        ("bytes", 100, Whole()),
        ("bytes=", 100, Whole()),
        ("bytes=,", 100, Whole()),
        ("bytes=-", 100, Whole()),
        ("bytes=5-2", 100, Whole()),
        ("bytes=0-1,5-2", 100, Whole()),
        ("bytes=0-1,x", 100, Whole()),
        ("bytes=--5", 100, Whole()),
        ("bytes=+1-2", 100, Whole()),
        ("bytes=1-2-3", 100, Whole()),
        ("bytes=٣-", 100, Whole()),
        ("lines=0-1", 100, Whole()),
        # an empty file
        ("bytes=0-", 0, Unsatisfiable(0)),
        ("bytes=-0", 0, Unsatisfiable(0)),
        ("bytes=-5", 0, Whole()),
        # several
        ("bytes=0-1, 2-3", 100, Part(0, 3)),
        ("bytes=0-9,5-20,-1", 100, Part(0, 99)),
        ("bytes=,0-1 ,, 300-", 100, Part(0, 1)),
        ("bytes=200-,300-", 100, Unsatisfiable(100)),
        (f"bytes=0-9,{FAR}-", FAR * 2, Parts((Part(0, 9), Part(FAR, 2 * FAR - 1)))),
        (f"bytes={FAR}-,0-9", FAR * 2, Parts((Part(FAR, 2 * FAR - 1), Part(0, 9)))),
        (f"bytes={FAR}-{FAR},0-9,5-12", FAR * 2, Parts((Part(FAR, FAR), Part(0, 12)))),
        (f"bytes=0-9,{9 + PART_OVERHEAD}-999", 1000, Part(0, 999)),
        (
            f"bytes=0-9,{10 + PART_OVERHEAD}-999",
            1000,
            Parts((Part(0, 9), Part(10 + PART_OVERHEAD, 999))),
        ),
    ],
)
def test_ranges_are_cut_as_the_rfc_says(value: str, length: int, expected: Ranged) -> None:
    assert cut(value, length) == expected


def test_too_many_ranges_are_ignored() -> None:
    def many(count: int) -> str:
        return "bytes=" + ",".join(f"{n * FAR}-{n * FAR}" for n in range(count))

    assert isinstance(cut(many(MOST_RANGES), 10**6), Parts)
    assert cut(many(MOST_RANGES + 1), 10**6) == Whole()


positions = st.integers(0, 3000)
specs = st.one_of(
    positions.map("{}-".format),
    positions.map("-{}".format),
    st.tuples(positions, positions).map(lambda pair: f"{min(pair)}-{max(pair)}"),
)


@given(st.lists(specs, min_size=1, max_size=8), st.integers(0, 2000))
def test_every_byte_asked_for_is_sent_once(wanted: list[str], length: int) -> None:
    asked: set[int] = set()
    for spec in wanted:
        first, _, last = spec.partition("-")
        if first:
            asked |= set(range(int(first), min(int(last or length), length - 1) + 1))
        else:
            asked |= set(range(max(0, length - int(last)), length))
    answer = cut("bytes=" + ",".join(wanted), length)
    match answer:
        case Part() as part:
            sent = list(range(part.first, part.last + 1))
        case Parts(ranges=ranges):
            assert len(ranges) > 1
            sent = [at for part in ranges for at in range(part.first, part.last + 1)]
        case Whole():
            assert length == 0
            return
        case Unsatisfiable():
            sent = []
    assert asked <= set(sent)
    assert len(sent) == len(set(sent))
    assert all(0 <= at < length for at in sent)
    assert bool(sent) == bool(asked)


@given(st.text())
def test_junk_never_raises(value: str) -> None:
    cut(value, 100)
    cut(f"bytes={value}", 100)
    names = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range")
    for name in names:
        decide("GET", {name: value, "range": "bytes=0-1"}, HELD)


def test_content_range_names_the_part_and_the_whole() -> None:
    assert Part(2, 5).content_range(10) == "bytes 2-5/10"
    assert Unsatisfiable(10).content_range == "bytes */10"


@given(st.lists(st.tuples(positions, positions), min_size=1, max_size=5))
def test_a_multipart_body_has_the_announced_length_and_parses(
    pairs: list[tuple[int, int]],
) -> None:
    body = bytes(byte % 251 for byte in range(3001))
    ranges = [Part(min(pair), max(pair)) for pair in pairs]
    plan = plan_multipart(ranges, length=len(body), media_type="text/x-raw", boundary="b0undary")
    sent = b"".join(head + body[part.first : part.last + 1] for head, part in plan.parts)
    sent += plan.closing
    assert len(sent) == plan.content_length
    pieces = sent.split(b"--b0undary")
    assert pieces[0] == b""
    assert pieces[-1] == b"--\r\n"
    for part, piece in zip(ranges, pieces[1:-1], strict=True):
        head, _, content = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = BytesParser().parsebytes(head + b"\r\n\r\n")
        assert fields["content-range"] == part.content_range(len(body))
        assert fields["content-type"] == "text/x-raw"
        assert content == body[part.first : part.last + 1] + b"\r\n"
    assert re.fullmatch(r'multipart/byteranges; boundary="b0undary"', plan.content_type)


@pytest.mark.parametrize("boundary", ["", "a b", 'a"b', "x" * 71, "a\r\nb"])
def test_a_boundary_that_is_none_is_refused(boundary: str) -> None:
    with pytest.raises(ValueError, match="cannot separate the parts"):
        plan_multipart([Part(0, 1)], length=9, media_type="text/plain", boundary=boundary)
