"""Plain files under the rules of a shared cache (RFC 9111)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxy.core.model import Bounds
from proxy.errors import UpstreamFailed, UpstreamMissing, UpstreamTimeout
from proxy.gateway.answer import Want
from tests.gateway.world import HOST, World, body_of, play
from tests.lab.fake_upstream import FakeFile

URL = f"{HOST}/tree/setup.bin"
BODY = bytes(200_000)
OBEDIENT = Bounds(fresh_min=0, fresh_max=1e9, fresh_default=0, stale_while_revalidate=0)


def test_a_file_is_reused_for_as_long_as_upstream_says(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        assert await world.read("files/f", "setup.bin") == BODY
        await world.settled()
        world.now += 99
        answer = await world.open("files/f", "setup.bin")
        await answer.close()
        assert (str(answer.status.result), answer.headers["age"]) == ("hit", "99")
        assert answer.cache_control == "max-age=100"
        world.now += 2
        assert await world.status("files/f", "setup.bin") == "revalidated"
        assert world.upstream.count(URL) == 2

    file = FakeFile(body=BODY, etag='"a"', cache_control="max-age=100")
    play(tmp_path, script, {URL: file}, bounds=OBEDIENT)


@pytest.mark.parametrize("control", ["no-store", "private", "private, max-age=60"])
def test_what_may_not_be_shared_is_neither_stored_nor_shared(tmp_path: Path, control: str) -> None:
    async def script(world: World) -> None:
        answers = await asyncio.gather(*(world.open("files/f", "setup.bin") for _ in range(4)))
        for answer in answers:
            assert await body_of(answer) == BODY
            assert str(answer.status.result) == "bypass"
            await answer.close()
        # One request to find out, then one for each client.
        assert world.upstream.count(URL) == 5
        await world.read("files/f", "setup.bin")
        assert world.upstream.count(URL) == 6, "passed on at once while that is remembered"
        assert not [path for path in (tmp_path / "sha256").rglob("*") if path.is_file()]

    play(tmp_path, script, {URL: FakeFile(body=BODY, cache_control=control)})


def test_variants_by_request_headers_are_kept_apart(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        for agent, body in (("R/4.5", b"binary"), ("curl", b"source"), ("R/4.5", b"binary")):
            world.upstream.files[URL] = FakeFile(body=body, headers={"vary": "User-Agent"})
            want = Want(headers={"user-agent": agent})
            assert await world.read("files/f", "setup.bin", want) == body
            await world.settled()
        assert world.upstream.count(URL) == 2

    play(tmp_path, script, {})


def test_vary_by_everything_is_never_reused(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        for _ in range(2):
            assert await world.read("files/f", "setup.bin") == BODY
        assert str((await world.open("files/f", "setup.bin")).status.result) == "bypass"

    play(tmp_path, script, {URL: FakeFile(body=BODY, headers={"vary": "*"})})


def test_a_stale_file_is_served_while_upstream_fails_unless_it_must_be_revalidated(
    tmp_path: Path,
) -> None:
    for control, survives in (("max-age=10", True), ("max-age=10, must-revalidate", False)):

        async def script(world: World, survives: bool = survives) -> None:
            await world.read("files/f", "setup.bin")
            await world.settled()
            world.upstream.files[URL] = FakeFile(error=UpstreamFailed("down"))
            world.now += 60
            if survives:
                assert await world.status("files/f", "setup.bin") == "stale"
            else:
                with pytest.raises(UpstreamFailed):
                    await world.read("files/f", "setup.bin")

        folder = tmp_path / str(survives)
        play(folder, script, {URL: FakeFile(body=BODY, cache_control=control)}, bounds=OBEDIENT)


def test_a_file_that_upstream_removed_is_gone_though_it_is_stored(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await world.read("files/f", "setup.bin")
        await world.settled()
        del world.upstream.files[URL]
        world.now += 4000
        with pytest.raises(UpstreamMissing):
            await world.read("files/f", "setup.bin")

    play(tmp_path, script, {URL: BODY}, bounds=OBEDIENT)


def test_notices_are_asked_for_without_credentials_and_never_fail(tmp_path: Path) -> None:
    url = f"{HOST}/channel/notices.json"

    async def script(world: World) -> None:
        with pytest.raises(UpstreamMissing):
            await world.read("conda/c", "notices.json")
        assert [ask.anonymous for ask in world.upstream.asks if ask.url == url] == [True]

    play(tmp_path, script, {url: FakeFile(error=UpstreamTimeout("slow"))})


def test_a_body_without_a_length_is_followed_to_its_end(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        answer = await world.open("files/f", "setup.bin")
        assert answer.length is None
        assert await body_of(answer) == BODY
        await answer.close()
        await world.settled()
        assert await world.status("files/f", "setup.bin") == "hit"

    play(tmp_path, script, {URL: FakeFile(body=BODY, announced=False)})


def test_a_file_nobody_needs_keeps_nobody_waiting(tmp_path: Path) -> None:
    url = f"{HOST}/channel/notices.json"
    slow = FakeFile(body=b"{}", head_held=True)

    async def script(world: World) -> None:
        with pytest.raises(UpstreamMissing, match="in time"):
            await world.read("conda/c", "notices.json")
        slow.release.set()
        await world.settled()
        assert await world.read("conda/c", "notices.json") == b"{}"

    play(tmp_path, script, {url: slow}, patience=0.01)
