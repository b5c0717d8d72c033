"""The archive: its index in R's own format, and the pages of its folders."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.rows import Row
from proxy.ecosystems.cran import rds, rds_reader
from proxy.ecosystems.cran.rds import LIST, STRING, Vector
from proxy.errors import BadIndex
from tests.ecosystems.cran_repositories import ARCHIVE, CONTEXT, CRAN, Made, body_of, index_of
from tests.ecosystems.policies import deny, under
from tests.ecosystems.test_cran_policy import SPECS_BELOW_2
from tests.lab.cran import RPackage, archive_rds, listing

OLD = [
    RPackage(name="tool", version="1.0"),
    RPackage(name="tool", version="1.5"),
    RPackage(name="other", version="0.1"),
]
BODY = archive_rds(OLD)
FILES = {"tool/tool_1.0.tar.gz", "tool/tool_1.5.tar.gz", "other/other_0.1.tar.gz"}


def whole(packed: bytes = BODY) -> Vector:
    return rds_reader.read(gzip.decompress(packed))


def members(value: Vector) -> Sequence[Any]:
    """What a list holds."""
    assert not isinstance(value.values, bytes)
    return value.values


def packed(value: Vector) -> bytes:
    return gzip.compress(rds.written(value))


def test_all_that_it_lists_has_a_row_and_the_rest_is_as_upstream_sent_it() -> None:
    made = Made(BODY, path=ARCHIVE)
    assert made.rows == dict.fromkeys(FILES, Row())
    assert made.forms["rds"] == BODY


def test_a_policy_leaves_out_lines_and_tables_of_which_nothing_is_left() -> None:
    context = under(CONTEXT, deny(SPECS_BELOW_2, reason="old"))
    made = Made(BODY, context, ARCHIVE)
    assert made.archived == {"other/other_0.1.tar.gz"}
    assert made.gate == made.archived
    assert made.rows["tool/tool_1.0.tar.gz"].denied == ("no", "old")
    assert made.counts == {"no": 2}
    shown = whole(made.forms["rds"])
    assert shown.attributes[b"names"] == rds.texts([b"other"])
    assert members(shown)[0] == members(whole())[1], "what is shown of a table is as it was"


def test_columns_are_cut_to_the_lines_that_are_shown() -> None:
    context = under(CONTEXT, deny(replace(SPECS_BELOW_2, texts=("tool (<= 1.0)",))))
    shown = whole(Made(BODY, context, ARCHIVE).forms["rds"])
    frame = members(shown)[0]
    assert isinstance(frame, Vector)
    assert frame.attributes[b"row.names"] == rds.texts([b"tool/tool_1.5.tar.gz"])
    size, mtime = members(frame)
    assert isinstance(size, Vector)
    assert isinstance(mtime, Vector)
    assert size.values == struct.pack(">d", len(OLD[1].tarball))
    assert mtime.attributes == members(members(whole())[0])[1].attributes


@pytest.mark.parametrize("name", [b"tool/readme.txt", b"tool/other_1.0.tar.gz", b"tool", b"\xff"])
def test_what_is_no_package_is_not_shown(name: bytes) -> None:
    value = whole()
    frame = members(value)[0]
    changed = replace(
        frame,
        attributes={**frame.attributes, b"row.names": rds.texts([name, b"tool/tool_1.5.tar.gz"])},
    )
    made = Made(packed(replace(value, values=[changed, *members(value)[1:]])), path=ARCHIVE)
    assert made.archived == made.gate == FILES - {"tool/tool_1.0.tar.gz"}


def test_an_archive_of_nothing_is_an_archive() -> None:
    made = Made(archive_rds([]), path=ARCHIVE)
    assert (made.rows, made.archived) == ({}, set())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "cut short"),
        (b"<html>", "no R data in XDR form"),
        (gzip.compress(b"A\n123"), "no R data in XDR form"),
        (packed(rds.texts([b"a"])), "no list with names"),
        (packed(Vector(type=LIST, values=[rds.texts([])])), "no list with names"),
        (packed(replace(whole(), attributes={b"names": rds.texts([b"a"])})), "as many names"),
        (packed(replace(whole(), values=[rds.texts([])] * 2)), "no table of files"),
        (packed(replace(whole(), values=[Vector(type=LIST, values=[])] * 2)), "without their"),
        (gzip.compress(gzip.decompress(BODY)[:-3]), "cut short"),
        (gzip.compress(gzip.decompress(BODY) + b"more"), "not one value"),
    ],
)
def test_what_is_wrong_is_said(body: bytes, message: str) -> None:
    with pytest.raises(BadIndex, match=message) as wrong:
        Made(body, path=ARCHIVE)
    assert str(wrong.value).startswith(f"{ARCHIVE} from https://")


def test_columns_of_another_length_are_refused() -> None:
    value = whole()
    frame = replace(members(value)[0], values=[rds.integers(1)])
    with pytest.raises(BadIndex, match="columns of different lengths"):
        Made(packed(replace(value, values=[frame, *members(value)[1:]])), path=ARCHIVE)


# -- pages -------------------------------------------------------------------------------


def page_of(content: bytes, gate: bytes | None = None) -> str:
    index = index_of("src/contrib/Archive/tool/")
    context = CONTEXT if gate is None else under(CONTEXT, deny(SPECS_BELOW_2))
    body = replace(body_of(content), gate=gate)
    (one,) = CRAN.render(index, body, context, frozenset({"html"}))
    return b"".join(one.chunks).decode()


def test_a_page_is_written_anew_with_the_links_to_packages() -> None:
    upstream = listing(OLD[:2]) + b'<a href="../../../../x">x</a><a href="evil.exe">e</a>'
    page = page_of(upstream + b'<A HREF="/cran/src/contrib/Archive/tool/tool_1%2E7.tar.gz">')
    links = [part.partition('"')[0] for part in page.split('href="')[1:]]
    assert links == ["tool_1.0.tar.gz", "tool_1.5.tar.gz", "tool_1.7.tar.gz"]


def test_a_page_shows_what_the_archive_s_index_shows() -> None:
    context = under(CONTEXT, deny(replace(SPECS_BELOW_2, texts=("tool (<= 1.0)",))))
    gate = Made(BODY, context, ARCHIVE).forms["rows"]
    unknown = b'<a href="tool_9.9.tar.gz">not in the index</a>'
    page = page_of(listing(OLD[:2]) + unknown, gate=gate)
    assert "tool_1.5" in page
    assert "tool_1.0" not in page
    assert "tool_9.9" not in page


def test_a_page_shows_nothing_where_the_archive_s_index_lists_nothing() -> None:
    assert "tar.gz" not in page_of(listing(OLD), gate=Made(b"").forms["rows"])


def test_a_page_cannot_be_made_to_say_more() -> None:
    page = page_of(b'<a href="tool_1&quot;&gt;&lt;script&gt;.tar.gz">x</a>')
    assert "<script" not in page


# -- R's data ----------------------------------------------------------------------------


def xdr(*pieces: bytes | float, version: int = 3) -> bytes:
    """A file of R's with these words after its header."""
    head = b"X\n" + struct.pack(">iii", version, 0x040202, 0x030500)
    encoding = struct.pack(">i", 5) + b"UTF-8" if version == 3 else b""
    return head + encoding + words_of(*pieces)


