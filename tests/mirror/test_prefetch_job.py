"""A prefetch against a server without a network: what it tells, how it ends, how it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from proxy.core.active import Limits
from proxy.errors import ConfigError, UpstreamFailed
from proxy.mirror.checking import check
from proxy.mirror.pace import Pace
from proxy.mirror.port import RunState
from proxy.mirror.prefetch_job import PrefetchJob
from proxy.mirror.prefetching import Prefetch, PrefetchDetails, Wish
from proxy.mirror.wanted.sent_file import SentFile
from tests.mirror.wanted.fake_server import FILES, PYPI, FakeServer, wheel

ASKED = SentFile(name="requirements.txt", text="app\nnobody-has-this; python_version < '3'\n")
WISH = Wish(files=(ASKED,), platforms=("linux-64",), pythons=("3.12",), jobs=1)
PYLOCK = """lock-version = "1.0"
created-by = "x"
requires-python = ">=3.14"
packages = []
"""
QUEUED = Prefetch(id="1", state=RunState.QUEUED, doing="", queued_at=0.0)


def _server() -> FakeServer:
    server = FakeServer()
    server.project("app", wheel("app-1.0", "base"))
    server.project("base", wheel("base-1.0"))
    return server


def _gone(
    server: FakeServer,
    wish: Wish = WISH,
    *,
    heard: Callable[[PrefetchJob, Prefetch], None] = lambda _job, _now: None,
    waiting: Callable[[], int] = lambda: 0,
) -> PrefetchDetails:
    """The end of a prefetch; *heard* is told of each change with the job."""

    async def main() -> PrefetchDetails:
        async def pause(seconds: float) -> None:
            await asyncio.sleep(0)

        seconds = count(1.0)
        clock: Callable[[], float] = lambda: next(seconds)  # noqa: E731 - one second each time
        pace = Pace(Limits(), clock=lambda: 0.0, pause=pause, waiting=waiting)
        jobs: list[PrefetchJob] = []
        job = PrefetchJob(
            QUEUED,
            wish,
            server=server,
            pace=pace,
            clock=clock,
            changed=lambda now: heard(jobs[0], now),
        )
        jobs.append(job)
        return await job.go()

    return asyncio.run(main())


def test_all_that_a_file_needs_is_pulled_and_counted() -> None:
    server = _server()
    told: list[Prefetch] = []
    found = _gone(server, heard=lambda _, now: told.append(now)).prefetch
    assert found.state is RunState.COMPLETED
    assert found.files == found.fetched + found.present == 4
    assert found.bytes == sum(len(body) for url, body in server.bodies.items() if FILES in url)
    assert [one.state for one in told][:1] == [RunState.RUNNING]
    assert told[-1] == found
    assert {one.doing for one in told} >= {"reading", "fetching", ""}


def test_what_fails_is_listed_and_the_rest_goes_on() -> None:
    server = _server()
    server.failing[f"{FILES}app-1.0-py3-none-any.whl"] = UpstreamFailed("it is away")
    found = _gone(server)
    assert found.prefetch.state is RunState.COMPLETED_WITH_FAILURES
    assert [one.reason for one in found.failures] == ["it is away"]
    assert found.failures[0].where.startswith("requirements.txt")
    assert found.prefetch.fetched + found.prefetch.present == 3


def test_a_mirror_that_is_not_there_fails_all_of_it() -> None:
    found = _gone(FakeServer(served=()))
    assert found.prefetch.state is RunState.FAILED
    assert "no mirror of type pypi" in (found.prefetch.error or "")


def test_choices_are_called_as_a_wish_has_them() -> None:
    several = FakeServer(served=(PYPI, replace(PYPI, name="second")))
    told = _gone(several).prefetch.error or ""
    assert "several mirrors are of type pypi: write mirrors with one of pypi/" in told
    told = _gone(FakeServer(), replace(WISH, mirrors=("nvidia",))).prefetch.error or ""
    assert told.startswith("mirrors nvidia: the server has ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"platforms": ("linux",)}, "platforms linux: write one of linux-64"),
        ({"pythons": ("2.7",)}, "pythons 2.7: write a version"),
        ({"files": (SentFile(name="what", text="x"),)}, "write format with one of environment"),
        (
            {"files": (SentFile(name="uv.lock", text="version = 1\nrequires-python = '>=3.14'"),)},
            "not Python 3.12 on linux-64; write pythons",
        ),
        (
            {"files": (SentFile(name="pylock.toml", text=PYLOCK),)},
            "not for Python 3.12 on linux-64; write pythons, platforms: ",
        ),
    ],
)
def test_what_is_wrong_with_a_wish_is_called_as_it_has_it(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as error:
        check(replace(WISH, **changes))
    assert words in str(error.value)
    assert "--" not in str(error.value)


def test_once_stopped_nothing_new_is_begun() -> None:
    def heard(job: PrefetchJob, now: Prefetch) -> None:
        if now.fetched + now.present == 1 and not now.doing.startswith("ending"):
            job.stop()

    found = _gone(_server(), heard=heard).prefetch
    assert found.state is RunState.STOPPED
    assert found.fetched + found.present == 1


def test_it_can_be_stopped_before_its_files_are_known() -> None:
    def heard(job: PrefetchJob, now: Prefetch) -> None:
        if now.doing == "reading":
            job.stop()

    server = _server()
    found = _gone(server, heard=heard).prefetch
    assert (found.state, found.files) == (RunState.STOPPED, None)
    assert not [url for url in server.asked if url.endswith(".whl")]


def test_clients_come_first() -> None:
    looks: list[int] = []

    def waiting() -> int:
        looks.append(1)
        return 1 if len(looks) < 5 else 0

    assert _gone(_server(), waiting=waiting).prefetch.state is RunState.COMPLETED
    assert len(looks) >= 5 + 3
