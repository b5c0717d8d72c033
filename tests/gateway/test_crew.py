"""Worker processes as one server: one fetch for a key, whichever worker is asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop

from proxy.core.model import Bounds, Expected, Mirror, Resource
from proxy.errors import Abandoned, Denied, UpstreamThrottled
from proxy.gateway.answer import Answer, Want
from proxy.gateway.crew import Crew, RemoteFill, _Progress, _send
from proxy.gateway.fill import Fill, Landed
from proxy.storage.disk import DiskBlobs
from tests.gateway.world import HOST, World, at, body_of, channel, world
from tests.lab.fake_upstream import FakeFile

BODY = bytes(range(256)) * 2000


@contextlib.asynccontextmanager
async def two(folder: Path, files: dict[str, FakeFile | bytes]) -> AsyncIterator[list[World]]:
    """Two workers over one store and one upstream."""
    async with contextlib.AsyncExitStack() as stack:
        workers: list[World] = []
        for number in range(2):
            crew = Crew(number, 2, folder, DiskBlobs(folder / "store"))
            made = await stack.enter_async_context(world(folder / "store", {}, Bounds(), team=crew))
            if workers:
                made.upstream.files, made.upstream.asks = (
                    workers[0].upstream.files,
                    workers[0].upstream.asks,
                )
                made.catalog.values = workers[0].catalog.values
            workers.append(made)
            await crew.listen(*_doors(made))
            stack.push_async_callback(crew.aclose)
            stack.push_async_callback(crew.drain, 5)
        workers[0].upstream.files.update(files)
        yield workers


def _doors(made: World):  # type: ignore[no-untyped-def]  # the two callables of Crew.listen
    def mirror(resource: Resource) -> Mirror:
        return made.mirrors[resource.mirror]

    async def open_(resource: Resource, want: Want) -> Answer:
        return await made.gateway.open(resource, mirror(resource), want)

    async def refresh(resource: Resource) -> None:
        await made.gateway.refresh(resource, mirror(resource))

    return open_, refresh


def url(name: str) -> str:
    return f"{HOST}/tree/{name}"


NAMES = [f"file-{number}" for number in range(8)]


def test_a_file_asked_for_at_every_worker_is_fetched_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, {url(name): BODY for name in NAMES}) as workers:
            reads = [worker.read("files/f", name) for name in NAMES for worker in workers * 5]
            assert set(await asyncio.gather(*reads)) == {BODY}
            asked = [workers[0].upstream.count(url(name)) for name in NAMES]
            assert asked == [1] * len(NAMES)

    asyncio.run(main())


def test_workers_that_do_not_see_what_the_others_remember_serve_all_the_same(
    tmp_path: Path,
) -> None:
    packages = {f"thing-{number}.0-0.conda": BODY for number in range(8)}

    async def main() -> None:
        async with two(tmp_path, dict(channel(packages))) as workers:
            for worker in workers:
                worker.catalog.values = {}
            async with asyncio.timeout(20):
                for name in packages:
                    for worker in workers:
                        assert await worker.read("conda/c", f"linux-64/{name}") == BODY
            assert workers[0].upstream.count(at("linux-64/repodata.json")) <= 2

    asyncio.run(main())


def test_every_worker_knows_how_many_files_are_on_their_way_to_all(tmp_path: Path) -> None:
    async def main() -> None:
        files = {url(name): FakeFile(body=BODY, held_at=100_000) for name in NAMES}
        async with two(tmp_path, dict(files)) as workers:
            teams = [worker.engine.ports.team for worker in workers]
            opened = [await workers[0].open("files/f", name) for name in NAMES]
            assert {team.under_way for team in teams} == {len(NAMES)}
            for name in NAMES:
                files[url(name)].release.set()
            for answer in opened:
                assert await body_of(answer) == BODY
                await answer.close()
            for worker in workers:
                await worker.settled()
            assert {team.under_way for team in teams} == {0}

    asyncio.run(main())


def test_the_other_worker_reads_along_while_the_leader_fills(tmp_path: Path) -> None:
    async def main() -> None:
        files = {url(name): FakeFile(body=BODY, held_at=100_000) for name in NAMES}
        async with two(tmp_path, dict(files)) as workers:
            for name in NAMES:
                opened = [await worker.open("files/f", name) for worker in workers]
                for answer in opened:
                    assert await answer.body.wait_past(0) > 0  # type: ignore[union-attr]
                files[url(name)].release.set()
                for answer in opened:
                    assert await body_of(answer) == BODY
                    await answer.close()

    asyncio.run(main())


def test_a_fill_whose_leader_ends_fails_for_those_who_follow_it(tmp_path: Path) -> None:
    async def main() -> None:
        files = {url(name): FakeFile(body=BODY, held_at=100_000) for name in NAMES}
        async with two(tmp_path, dict(files)) as workers:
            leader, follower = workers
            for name in NAMES:
                answer = await follower.open("files/f", name)
                if type(answer.body).__name__ == "RemoteFill":
                    break
            await leader.fetching.aclose()
            with pytest.raises(Abandoned):
                await answer.body.wait_past(len(BODY))  # type: ignore[union-attr]
            await answer.close()
            for held in files.values():
                held.release.set()

    asyncio.run(main())


def test_a_worker_whose_leader_cannot_be_reached_does_the_work_itself(tmp_path: Path) -> None:
    async def main() -> None:
        async with two(tmp_path, {url(name): BODY for name in NAMES}) as workers:
            (tmp_path / "worker-0.sock").unlink()
            for name in NAMES:
                assert await workers[1].read("files/f", name) == BODY

    asyncio.run(main())


@pytest.mark.parametrize(
    "error",
    [UpstreamThrottled("later", retry_after=7.0), Denied("x-1.whl", rule="no-x", reason="because")],
)
def test_an_error_keeps_its_class_and_fields_on_the_way(
    tmp_path: Path, error: UpstreamThrottled | Denied
) -> None:
    async def main() -> None:
        files = {url(name): FakeFile(error=error) for name in NAMES}  # type: ignore[arg-type]
        async with two(tmp_path, dict(files)) as workers:
            for name in NAMES:
                for worker in workers:
                    with pytest.raises(type(error)) as caught:
                        await worker.read("files/f", name)
                    assert str(caught.value) == str(error)
                    assert vars(caught.value) == vars(error)

    asyncio.run(main())


def test_a_descriptor_that_means_another_file_by_now_is_not_read(tmp_path: Path) -> None:
    async def main() -> None:
        blobs = DiskBlobs(tmp_path / "store")
        spool = await blobs.spool()
        where = Fill(spool, expected=Expected(), length=None).whereabouts
        (tmp_path / "other").write_bytes(b"another file")
        with (tmp_path / "other").open("rb") as other:
            os.dup2(other.fileno(), spool.fileno())
            with pytest.raises(Landed):
                RemoteFill(where, None, asyncio.StreamReader())
        await spool.discard()
        spool.close()
        await blobs.aclose()

    asyncio.run(main())


def _unhandled() -> list[str]:
    """What the running loop is told that nobody handles, from now on."""
    found: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(repr(context)))
    return found


def test_a_refresh_that_a_sibling_asked_for_may_fail(tmp_path: Path) -> None:
    async def main() -> None:
        failing = FakeFile(error=UpstreamThrottled("later"), head_held=True)
        async with two(tmp_path, dict.fromkeys(map(url, NAMES), failing)) as workers:
            unhandled = _unhandled()
            crew = Crew(1, 2, tmp_path, workers[1].blobs)
            for name in NAMES:
                crew.nudge(0, workers[1].resource("files/f", name))
            async with asyncio.timeout(10):
                await failing.reached.wait()
            failing.release.set()
            await crew.aclose()
        assert unhandled == []

    asyncio.run(main())


def test_a_sibling_that_has_left_is_a_broken_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async def leave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        path = tmp_path / "socket"
        async with await asyncio.start_unix_server(leave, path):
            reader, writer = await asyncio.open_unix_connection(path)
            await reader.read()
            writer.close()
            await writer.wait_closed()
            with pytest.raises(ConnectionError):
                await _send(writer, _Progress(released=1))

    # Its transports, unlike asyncio's own, raise RuntimeError once they are closed.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