def words_of(*pieces: bytes | float) -> bytes:
    return b"".join(map(_word, pieces))


def _word(piece: bytes | float) -> bytes:
    if isinstance(piece, bytes):
        return piece
    return struct.pack(">i" if isinstance(piece, int) else ">d", piece)


def chars(text: bytes) -> bytes:
    return struct.pack(">ii", 9 | 1 << 18, len(text)) + text


def form(name: bytes) -> bytes:
    """The description of a compact vector: a pair list of two names and a number."""
    words: list[bytes | float] = [238, 2, 1, chars(name), 2, 1, chars(b"base"), 2, 13, 1, 14, 254]
    return words_of(*words)


def test_compact_vectors_are_read() -> None:
    sequence = xdr(form(b"compact_intseq"), 14, 3, 3.0, 5.0, 1.0, 254)
    assert rds_reader.read(sequence) == rds.integers(5, 6, 7)
    inner = _word(16) + _word(1) + chars(b"a")
    wrapped = xdr(form(b"wrap_string"), 2, inner, 13, 2, 0, 0, 254)
    assert rds_reader.read(wrapped) == rds.texts([b"a"])


def test_names_that_are_referred_to_are_found_again() -> None:
    named = words_of(16 | 1 << 9, 1, chars(b"v"), 2 | 1 << 10, 1, chars(b"names"))
    again = words_of(16 | 1 << 9, 1, chars(b"v"), 2 | 1 << 10, 255 | 1 << 8)
    value = words_of(16, 1, chars(b"n"), 254)
    found = rds_reader.read(xdr(19, 2, named, value, again, value, version=2))
    assert [set(one.attributes) for one in members(found)] == [{b"names"}, {b"names"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (xdr(version=4), "version 4"),
        (xdr(4, 254), "type 4, which no index has"),  # an environment
        (xdr(3, 254), "type 3"),  # a function
        (xdr(16, -1), "-1 members"),
        (xdr(16, 1 << 30), "members"),
        (xdr(16, 1, 13, 0), "a text that is none"),
        (xdr(16, 1, 9, -2), "cut short"),
        (xdr(16, 1, 9, 50), "cut short"),
        (xdr(form(b"deferred_string"), 254, 254), "unknown form"),
        (xdr(form(b"compact_intseq"), 14, 3, 1e9, 1.0, 1.0, 254), "impossible bounds"),
        (xdr(form(b"compact_intseq"), 14, 3, float("nan"), 1.0, 1.0, 254), "impossible bounds"),
        (xdr(form(b"compact_intseq"), 254, 254), "without bounds"),
        (xdr(form(b"wrap_real"), 19, 0, 254), "without one in it"),
        (xdr(form(b"wrap_real"), 2, 254, 254, 254), "without one in it"),
        (xdr(16 | 1 << 9, 0, 2 | 1 << 10, 255 | 9 << 8), "a name that it has not"),
        (xdr(16 | 1 << 9, 0, 2 | 1 << 10, 255, -5), "a name that it has not"),
        (xdr(16 | 1 << 9, 0, 2, 1), "no list of names"),
        (xdr(*[19, 1] * 40, 254), "nested too deeply"),
        (xdr(254), "not one value"),
    ],
)
def test_other_data_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(BadIndex, match=message):
        rds_reader.read(content)


