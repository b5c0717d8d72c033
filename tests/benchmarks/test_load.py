"""The benchmark's clients notice whatever is wrong with a body, else no number means anything."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.load import Load, run
from benchmarks.measure import Spread
from tests.lab.origin import Behaviour, Fault, Origin

SIZE = 3_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)) * (SIZE // 250))
    return path


def _load(origin: Origin, file: Path, *, clients: int = 3, times: int = 1) -> Load:
    expected = str(file)
    return Load(port=origin.port, path="/file", expected=expected, clients=clients, times=times)


@pytest.mark.parametrize(("clients", "times"), [(1, 1), (3, 2), (40, 1)])
def test_right_bodies_are_counted_and_timed(file: Path, clients: int, times: int) -> None:
    with Origin(file.parent) as origin:
        outcome = run(_load(origin, file, clients=clients, times=times))
        assert len(origin.asked("/file")) == clients * times
    assert outcome.right == clients * times
    assert outcome.received == SIZE * clients * times
    assert all(0 < seconds <= outcome.wall for seconds in outcome.first_byte)
    assert outcome.failures == []


@pytest.mark.parametrize("fault", Fault)
def test_wrong_bodies_are_not_counted(file: Path, fault: Fault) -> None:
    with Origin(file.parent) as origin:
        origin.fail("/file", fault, times=1)
        outcome = run(_load(origin, file))
    assert outcome.right == 2
    assert len(outcome.failures) == 1


def test_a_longer_or_shorter_body_is_wrong(file: Path, tmp_path: Path) -> None:
    for number, text in enumerate((b"x", file.read_bytes() + b"x")):
        other = tmp_path / f"other-{number}"
        other.write_bytes(text)
        with Origin(file.parent) as origin:
            assert run(_load(origin, other)).right == 0


@pytest.mark.parametrize("comparing", [0, 2, 40])
def test_of_those_that_only_count_each_has_the_length_and_the_rest_compare(
    file: Path, tmp_path: Path, comparing: int
) -> None:
    """A body of other bytes is noticed by as many as compare, one that ends early by all."""
    other = tmp_path / "other"
    other.write_bytes(bytes(SIZE))
    with Origin(file.parent) as origin:
        load = msgspec.structs.replace(_load(origin, file, clients=40), comparing=comparing)
        outcome = run(load)
        assert (outcome.right, outcome.received) == (40, 40 * SIZE)
        assert all(0 < seconds <= outcome.wall for seconds in outcome.first_byte)
        outcome = run(msgspec.structs.replace(load, expected=str(other)))
        assert outcome.right == 0 if comparing == 40 else outcome.right <= 40 - comparing
        origin.fail("/file", Fault.TRUNCATE, times=1)
        outcome = run(load)
    assert outcome.right == 39
    assert len(outcome.failures) == 1


def test_a_rate_is_kept_over_all_bodies_together(file: Path) -> None:
    with Origin(file.parent, Behaviour(rate=20e6)) as origin:
        outcome = run(_load(origin, file, clients=4))
    assert outcome.right == 4
    assert outcome.received / outcome.wall < 20e6 * 1.15


def test_a_ratio_is_taken_round_by_round() -> None:
    assert Spread.of_ratios([2, 4, 9], [1, 2, 3]) == Spread(median=2, low=2, high=3)
