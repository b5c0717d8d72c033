"""Whichever worker is asked which hosts fail, it tells what all of them know."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.core.circuit import State
from proxy.upstream.circuits import Trouble
from proxy.upstream.troubles import Troubles
from tests.lab.server import MirrorConfig, ProxyServer, eventually, free_port

HERE, THERE = "files.example.org:443", "other.example.org:443"


def trouble(state: State, failures: int, wait: float | None = None, host: str = HERE) -> Trouble:
    alone = 0 if wait is None else 1
    return Trouble(host=host, state=state, failures=failures, wait=wait, left_alone_by=alone)


async def written(troubles: Troubles) -> None:
    """Have what is known now written down, as within a second it would be."""
    task = asyncio.create_task(troubles.run())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@contextmanager
def workers(folder: Path, *known: list[Trouble], now: float = 1000.0) -> Iterator[list[Troubles]]:
    """All of them, the first having nothing to read but what the others wrote."""
    made = [
        Troubles(own, folder, number, len(known), clock=lambda: now)
        for number, own in enumerate(known)
    ]
    for one in made:
        asyncio.run(written(one))
    yield made


def test_what_each_worker_knows_of_a_host_is_put_together(tmp_path: Path) -> None:
    known = (
        [trouble(State.CLOSED, 2)],
        [trouble(State.OPEN, 5, 8.0), trouble(State.CLOSED, 1, host=THERE)],
        [trouble(State.HALF_OPEN, 6, 3.0)],
    )
    with workers(tmp_path, *known) as made:
        for one in made:
            here, there = one
            assert (here.host, here.state, here.failures) == (HERE, State.HALF_OPEN, 13)
            assert (here.wait, here.left_alone_by) == (3.0, 2)
            assert (there.host, there.failures, there.left_alone_by) == (THERE, 1, 0)


def test_a_host_that_answers_again_is_no_longer_told_by_anybody(tmp_path: Path) -> None:
    known = [trouble(State.OPEN, 5, 8.0)]
    with workers(tmp_path, [], known) as (first, second):
        assert [one.host for one in first] == [HERE]
        known.clear()
        asyncio.run(written(second))
        assert list(first) == []


def test_what_a_worker_could_not_write_or_wrote_badly_costs_no_answer(tmp_path: Path) -> None:
    with workers(tmp_path, [trouble(State.OPEN, 5, 8.0)], [], []) as (first, *_):
        (tmp_path / "troubles-1").write_bytes(b"[{")
        (tmp_path / "troubles-2").unlink()
        assert [one.host for one in first] == [HERE]


def test_a_lone_worker_writes_nothing(tmp_path: Path) -> None:
    with workers(tmp_path, [trouble(State.OPEN, 5, 8.0)]) as (only,):
        assert [one.left_alone_by for one in only] == [1]
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [3])
def test_every_worker_of_a_server_tells_it(tmp_path: Path, count: int) -> None:
    port = free_port()
    mirror = MirrorConfig(type="files", name="f", source=f"http://127.0.0.1:{port}/")
    tables = {"upstream": {"trip_after": 1, "attempts": 1}}
    with ProxyServer(tmp_path, [mirror], workers=count, tables=tables) as proxy:
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(f"{proxy.url}/files/f/x", timeout=20)

        def all_tell() -> bool:
            """A connection each: the kernel spreads them over the workers."""
            found = []
            for _ in range(8 * count):
                with urllib.request.urlopen(f"{proxy.url}/upstreams", timeout=20) as answer:
                    found.append(json.loads(answer.read())["troubled"])
            return all(
                [(one["host"], one["left_alone_by"]) for one in told] == [(f"127.0.0.1:{port}", 1)]
                for told in found
            )

        eventually(all_tell, "every worker tells of the host that one of them leaves alone")
        assert proxy.metric("pkgproxy_upstream_open_circuits") == 1