_TEXTS = st.lists(st.none() | st.text(max_size=5).map(str.encode), max_size=4).map(rds.texts)
_INTEGERS = st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4).map(lambda it: rds.integers(*it))
_LEAVES = _TEXTS | _INTEGERS
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.builds(
        Vector,
        type=st.just(LIST),
        values=st.lists(st.none() | inner, max_size=3),
        attributes=st.dictionaries(st.sampled_from([b"names", b"class", b"x"]), _LEAVES),
    ),
    max_leaves=8,
)


@given(_VALUES)
def test_what_is_written_is_read_again(value: Vector) -> None:
    assert rds_reader.read(rds.written(value)) == value


def test_what_has_a_class_is_marked_so_that_r_finds_its_methods() -> None:
    for attributes, flags in (({b"names": b"x"}, 1 << 9), ({b"class": b"x"}, 1 << 9 | 1 << 8)):
        texts = {name: rds.texts([value]) for name, value in attributes.items()}
        written = rds.written(Vector(type=LIST, values=[], attributes=texts))
        assert struct.unpack(">I", written[14:18])[0] == LIST | flags


def test_a_text_says_how_it_is_encoded() -> None:
    ascii_, utf8, latin1 = (
        struct.unpack(">I", rds.text(one)[:4])[0] for one in (b"a", b"\xc3\xa4", b"\xe4")
    )
    assert (ascii_ >> 18 & 1, utf8 >> 15 & 1, latin1 >> 14 & 1) == (1, 1, 1)
    assert STRING == 16
