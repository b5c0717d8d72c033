"""The tally: what all processes count comes together, and none waits for another."""

from __future__ import annotations

import contextlib
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.storage.tally import Tally

steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 2), st.integers(0, 1 << 40)),
        st.tuples(st.just("reopen"), st.integers(0, 2), st.just(0)),
    )
)


def _close(tallies: list[Tally]) -> None:
    for one in tallies:
        one.close()


@given(steps=steps)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_that_was_added_is_counted_by_whoever_looks(
    tmp_path: Path, steps: list[tuple[str, int, int]]
) -> None:
    path, total = tmp_path / "tally", 0
    path.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        tallies = [Tally(path) for _ in range(3)]
        stack.callback(lambda: _close(tallies))
        for what, number, count in steps:
            if what == "add":
                tallies[number].add(count)
                total += count
            else:
                tallies[number].close()
                tallies[number] = Tally(path)
            assert {one.read() for one in tallies} == {total}
    assert path.stat().st_size <= 3 * 16  # places are taken over


def test_the_numbers_of_an_older_version_are_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "tally"
    path.write_bytes((1000).to_bytes(8, "little") + (70).to_bytes(8, "little"))
    tally = Tally(path)
    tally.add(-400)
    assert (tally.read(), tally.asked()) == (600, 70)
    tally.close()


def test_the_largest_that_anyone_asked_for_is_answered_once(tmp_path: Path) -> None:
    one, other = Tally(tmp_path / "tally"), Tally(tmp_path / "tally")
    one.ask(50)
    other.ask(70)
    other.ask(60)
    one.add(5)
    assert one.asked() == other.asked() == 70
    assert one.answer() == 70
    assert (other.answer(), other.asked(), other.read()) == (0, 0, 5)
    one.close()
    other.close()
