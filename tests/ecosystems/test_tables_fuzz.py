"""What the store gives back is read, or is said to be damaged: disks rot."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core import first_seen, here
from proxy.ecosystems import kept
from proxy.ecosystems.conda import shards
from proxy.errors import BadIndex, StorageError

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["packages", "packages.conda", "v3", "whl", "x"]), inner)
    ),
    max_leaves=8,
)
DEEP = b"\x91" * 100_000


@given(st.binary() | _VALUES.map(msgspec.msgpack.encode))
@example(DEEP)
@example(msgspec.msgpack.encode({"packages": {}, "packages.conda": {}, "v3": {"whl": {"a": {}}}}))
@example(msgspec.msgpack.encode([]))
def test_any_shard(content: bytes) -> None:
    for packed in (content, zstandard.compress(content)):
        with contextlib.suppress(BadIndex):
            list(shards.listed(packed))


@given(st.binary() | _VALUES.map(msgspec.msgpack.encode))
@example(DEEP)
def test_any_table_of_what_is_kept(content: bytes) -> None:
    with contextlib.suppress(StorageError):
        kept.read(content)


@given(st.binary())
def test_any_table_of_first_sights(content: bytes) -> None:
    with contextlib.suppress(StorageError):
        first_seen.read(content)


@given(st.binary())
def test_any_table_of_what_is_here(content: bytes) -> None:
    assert len(here.read(content)) <= len(content)


@pytest.mark.parametrize("content", [b"", b"\xc1", DEEP])
def test_damage_is_told(content: bytes) -> None:
    with pytest.raises(StorageError, match="damaged"):
        kept.read(content)
