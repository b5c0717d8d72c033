"""A table in blocks is a table of all their rows, and says so when it is damaged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core import rows
from proxy.core.blocks import Block, Blocks, block, build, is_run, opened
from proxy.errors import StorageError

_keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_runs = st.lists(st.dictionaries(_keys, st.binary(max_size=9), max_size=20), max_size=3)


def made(runs: list[dict[str, bytes]], size: int) -> bytes:
    """A table of these runs, in blocks of *size* rows."""
    return b"".join(build([blocks_of(run, size) for run in runs]))


def blocks_of(run: dict[str, bytes], size: int) -> list[Block]:
    keys = sorted(run)
    found = []
    for some in (keys[at : at + size] for at in range(0, len(keys), size)):
        values = [run[key] for key in some]
        found.append(block(some, b"".join(values), map(len, values)))
    return found


@given(_runs, st.integers(1, 5), _keys)
def test_every_row_is_found_and_nothing_else(
    runs: list[dict[str, bytes]], size: int, other: str
) -> None:
    body = made(runs, size)
    table = opened(body)
    everything = {key: value for run in runs for key, value in run.items()}
    assert isinstance(table, Blocks)
    assert len(table) == len(everything)
    assert list(table.keys()) == sorted(everything)
    assert dict(table.items()) == everything
    assert {key: table.get(key) for key in everything} == everything
    assert table.get(other) == everything.get(other)
    for key, value in everything.items():
        at, length = table.find(key) or (0, 0)
        assert body[at : at + length] == value


@given(_runs, st.integers(1, 5))
def test_the_blocks_of_each_run_come_back(runs: list[dict[str, bytes]], size: int) -> None:
    table = Blocks(made(runs, size))
    for number, run in enumerate(runs):
        assert table.run(number) == blocks_of(run, size)
        assert is_run(table.run(number))


def test_blocks_that_are_out_of_order_or_overlap_are_no_run() -> None:
    first, second = blocks_of({"a": b"1", "b": b"2", "c": b"3", "d": b"4"}, 2)
    assert is_run([first, second])
    assert not is_run([second, first])
    assert not is_run([first, *blocks_of({"b": b"2", "c": b"3"}, 2)])


@given(_runs.filter(any), st.data())
def test_a_table_cut_short_or_overwritten_is_an_error_or_finds_what_is_there(
    runs: list[dict[str, bytes]], data: st.DataObject
) -> None:
    body = made(runs, 2)
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(StorageError):
        opened(body[:cut])
    at = data.draw(st.integers(0, len(body) - 1))
    damaged = body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
    for run in runs:
        for key in run:
            try:
                opened(damaged).get(key)
            except StorageError:
                continue


def test_a_whole_table_is_opened_as_one() -> None:
    table = opened(b"".join(rows.build({"k": b"v"})))
    assert isinstance(table, rows.Table)
    assert table.get("k") == b"v"
