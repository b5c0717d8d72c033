"""Indexes: fresh, revalidated, replaced, absent or stale; asked for once whoever wants them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.core.model import Bounds
from proxy.errors import (
    BadIndex,
    ConfigError,
    UpstreamFailed,
    UpstreamMissing,
    UpstreamRefused,
)
from proxy.gateway.answer import Nothing, Want
from proxy.gateway.bounding import LARGEST, RATIO, SMALL, limit_of
from proxy.gateway.indexes import HOLD_OFF
from proxy.upstream.port import Reply
from tests.gateway.world import World, at, channel, play, repodata
from tests.lab.fake_upstream import FakeFile

INDEX = "linux-64/repodata.json"
URL = at(INDEX)
SHORT = Bounds(
    fresh_min=0, fresh_default=60, stale_while_revalidate=100, stale_if_error=1000, negative=10
)
STRICT = Bounds(fresh_min=0, fresh_default=60, stale_while_revalidate=0, stale_if_error=1000)


def test_a_miss_is_fetched_and_the_next_request_is_a_hit(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        assert await world.status("conda/c", INDEX) == "miss"
        assert await world.status("conda/c", INDEX) == "hit"
        assert world.upstream.count(URL) == 1

    play(tmp_path, script, channel())


def test_an_index_that_is_suddenly_empty_does_not_replace_a_good_one(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        good = await world.read("conda/c", INDEX)
        world.upstream.files[URL] = FakeFile(etag='"two"')
        world.now += 61
        assert await world.status("conda/c", INDEX) == "stale"
        assert await world.read("conda/c", INDEX) == good

    play(tmp_path, script, channel(), bounds=STRICT)


def test_an_index_that_was_always_empty_is_one(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        for etag in ('"one"', '"two"'):
            world.upstream.files[URL] = FakeFile(etag=etag)
            assert json.loads(await world.read("conda/c", INDEX)) == {}
            world.now += 61

    play(tmp_path, script, {}, bounds=STRICT)


def test_any_number_of_callers_cause_one_request(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        bodies = await asyncio.gather(*(world.read("conda/c", INDEX) for _ in range(100)))
        assert set(bodies) == {channel()[URL].body}
        assert world.upstream.count(URL) == 1

    play(tmp_path, script, channel())


def test_a_304_renews_the_generation_and_keeps_its_views(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        first = await world.open("conda/c", INDEX)
        await first.close()
        world.now += 61
        second = await world.open("conda/c", INDEX)
        await second.close()
        assert (second.etag, str(second.status.result)) == (first.etag, "revalidated")
        assert await world.status("conda/c", INDEX) == "hit"

    play(tmp_path, script, channel(), bounds=STRICT)


def test_a_changed_index_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await world.read("conda/c", INDEX)
        newer = repodata({"other-1.0-0.conda": b"x"})
        world.upstream.files[URL] = FakeFile(body=newer, etag='"two"')
        world.now += 61
        assert await world.read("conda/c", INDEX) == newer

    play(tmp_path, script, channel(), bounds=STRICT)


@pytest.mark.parametrize("body", [b"<html>sorry</html>", b'{"packages": [1]}', b'{"packages": {'])
def test_an_index_that_cannot_be_read_does_not_replace_one_that_can(
    tmp_path: Path, body: bytes
) -> None:
    async def script(world: World) -> None:
        good = await world.read("conda/c", INDEX)
        world.upstream.files[URL] = FakeFile(body=body, etag='"bad"')
        world.now += 61
        assert await world.read("conda/c", INDEX) == good
        assert world.told.wrongs

    play(tmp_path, script, channel(), bounds=STRICT)


def test_an_unreadable_index_with_nothing_to_fall_back_on_is_an_error(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        with pytest.raises(BadIndex):
            await world.read("conda/c", INDEX)

    play(tmp_path, script, channel(body=b"<html>"))


def test_a_stale_index_is_served_at_once_and_refreshed_once_behind_it(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        old = await world.read("conda/c", INDEX)
        newer = FakeFile(body=repodata({"n-1-0.conda": b"n"}), etag='"n"', head_held=True)
        world.upstream.files[URL] = newer
        world.now += 61
        for _ in range(5):
            answer = await world.open("conda/c", INDEX)
            await answer.close()
            assert str(answer.status.result) == "updating"
        assert await world.read("conda/c", INDEX) == old
        newer.release.set()
        await world.settled()
        assert await world.read("conda/c", INDEX) == newer.body
        assert world.upstream.count(URL) == 2

    play(tmp_path, script, channel(), bounds=SHORT)


def test_a_stale_index_is_served_while_upstream_fails_and_not_for_ever(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        good = await world.read("conda/c", INDEX)
        world.upstream.files[URL] = FakeFile(error=UpstreamFailed("down"))
        world.now += 61
        answer = await world.open("conda/c", INDEX)
        await answer.close()
        assert str(answer.status.result) == "stale"
        assert world.told.stale_causes == ["UpstreamFailed"]
        world.now += 1000
        with pytest.raises(UpstreamFailed):
            await world.read("conda/c", INDEX)
        world.upstream.files[URL] = channel()[URL]
        world.now += HOLD_OFF + 1
        assert await world.read("conda/c", INDEX) == good

    play(tmp_path, script, channel(), bounds=STRICT)


def test_a_failed_refresh_is_not_repeated_for_every_request(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await world.read("conda/c", INDEX)
        world.upstream.files[URL] = FakeFile(error=UpstreamFailed("down"))
        world.now += 61
        for _ in range(10):
            await world.read("conda/c", INDEX)
        assert world.upstream.count(URL) == 2
        world.now += HOLD_OFF + 1
        await world.read("conda/c", INDEX)
        assert world.upstream.count(URL) == 3

    play(tmp_path, script, channel(), bounds=STRICT)


def test_an_absent_index_is_remembered_for_a_while_and_asked_for_again(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        for _ in range(3):
            with pytest.raises(UpstreamMissing):
                await world.read("conda/c", INDEX)
        assert world.upstream.count(URL) == 1
        world.upstream.files.update(channel())
        world.now += 11
        assert await world.read("conda/c", INDEX) == channel()[URL].body

    play(tmp_path, script, {}, bounds=SHORT)


@pytest.mark.parametrize("error", [UpstreamMissing("no"), UpstreamRefused("no"), None])
def test_the_plain_form_is_used_where_the_compressed_one_is_absent_refused_or_broken(
    tmp_path: Path, error: UpstreamMissing | UpstreamRefused | None
) -> None:
    async def script(world: World) -> None:
        assert await world.read("conda/c", INDEX) == channel()[URL].body

    compressed = FakeFile(error=error) if error else FakeFile(body=b"not zstandard")
    play(tmp_path, script, {**channel(), at(f"{INDEX}.zst"): compressed})


def test_a_noarch_that_upstream_lacks_is_empty_and_any_other_subdir_is_absent(
    tmp_path: Path,
) -> None:
    async def script(world: World) -> None:
        assert json.loads(await world.read("conda/c", "noarch/repodata.json")) == {}
        with pytest.raises(UpstreamMissing):
            await world.read("conda/c", "win-64/repodata.json")

    play(tmp_path, script, channel())


def test_head_of_an_index_that_is_not_here_fetches_no_body_before_it_answers(
    tmp_path: Path,
) -> None:
    async def script(world: World) -> None:
        form = world.resource("conda/c", INDEX).forms[0]  # type: ignore[union-attr]
        answer = await world.open("conda/c", INDEX, Want(form=form, head=True))
        assert isinstance(answer.body, Nothing)
        assert answer.length is None
        assert world.upstream.count(URL) == 0
        assert world.upstream.count(URL, "HEAD") == 1
        await world.settled()

    play(tmp_path, script, channel())


def test_head_of_an_absent_index_says_so_and_is_remembered(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        form = world.resource("conda/c", INDEX).forms[0]  # type: ignore[union-attr]
        for _ in range(3):
            with pytest.raises(UpstreamMissing):
                await world.open("conda/c", INDEX, Want(form=form, head=True))
        assert world.upstream.count(URL, "HEAD") == 1

    play(tmp_path, script, {})


def test_a_view_whose_bytes_are_gone_is_made_again(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        good = await world.read("conda/c", INDEX)
        for path in (tmp_path / "sha256").rglob("*"):
            if path.is_file():
                path.unlink()
        assert await world.read("conda/c", INDEX) == good

    play(tmp_path, script, channel())


def test_a_misconfigured_credential_costs_nobody_what_is_held(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        good = await world.read("conda/c", INDEX)
        world.upstream.files[URL] = FakeFile(error=ConfigError("broken auth file"))  # type: ignore[arg-type]
        world.now += 61
        assert await world.read("conda/c", INDEX) == good
        assert world.told.stale_causes == ["ConfigError"]

    play(tmp_path, script, channel(), bounds=STRICT)


@pytest.mark.parametrize(
    ("headers", "largest"),
    [
        ({"content-length": "10"}, LARGEST),
        ({"content-encoding": "gzip"}, LARGEST),
        ({"content-encoding": "gzip", "content-length": "10"}, SMALL),
        ({"content-encoding": "gzip", "content-length": str(SMALL)}, min(LARGEST, SMALL * RATIO)),
        ({"content-encoding": "gzip", "content-length": "9" * 5000}, LARGEST),
        ({"content-encoding": "gzip", "content-length": "-1"}, LARGEST),
        ({"content-encoding": "gzip", "content-length": "\u0663"}, LARGEST),
    ],
)
def test_what_a_coding_may_make_of_little_is_bounded(headers: dict[str, str], largest: int) -> None:
    async def nothing() -> AsyncIterator[bytes]:
        for chunk in tuple[bytes, ...]():
            yield chunk

    reply = Reply(status=200, headers=headers, url="", length=None, chunks=nothing())
    assert limit_of(reply) == largest
