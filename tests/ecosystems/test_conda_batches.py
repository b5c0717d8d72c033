"""Tables read in batches have what the decoder finds in them; what is cut out keeps its bytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ecosystems.conda.batches import Batch, batches
from proxy.errors import BadIndex

Table = dict[str, dict[str, Any]]

_decode = msgspec.json.Decoder(Table).decode
_texts = st.text(st.sampled_from('ab{}[]",:\\ é'), max_size=6)
_values = st.recursive(
    _texts | st.integers(-9, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_texts, inner, max_size=2),
    max_leaves=4,
)
_records = st.dictionaries(_texts, _values, max_size=3)
_tables = st.dictionaries(_texts, _records, max_size=12)
_spacings = st.sampled_from([(None, (", ", ": ")), (None, (",", ":")), (2, (",", ": "))])


def _written(table: Table, spacing: tuple[int | None, tuple[str, str]]) -> bytes:
    return json.dumps(table, indent=spacing[0], separators=spacing[1]).encode()


def _read(text: bytes, size: int) -> list[Batch[dict[str, Any]]]:
    return list(batches(text, _decode, "the table", size))


@given(_tables, _spacings, st.integers(1, 80))
def test_batches_have_every_member_once_and_in_order(
    table: Table, spacing: tuple[int | None, tuple[str, str]], size: int
) -> None:
    found = [item for one in _read(_written(table, spacing), size) for item in one.records.items()]
    assert found == list(table.items())


@given(_tables, _spacings, st.integers(1, 200), st.data())
def test_what_stays_keeps_its_bytes(
    table: Table, spacing: tuple[int | None, tuple[str, str]], size: int, data: st.DataObject
) -> None:
    gone = data.draw(st.sets(st.sampled_from(sorted(table)))) if table else set()
    text = _written(table, spacing)
    runs: list[bytes] = []
    for batch in _read(text, size):
        labels = [None if key in gone else key[:1] for key in batch.records]
        for run in batch.parted(labels):
            runs.append(bytes(run.text))
            assert {key[:1] for key in json.loads(b"{%b}" % runs[-1])} == {run.label}
    assert all(one in text for one in runs)
    kept = json.loads(b"{%b}" % b",".join(runs))
    assert list(kept.items()) == [(key, one) for key, one in table.items() if key not in gone]


def test_flat_members_are_read_together_and_others_alone() -> None:
    table: Table = {f"flat-{number}": {"size": number} for number in range(1000)}
    table["nested"] = {"inner": {}}
    table["braces"] = {"text": "}{}"}
    sizes = [len(batch.records) for batch in _read(json.dumps(table).encode(), 8192)]
    assert sum(sizes) == len(table)
    assert len(sizes) < 400  # those in one window with an odd one are read alone, no others
    assert max(sizes) > 200


def test_a_key_that_is_there_twice_is_given_twice_or_read_as_the_later() -> None:
    text = b'{"a": {"x": 1}, "b": {}, "a": {"x": 2}}'
    assert [list(one.records.items()) for one in _read(text, 1000)] == [
        [("a", {"x": 1})],
        [("b", {})],
        [("a", {"x": 2})],
    ]


@pytest.mark.parametrize("odd", [7, None, [], "text", [{}], True])
@pytest.mark.parametrize("before", [0, 1, 200])
def test_a_member_that_is_no_object_is_named(odd: object, before: int) -> None:
    table: dict[str, object] = {f"a-{number}": {} for number in range(before)}
    text = json.dumps(table | {"odd one": odd, "z": {}}).encode()
    with pytest.raises(BadIndex, match="the table, odd one: "):
        _read(text, 100)


@pytest.mark.parametrize("depth", [3, 40, 400])
def test_deep_members_are_read_however_many_braces_they_have(depth: int) -> None:
    deep: dict[str, Any] = {}
    for _ in range(depth):
        deep = {"in": deep}
    table = {"a": {}, "deep": deep, "b": {}}
    found = {
        key: one
        for batch in _read(json.dumps(table).encode(), 64)
        for key, one in batch.records.items()
    }
    assert found == table
