"""The bench's clients notice whatever is wrong, else its zeros mean nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.bench import crashes, wrong_blobs
from tests.faults.content import Content, digest
from tests.faults.visitors import Promise, Tally, Visitor
from tests.lab.scripted import Answer, Scripted

CHANNEL = "/conda/lab/linux-64"
CONTENT = Content(1)
NAME = CONTENT.packages[0]
RIGHT = CONTENT.files[f"/channel/linux-64/{NAME}"].body
INDEX = CONTENT.files["/channel/linux-64/repodata.json"].body


@dataclass
class Stage:
    """A visitor of a server that says what a test tells it to."""

    server: Scripted
    visitor: Visitor
    tally: Tally


def play(script: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Scripted() as server, asyncio.timeout(20):
            tally = Tally()
            visitor = Visitor(server.url(), CONTENT, tally, seed=1)
            try:
                await script(Stage(server, visitor, tally))
            finally:
                await visitor.aclose()

    asyncio.run(main())


def broken(tally: Tally) -> dict[Promise, int]:
    return dict(tally.violations)


def test_what_is_right_breaks_no_promise() -> None:
    async def script(it: Stage) -> None:
        it.server.play(f"{CHANNEL}/{NAME}", Answer(body=RIGHT))
        it.server.play(f"{CHANNEL}/repodata.json", Answer(body=INDEX))
        assert await it.visitor.package(NAME)
        assert await it.visitor.conda_json("linux-64")
        assert (it.tally.complete, broken(it.tally)) == (2, {})

    play(script)


@pytest.mark.parametrize("body", [RIGHT[:-1], RIGHT + b"x", b"", b"\0" + RIGHT[1:]])
def test_a_wrong_file_is_noticed(body: bytes) -> None:
    async def script(it: Stage) -> None:
        it.server.play(f"{CHANNEL}/{NAME}", Answer(body=body))
        assert not await it.visitor.package(NAME)
        assert broken(it.tally) == {Promise.WHOLE: 1}

    play(script)


def test_a_wrong_index_is_noticed() -> None:
    async def script(it: Stage) -> None:
        other = {"packages.conda": {NAME: {"sha256": digest(b"another")}}}
        for body in (b"", b"<html>", INDEX[:-1], b"{}", json.dumps(other).encode()):
            it.server.play(f"{CHANNEL}/repodata.json", Answer(body=body))
            assert not await it.visitor.conda_json("linux-64")
        assert broken(it.tally) == {Promise.WHOLE: 5}

    play(script)


def test_a_body_that_breaks_off_is_no_wrong_body() -> None:
    async def script(it: Stage) -> None:
        it.server.play(f"{CHANNEL}/{NAME}", Answer(body=RIGHT, stop_at=10))
        assert not await it.visitor.package(NAME)
        assert (it.tally.broken, broken(it.tally)) == (1, {})

    play(script)


@pytest.mark.parametrize(
    ("status", "promise"),
    [
        (404, Promise.ABSENT),
        (410, Promise.ABSENT),
        (500, Promise.STEADY),
        (403, Promise.STEADY),
        (502, None),
        (503, None),
        (504, None),
    ],
)
def test_a_refusal_counts_by_its_status(status: int, promise: Promise | None) -> None:
    async def script(it: Stage) -> None:
        it.server.play(f"{CHANNEL}/{NAME}", Answer(status=status))
        assert not await it.visitor.package(NAME)
        assert broken(it.tally) == ({promise: 1} if promise else {})

    play(script)


@pytest.mark.parametrize("answer", [Answer(status=502), Answer(body=RIGHT, stop_at=10)])
def test_what_was_here_must_be_had_again(answer: Answer) -> None:
    async def script(it: Stage) -> None:
        it.server.play(f"{CHANNEL}/{NAME}", answer)
        it.visitor.expects = True
        assert not await it.visitor.package(NAME)
        assert broken(it.tally) == {Promise.STALE: 1}

    play(script)


def test_a_request_that_hangs_is_noticed() -> None:
    async def script(it: Stage) -> None:
        it.server.play(f"{CHANNEL}/{NAME}", Answer(body=RIGHT, hold=asyncio.Event()))
        visitor = Visitor(it.server.url(), CONTENT, it.tally, seed=1, deadline=0.05)
        assert not await visitor.package(NAME)
        await visitor.aclose()
        assert broken(it.tally) == {Promise.DEADLINE: 1}

    play(script)


def test_blobs_and_logs_are_looked_at(tmp_path: Path) -> None:
    folder = tmp_path / "sha256" / "ab"
    folder.mkdir(parents=True)
    (folder / digest(b"good")).write_bytes(b"good")
    assert wrong_blobs(tmp_path) == []
    (folder / digest(b"bad")).write_bytes(b"ba")
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "1-x").touch()
    assert len(wrong_blobs(tmp_path)) == 2
    assert crashes("… info request status=200\n… error request_crashed error=x\n") == [
        "… error request_crashed error=x"
    ]
