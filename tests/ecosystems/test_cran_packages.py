"""PACKAGES: read strictly, shown in three forms, and what it promises of each file."""

from __future__ import annotations

import bz2
import gzip
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.rows import Row
from proxy.ecosystems.cran import dcf as reader
from proxy.ecosystems.cran.packed import unpacked
from proxy.errors import BadIndex
from tests.ecosystems.cran_repositories import Made, body_of, dcf

MD5 = "0123456789abcdef" * 2
TEXT = b"""\
Package: A3
Version: 1.0.0
Depends: R (>= 2.15.0), xtable,
        pbapply
License: GPL (>= 2)
MD5sum: 0123456789ABCDEF0123456789ABCDEF
NeedsCompilation: no

Package: Matrix
Version: 1.7-4
Priority: recommended
Path: 4.6.0/Recommended
License: GPL (>= 2) | file LICENCE

Package: named
Version: 2
File: named_2_R_x86_64.tar.gz
"""


def test_nothing_is_changed_where_nothing_is_hidden() -> None:
    packed = gzip.compress(TEXT, mtime=7)
    made = Made(packed)
    assert made.text == TEXT
    assert made.forms["gz"] == packed, "as upstream packed it"
    assert Made(TEXT).packed == TEXT


def test_every_file_has_a_row_with_its_place_and_its_digest() -> None:
    assert Made(TEXT).rows == {
        "A3_1.0.0.tar.gz": Row(hashes={"md5": MD5}),
        "4.6.0/Recommended/Matrix_1.7-4.tar.gz": Row(),
        "named_2_R_x86_64.tar.gz": Row(),
    }


def test_the_rds_form_is_what_r_makes_of_the_text() -> None:
    first, second, third = Made(TEXT).table
    assert first["Depends"] == "R (>= 2.15.0), xtable,\npbapply"
    assert (first["Version"], first["Path"]) == ("1.0.0", None)
    assert second["License"] == "GPL (>= 2) | file LICENCE"
    assert third == {**dict.fromkeys(first), "Package": "named", "Version": "2"} | {
        "File": "named_2_R_x86_64.tar.gz"
    }


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_it_is_unpacked_whatever_it_is_called(pack: type[bytes]) -> None:
    assert Made(pack(TEXT)).text == TEXT


def test_an_index_of_nothing_is_an_index() -> None:
    for empty in (b"", b"\n\n", gzip.compress(b"")):
        made = Made(empty)
        assert (made.rows, made.table) == ({}, [])


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace(b"\n", b"\r\n"),
        TEXT.replace(b"\n\n", b"\n \t\n\n\n"),
        b"\n\n" + TEXT + b"\n\n",
        TEXT.rstrip(b"\n"),
    ],
)
def test_lines_may_end_as_they_like(text: bytes) -> None:
    made = Made(text)
    assert made.text == text
    assert made.rows == Made(TEXT).rows
    assert made.table == Made(TEXT).table


@pytest.mark.parametrize("between", [b"\n", b" \n", b"\t \n", b"\r\n", b" \r\n", b"\n \n\n"])
def test_a_line_of_blanks_ends_a_record(between: bytes) -> None:
    made = Made(b"Package: a\nVersion: 1\n" + between + b"Package: b\nVersion: 2\n")
    assert set(made.rows) == {"a_1.tar.gz", "b_2.tar.gz"}


def test_what_is_no_package_s_file_is_not_shown() -> None:
    tool = {"Package": "tool", "Version": "1.0"}
    made = Made(dcf({**tool, "File": "setup.exe"}, tool, {**tool, "File": "x/notes.txt"}))
    assert made.text.count(b"Package") == 1
    assert made.gate == {"tool_1.0.tar.gz"}
    assert made.table == [{"Package": "tool", "Version": "1.0"}]
    assert made.packed == made.text


