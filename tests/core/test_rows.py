"""Row tables: every key is found and nothing else; a damaged table says so."""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.rows import (
    PLAIN,
    PLAIN_SIZE,
    Row,
    Table,
    build,
    decode_row,
    encode_plain,
    encode_row,
    is_denied,
)
from proxy.errors import StorageError

keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def made(rows: dict[str, bytes]) -> bytes:
    return b"".join(build(rows))


@given(st.dictionaries(keys, st.binary(max_size=20)), keys)
def test_what_was_put_in_is_found_and_nothing_else(rows: dict[str, bytes], other: str) -> None:
    table = Table(made(rows))
    assert len(table) == len(rows)
    assert dict(zip(table.keys(), map(table.get, table.keys()), strict=True)) == rows
    assert table.get(other) == rows.get(other)


@given(st.dictionaries(keys, st.binary(max_size=20), min_size=1))
def test_a_place_is_where_the_value_lies(rows: dict[str, bytes]) -> None:
    body = made(rows)
    for key, value in rows.items():
        found = Table(body).find(key)
        assert found is not None
        assert body[found[0] : found[0] + found[1]] == value


def test_the_later_of_two_equal_keys_counts() -> None:
    assert Table(b"".join(build([("k", b"old"), ("k", b"new")]))).get("k") == b"new"


def test_a_table_cut_short_anywhere_is_refused() -> None:
    body = made({f"key-{number}": b"value" * number for number in range(9)})
    for end in range(len(body)):
        with pytest.raises(StorageError):
            Table(body[:end])


@given(st.integers(0), st.binary(min_size=1, max_size=8), st.booleans())
def test_a_damaged_table_says_so_and_never_points_outside(
    at: int, damage: bytes, with_count: bool
) -> None:
    rows = {f"key-{number}": b"value" * number for number in range(9)}
    body = bytearray(made(rows))
    at = at % len(body) if with_count else 16 + at % 160  # 160: the offsets
    body[at : at + len(damage)] = damage[: len(body) - at]
    for key in rows:
        with contextlib.suppress(StorageError):
            found = Table(bytes(body)).find(key)
            assert found is None or 0 <= found[0] <= found[0] + found[1] <= len(body)
    with contextlib.suppress(StorageError):
        assert all(isinstance(key, str) for key in Table(bytes(body)).keys())  # noqa: SIM118 - no mapping


def test_a_key_that_is_no_text_is_absent() -> None:
    assert Table(made({"a": b"1"})).get("\ud800") is None


@pytest.mark.parametrize("body", [b"short", b"x" * 100, b"ROWS2\0\0\0" + b"\xff" * 80])
def test_the_map_of_a_refused_table_can_be_closed(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "table"
    path.write_bytes(body)
    with (
        path.open("rb") as file,
        pytest.raises(StorageError),
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        Table(mapped)


@given(st.binary(max_size=200))
def test_rubbish_is_refused(body: bytes) -> None:
    with pytest.raises(StorageError):
        Table(body)


def test_a_mapped_file_serves_as_well(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_bytes(made({"a": b"1", "b": b"2"}))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        table = Table(mapped)
        assert table.get("b") == b"2"
        table.close()


@given(
    st.none() | st.text(),
    st.none() | st.integers(0, 1 << 60),
    st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
    st.none() | st.tuples(st.text(), st.text()),
)
def test_a_row_survives_the_table(
    url: str | None, size: int | None, hashes: dict[str, str], denied: tuple[str, str] | None
) -> None:
    row = Row(url=url, size=size, hashes=hashes, denied=denied)
    assert decode_row(encode_row(row)) == row


@given(st.binary(max_size=40))
def test_a_value_that_is_no_row_is_refused(value: bytes) -> None:
    with contextlib.suppress(StorageError):
        assert isinstance(decode_row(value), Row)


@given(st.none() | st.just("u"), st.none() | st.integers(0, 9), st.booleans(), st.booleans())
def test_whether_a_file_is_hidden_is_told_without_reading_its_row(
    url: str | None, size: int | None, denied: bool, derived: bool
) -> None:
    for hashes in ({}, {"sha256": "0" * 64}):
        row = Row(
            url=url,
            size=size,
            hashes=hashes,
            denied=("rule", "reason") if denied else None,
            derived=derived,
        )
        assert is_denied(encode_row(row)) is denied


@given(st.lists(st.tuples(st.integers(0, PLAIN_SIZE - 1), st.binary(min_size=32, max_size=32))))
def test_plain_rows_say_what_other_rows_do(files: list[tuple[int, bytes]]) -> None:
    values = encode_plain([size for size, _ in files], [digest for _, digest in files])
    for number, (size, digest) in enumerate(files):
        value = values[number * PLAIN :][:PLAIN]
        assert decode_row(value) == Row(size=size, hashes={"sha256": digest.hex()})
        assert not is_denied(value)
    assert len(values) == len(files) * PLAIN


def test_a_plain_row_cut_short_is_damaged() -> None:
    value = encode_plain([1], [bytes(32)])
    with pytest.raises(StorageError):
        decode_row(value[:-1])
