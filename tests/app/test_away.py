"""A run in a process of its own: which further process goes on with it, and in which place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from proxy.app.apart import Crashed
from proxy.app.away import FURTHER, Away, Order
from proxy.app.relaying import Relay
from proxy.app.run_apart import way_to_give
from proxy.app.starving import Starved
from proxy.config.loading import load
from proxy.core.model import Mirror
from proxy.gateway.urgency import stay, take_last_place
from proxy.mirror.port import Cause, Run, RunDetails, RunState, Step
from proxy.observe.happenings import Happenings
from proxy.observe.metrics import Metrics

RUN = Run(
    id="00000001",
    mirror="conda/m",
    cause=Cause.SCHEDULED,
    state=RunState.QUEUED,
    step=Step.QUEUED,
    queued_at=1.0,
)


class Processes:
    """Processes that end as they are told to, one after the other, and then well."""

    def __init__(self, *ends: Exception) -> None:
        self._ends = list(ends)
        self.ordered: list[Run] = []
        self.stopped: list[bool] = []
        self.on_start: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def apart(
        self, _: object, order: Order, *, stop: asyncio.Event, **__: object
    ) -> AsyncIterator[AsyncIterator[object]]:
        self.ordered.append(order.run)
        self.stopped.append(stop.is_set())
        yield self._said(order.run)

    async def _said(self, run: Run) -> AsyncIterator[object]:
        going = replace(run, state=RunState.RUNNING, step=Step.FETCHING)
        yield going
        self.on_start()
        if self._ends:
            raise self._ends.pop(0)
        yield RunDetails(run=replace(going, state=RunState.COMPLETED))


class Server:
    """What the server hears of a run."""

    def __init__(self, folder: Path, processes: Processes, run: Run = RUN) -> None:
        self.starved: list[Run] = []
        self.heard: list[Run] = []
        file = folder / "pkgproxy.toml"
        file.write_text(f'[cache]\npath = "{folder}"\n')
        self.away = Away(
            load(file, {}).settings,
            Mirror(name="m", type="conda", source="https://conda.example.org/m/"),
            run,
            changed=self.heard.append,
            starved=self.starved.append,
            waiting=lambda: 0,
            clock=lambda: 7.0,
            relay=Relay(Metrics(CollectorRegistry()), Happenings(lambda: 7.0)),
            process=processes.apart,
        )

    def go(self) -> RunDetails:
        return asyncio.run(self.away.go())


def _places(runs: Sequence[Run]) -> list[float | None]:
    return [run.starved_at for run in runs]


def test_a_starved_run_goes_on_in_second_place_and_says_so(tmp_path: Path) -> None:
    processes = Processes(Starved("busy"))
    server = Server(tmp_path, processes)
    details = server.go()
    assert _places(processes.ordered) == [None, 7.0]
    assert (details.run.state, details.run.starved_at) == (RunState.COMPLETED, 7.0)
    assert details.run.cause is Cause.SCHEDULED
    assert _places(server.starved) == [7.0]
    assert server.heard[-1].starved_at == 7.0


def test_the_last_place_is_taken_by_runs_that_were_not_starved() -> None:
    assert way_to_give(RUN) is take_last_place
    assert way_to_give(replace(RUN, starved_at=7.0)) is stay


def test_one_that_crashes_later_keeps_its_second_place(tmp_path: Path) -> None:
    processes = Processes(Starved("busy"), Crashed("killed"))
    server = Server(tmp_path, processes)
    details = server.go()
    assert _places(processes.ordered) == [None, 7.0, 7.0]
    assert details.run.cause is Cause.RESUMED
    assert len(server.starved) == 1


def test_so_does_one_that_was_starved_before_the_server_began(tmp_path: Path) -> None:
    processes = Processes()
    server = Server(tmp_path, processes, replace(RUN, starved_at=3.0))
    assert server.go().run.starved_at == 3.0
    assert _places(processes.ordered) == [3.0]
    assert server.starved == []


def test_at_most_once(tmp_path: Path) -> None:
    processes = Processes(Starved("busy"), Starved("busy"))
    with pytest.raises(Starved):
        Server(tmp_path, processes).go()
    assert len(processes.ordered) == 2


def test_one_that_crashes_again_and_again_is_given_up(tmp_path: Path) -> None:
    processes = Processes(*[Crashed("killed")] * (FURTHER + 1))
    with pytest.raises(Crashed):
        Server(tmp_path, processes).go()
    assert len(processes.ordered) == FURTHER + 1


def test_a_run_that_was_told_to_stop_is_ended_by_a_process_that_gets_something(
    tmp_path: Path,
) -> None:
    processes = Processes(Starved("busy"))
    server = Server(tmp_path, processes)
    processes.on_start = server.away.stop
    server.go()
    assert processes.stopped == [False, True]
    assert _places(processes.ordered) == [None, 7.0]
