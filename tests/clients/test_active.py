"""Active mirrors on a real server: fetched ahead, killed in the middle, and installed from."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.mirror.ledger import Ledger
from proxy.mirror.port import Cause, Run, RunDetails, RunState, Step
from tests.lab.channel import Recipe, build_channel
from tests.lab.channel import tree as family
from tests.lab.clients import Pip, Rattler, fetch
from tests.lab.origin import Behaviour, Origin
from tests.lab.processes import tree
from tests.lab.server import MirrorConfig, ProxyServer, eventually
from tests.lab.simple_index import build_index

pytestmark = pytest.mark.clients


class Active:
    """A server with one active mirror, whose runs are queued while it is down."""

    def __init__(self, origin: Origin, server: ProxyServer) -> None:
        self.origin = origin
        self.server = server
        self._folder = server.folder / "cache" / "mirrors"

    @property
    def key(self) -> str:
        mirror = self.server.mirrors[0]
        return f"{mirror.type}/{mirror.name}"

    def queue(self) -> None:
        """As if the server had ended just when a run was asked for."""
        self._folder.mkdir(parents=True, exist_ok=True)
        run = Run(
            id="00000001",
            mirror=self.key,
            cause=Cause.ASKED,
            state=RunState.QUEUED,
            step=Step.QUEUED,
            queued_at=time.time(),
        )

        async def write() -> None:
            ledger = Ledger(self._folder / "ledger.sqlite")
            await ledger.remember(RunDetails(run=run), keep=20)
            await ledger.aclose()

        asyncio.run(write())

    def details(self) -> RunDetails:
        async def read() -> RunDetails:
            ledger = Ledger(self._folder / "ledger.sqlite")
            (details,) = ledger.all_runs()
            await ledger.aclose()
            return details

        return asyncio.run(read())

    def completed(self) -> RunDetails:
        """Wait for the end of the run."""
        eventually(lambda: self.details().run.state.is_final, "the run is over", within=60)
        details = self.details()
        assert details.run.state is RunState.COMPLETED, self.server.log
        return details


@contextmanager
def active(
    folder: Path, kind: str, *, workers: int = 1, latency: float = 0.0, **options: object
) -> Iterator[Active]:
    """A server whose only mirror is active; its run is queued, and the server not started."""
    with Origin(folder / "upstream", Behaviour(latency=latency)) as origin:
        source = f"{origin.url}/channel" if kind == "conda" else f"{origin.url}/simple/"
        options = {"mode": "active", "fresh_min": 0, "fresh_max": 0, **options}
        mirror = MirrorConfig(type=kind, name="m", source=source, options=options)
        server = ProxyServer(folder / "server", [mirror], workers=workers)
        made = Active(origin, server)
        made.queue()
        try:
            yield made
        finally:
            server.stop()


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_run_fetched_installs_without_upstream(tmp_path: Path, workers: int) -> None:
    build_channel(tmp_path / "upstream" / "channel", family())
    with active(tmp_path, "conda", workers=workers) as mirror:
        mirror.server.start()
        details = mirror.completed()
        assert details.run.cause is Cause.RESUMED
        assert details.run.counts.fetched == len(family())
        # One index that is there and one that is not, in several forms each, and the files.
        answered = mirror.server.metric("pkgproxy_upstream_requests_total", mirror="conda/m")
        assert answered >= len(family()) + 1
        with mirror.origin.stopped():
            channel = f"{mirror.server.url}/conda/m"
            Rattler(tmp_path / "client").install(channel, "app")


def test_a_run_of_an_index_installs_without_upstream(tmp_path: Path) -> None:
    index = build_index(tmp_path / "upstream")
    with active(tmp_path, "pypi") as mirror:
        mirror.server.start()
        details = mirror.completed()
        assert details.run.counts.fetched == details.run.counts.listed > 0, index
        with mirror.origin.stopped():
            simple = f"{mirror.server.url}/pypi/m/simple/"
            assert Pip(tmp_path / "client").install(simple, "lab-web")


def test_killed_in_the_middle_it_finishes_and_fetches_nothing_twice(tmp_path: Path) -> None:
    recipes = [Recipe(name=f"p{number:03}", payload=3000) for number in range(120)]
    channel = build_channel(tmp_path / "upstream" / "channel", recipes)
    with active(tmp_path, "conda", latency=0.02, concurrency=2) as mirror:
        mirror.server.start()
        packages = "/channel/noarch/*.conda"
        eventually(lambda: len(mirror.origin.asked(packages)) >= 40, "some have been fetched")
        mirror.server.signal(signal.SIGKILL)
        mirror.server.wait()
        before = {one.path for one in mirror.origin.asked(packages)}
        assert len(before) < len(recipes)
        under_way = len(before) - len(list(_blobs(mirror.server)))
        mirror.server.start()
        details = mirror.completed()
        counts = details.run.counts
        assert (counts.fetched + counts.present, counts.failed) == (len(recipes), 0)
        asked = [one.path for one in mirror.origin.asked(packages)]
        assert len(asked) - len(set(asked)) <= max(under_way, 2)  # those that were cut off
        for filename in channel.filenames():
            body = (tmp_path / "upstream" / "channel" / filename).read_bytes()
            assert fetch(f"{mirror.server.url}/conda/m/{filename}").body == body


def test_a_run_whose_process_is_killed_is_gone_on_with(tmp_path: Path) -> None:
    recipes = [Recipe(name=f"p{number:03}", payload=3000) for number in range(60)]
    build_channel(tmp_path / "upstream" / "channel", recipes)
    with active(tmp_path, "conda", latency=0.02, concurrency=2) as mirror:
        mirror.server.start()
        packages = "/channel/noarch/*.conda"
        eventually(lambda: len(mirror.origin.asked(packages)) >= 20, "some have been fetched")
        before = len(set(_blobs(mirror.server)))
        os.kill(_process_of_the_run(mirror.server), signal.SIGKILL)
        counts = mirror.completed().run.counts
        assert (counts.fetched + counts.present, counts.failed) == (len(recipes), 0)
        assert before >= 10
        asked = [one.path for one in mirror.origin.asked(packages)]
        assert len(asked) - len(set(asked)) <= 2  # those that were cut off


def _process_of_the_run(server: ProxyServer) -> int:
    """The only one that this server has begun to work for it: its indexes are small."""
    (found,) = (
        pid
        for pid in tree(server.pid)
        if b"--multiprocessing-fork" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    return found


def _blobs(server: ProxyServer) -> Iterator[Path]:
    yield from (server.folder / "cache" / "sha256").glob("*/*")
