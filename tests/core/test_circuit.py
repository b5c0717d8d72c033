"""When a host is left alone, for how long, and what brings it back."""

from __future__ import annotations

import pytest

from proxy.core.circuit import REST, REST_MAX, Circuit, State


def failing(circuit: Circuit, times: int, *, trip_after: int = 3, now: float = 0.0) -> Circuit:
    for _ in range(times):
        circuit = circuit.failed(now=now, trip_after=trip_after)
    return circuit


@pytest.mark.parametrize(
    ("failures", "trip_after", "state"),
    [
        (0, 3, State.CLOSED),
        (2, 3, State.CLOSED),
        (3, 3, State.OPEN),
        (9, 3, State.OPEN),
        (1, 1, State.OPEN),
        (1000, 0, State.CLOSED),
    ],
)
def test_so_many_failures_in_a_row_open_it(failures: int, trip_after: int, state: State) -> None:
    circuit = failing(Circuit(), failures, trip_after=trip_after)
    assert circuit.state is state
    assert (circuit.wait(0.0) is None) == (state is State.CLOSED)


def test_failures_while_it_is_open_do_not_prolong_the_rest() -> None:
    opened = failing(Circuit(), 3)
    late = failing(opened, 50, now=0.9)
    assert (late.until, late.rest) == (opened.until, opened.rest) == (REST, REST)


def test_each_trial_in_vain_doubles_the_rest_up_to_a_bound() -> None:
    circuit, rests = failing(Circuit(), 3), []
    for _ in range(10):
        rests.append(circuit.rest)
        circuit = circuit.tried()
        assert circuit.state is State.HALF_OPEN
        circuit = circuit.failed(now=0.0, trip_after=3)
        assert circuit.state is State.OPEN
    assert rests[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert set(rests[6:]) == {REST_MAX}


def test_nobody_is_told_to_come_back_in_less_than_a_second() -> None:
    circuit = failing(Circuit(), 3, now=100.0)
    assert circuit.wait(100.0) == REST
    assert circuit.wait(100.9) == 1.0
    assert circuit.tried().wait(500.0) == 1.0