def test_addresses_that_answer_each_r_with_another_file_promise_no_digest() -> None:
    url = "https://r.example.org/cran/__linux__/noble/latest/src/contrib/PACKAGES.gz"
    assert not any(row.hashes for row in Made(body_of(TEXT, url=url)).rows.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"Package: a\nVersion: 1\nno field\n", "line 3: 'no field' is neither a field nor"),
        (b"Package: a\nVersion: 1\n\n continued\n", "line 4: ' continued' is neither"),
        (b"Package: a\nVersion: 1\nPackage: b\n", "line 1: a record has a field twice"),
        (b"Package: a\nVersion: 1\nX: \0\n", "line 3: 'X: \\x00' holds a NUL"),
        (b"Package: a\nVersion: 1\rLicense: MIT\n", "line 2: 'Version: 1\\rLicense: MIT' holds"),
        (b"Version: 1\n", "line 1: a record has '' as its Package"),
        (b"Package: a\nVersion: 1\n\nPackage: ../b\nVersion: 1\n", "line 4: a record has '../b'"),
        (b"Package: a\nVersion: 1/2\n", "'1/2' as its Version"),
        (b"Package: a\nVersion: 1\nPath: ../x\n", "no path below its folder"),
        (b"Package: a\nVersion: 1\nPath: /x\n", "no path below its folder"),
        (b"Package: a\nVersion: 1\nFile: x//a_1.tar.gz\n", "no path below its folder"),
        (b"Package: a\nVersion: 1\nMD5sum: 12\n", "its MD5sum is '12'"),
        (b"<html><body>Sign in</body></html>", "line 1: '<html>"),
        (gzip.compress(TEXT)[:-9], "is cut short"),
        (gzip.compress(TEXT) + b"more", "goes on behind"),
        (gzip.compress(TEXT)[:20] + b"\0" * 200, "cannot be unpacked"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: bytes, message: str) -> None:
    with pytest.raises(BadIndex) as wrong:
        Made(text)
    assert message in str(wrong.value)
    assert "src/contrib/PACKAGES from https://r.example.org" in str(wrong.value)


def test_an_index_that_unpacks_to_far_too_much_is_refused() -> None:
    gigabyte = gzip.compress(bytes(1 << 20)) * 1100
    with pytest.raises(BadIndex, match="longer than"):
        unpacked(gigabyte)


def test_packed_parts_one_after_the_other_are_one_text() -> None:
    assert unpacked(gzip.compress(b"a") + gzip.compress(b"b")) == b"ab"


def test_names_that_are_not_utf_8_are_kept() -> None:
    text = (
        b"Package: a\nVersion: 1\nAuthor: J\xf6rg\n\nPackage: b\nVersion: 1\nAuthor: J\xc3\xb6rg\n"
    )
    made = Made(text)
    assert made.text == text
    assert b"J\xf6rg" in gzip.decompress(made.forms["rds"])


_VALUE = st.text(st.characters(exclude_characters="\n\0\r", exclude_categories=["Cs"]), max_size=12)
_RECORDS = st.lists(
    st.dictionaries(
        st.sampled_from(["Depends", "License", "Title", "Priority"]),
        # A line of blanks would end the record.
        st.lists(_VALUE.filter(str.strip), min_size=1, max_size=3).map("\n  ".join),
    ),
    max_size=5,
)


@given(_RECORDS)
def test_for_any_records_all_forms_say_the_same(records: list[dict[str, str]]) -> None:
    whole = [{"Package": f"p{number}", "Version": "1", **one} for number, one in enumerate(records)]
    made = Made(dcf(*whole))
    assert made.packed == made.text
    read = [
        {name.decode(): reader.value(raw).decode() for name, raw in one.fields.items()}
        for one in reader.records(made.text)
    ]
    told = [{name: value for name, value in row.items() if value is not None} for row in made.table]
    assert told == read
    assert set(made.rows) == {f"{one['Package']}_1.tar.gz" for one in whole}
