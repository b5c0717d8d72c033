"""Tables of first sights."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core import first_seen

files = st.binary(min_size=16, max_size=16) | st.sampled_from([b"\0" * 16, b"\0" * 15 + b"\1"])


@given(st.sets(files), st.sets(files), files)
def test_what_was_seen_stays_and_what_is_new_is_of_now(
    first: set[bytes], second: set[bytes], other: bytes
) -> None:
    table = first_seen.merged(None, [(file, 5.0) for file in first], 10.0)
    known = first_seen.read(table)
    assert known == dict.fromkeys(first, 5)
    later = first_seen.merged(known, [(file, 5.0) for file in second], 20.0)
    seen = first_seen.read(later)
    assert seen == dict.fromkeys(second, 20) | dict.fromkeys(first, 5)
    assert first_seen.before(seen, 20) == first
    assert all(first_seen.holds(later, file) for file in first | second)
    assert first_seen.holds(later, other) == (other in seen)
