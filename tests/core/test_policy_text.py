"""Policies in words: amounts are said as people write them."""

from __future__ import annotations

import pytest

from proxy.config.policy_conditions import SIZE
from proxy.core.policy_text import amount


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (1024, "1 KiB"),
        (1024_000, "1000 KiB"),
        (500_000_000, "500 MB"),
        (500 << 20, "500 MiB"),
        (10**9, "1 GB"),
        (2 << 30, "2 GiB"),
        (10**9 + 1, "1000000001 bytes"),
    ],
)
def test_a_size_is_said_in_the_largest_unit_that_leaves_a_whole_number(
    size: int, said: str
) -> None:
    assert amount(size) == said
    if "byte" not in said:
        assert SIZE.read(said) == size
