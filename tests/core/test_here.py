"""The table of what is here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.here import holds, read, table

SHA, MD5 = "ab" * 32, "cd" * 16
hexes = st.binary(min_size=16, max_size=64).map(bytes.hex)


@given(st.lists(hexes), st.randoms())
def test_the_same_files_make_the_same_table(digests: list[str], random: st.DataObject) -> None:
    shuffled = digests * 2
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert table(digests) == table(shuffled)
    assert all(holds(read(table(digests)), [one]) for one in digests)


@pytest.mark.parametrize(
    ("digests", "held"),
    [
        ((SHA,), True),
        ((None, MD5), True),
        ((SHA.upper(),), True),
        ((SHA[:31],), False),
        (("no digest, though it is long enough",), False),
        (("ef" * 32,), False),
        ((None, 5), False),
        ((), False),
    ],
)
def test_a_file_is_here_by_any_of_its_digests(digests: tuple[object, ...], held: bool) -> None:
    assert holds(read(table([SHA, MD5])), digests) is held


@pytest.mark.parametrize(
    ("digests", "name", "held"),
    [((), "a.whl", True), ((), "b.whl", False), (("ef" * 32,), "a.whl", False)],
)
def test_a_name_counts_only_where_there_is_no_digest(
    digests: tuple[str, ...], name: str, held: bool
) -> None:
    assert holds(read(table([SHA], ["a.whl"])), digests, name) is held
