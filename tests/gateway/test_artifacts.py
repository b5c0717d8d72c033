"""Files that an index vouches for: verified, shared, never wrong, there when upstream is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from proxy.core.model import Bounds, digest_of
from proxy.errors import (
    IntegrityError,
    StorageError,
    UpstreamFailed,
    UpstreamMissing,
    UpstreamRefused,
)
from proxy.gateway.answer import IMMUTABLE, Want
from proxy.gateway.fetching import SUSPECT_FOR
from proxy.gateway.fill import HELD_BACK
from proxy.storage.disk import DiskBlobs
from proxy.storage.ports import Spool
from tests.gateway.world import (
    HOST,
    NAME,
    PACKAGE,
    World,
    at,
    body_of,
    channel,
    play,
    repodata,
)
from tests.lab.fake_upstream import FakeFile

PATH = f"linux-64/{NAME}"
URL = at(PATH)
INDEX = at("linux-64/repodata.json")


def test_a_file_is_fetched_once_verified_and_served_from_here(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        assert await world.read("conda/c", PATH) == PACKAGE
        await world.settled()
        answer = await world.open("conda/c", PATH)
        assert (str(answer.status.result), answer.cache_control) == ("hit", IMMUTABLE)
        await answer.close()
        assert world.upstream.count(URL) == 1

    play(tmp_path, script, channel())


def test_clients_read_along_while_it_fills_and_whoever_leaves_disturbs_nobody(
    tmp_path: Path,
) -> None:
    async def script(world: World) -> None:
        held = FakeFile(body=PACKAGE, held_at=100_000)
        world.upstream.files[URL] = held
        leaving = asyncio.create_task(world.read("conda/c", PATH))
        await held.reached.wait()
        staying = [await world.open("conda/c", PATH) for _ in range(20)]
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        first = await staying[0].body.wait_past(0)  # type: ignore[union-attr]
        assert 0 < first <= 100_000
        held.release.set()
        assert {await body_of(answer) for answer in staying} == {PACKAGE}
        for answer in staying:
            await answer.close()
        assert world.upstream.count(URL) == 1
        await world.settled()
        assert world.told.fills == 0

    play(tmp_path, script, channel())


def test_a_wrong_file_reaches_nobody_whole_and_is_not_stored(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        wrong = PACKAGE[:-1] + b"!"
        world.upstream.files[URL] = FakeFile(body=wrong)
        answer = await world.open("conda/c", PATH)
        released = await answer.body.wait_past(0)  # type: ignore[union-attr]
        with pytest.raises(IntegrityError):
            await answer.body.wait_past(len(PACKAGE) - HELD_BACK)  # type: ignore[union-attr]
        assert released <= len(PACKAGE) - HELD_BACK
        await answer.close()
        await world.settled()
        stored = [p.read_bytes() for p in (tmp_path / "sha256").rglob("*") if p.is_file()]
        assert wrong not in stored
        assert world.told.wrongs

    play(tmp_path, script, channel())


def test_a_wrong_file_is_refused_for_a_while_without_asking_again(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.upstream.files[URL] = FakeFile(body=b"w" * len(PACKAGE))
        for _ in range(3):
            with pytest.raises(IntegrityError):
                await world.read("conda/c", PATH)
        assert world.upstream.count(URL) == 1
        world.upstream.files[URL] = FakeFile(body=PACKAGE)
        world.now += SUSPECT_FOR + 1
        assert await world.read("conda/c", PATH) == PACKAGE

    play(tmp_path, script, channel())


def test_a_file_that_upstream_replaced_is_found_through_its_new_index(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await world.read("conda/c", "linux-64/repodata.json")
        newer = PACKAGE[::-1]
        world.upstream.files[URL] = FakeFile(body=newer)
        world.upstream.files[INDEX] = FakeFile(body=repodata({NAME: newer}), etag='"two"')
        with pytest.raises(IntegrityError):
            await world.read("conda/c", PATH)
        world.now += 1
        assert await world.read("conda/c", PATH) == newer
        assert world.upstream.count(INDEX) == 2

    play(tmp_path, script, channel())


def test_a_size_that_disagrees_with_the_index_fails_before_any_byte(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.upstream.files[URL] = FakeFile(body=PACKAGE + b"more")
        with pytest.raises(IntegrityError, match="its index says"):
            await world.open("conda/c", PATH)

    play(tmp_path, script, channel())


def test_a_body_that_breaks_off_fails_its_readers_and_the_next_try_succeeds(
    tmp_path: Path,
) -> None:
    async def script(world: World) -> None:
        error = UpstreamFailed("reset")
        world.upstream.files[URL] = FakeFile(body=PACKAGE, breaks_at=5000, breaking=error)
        with pytest.raises(UpstreamFailed):
            await world.read("conda/c", PATH)
        world.upstream.files[URL] = FakeFile(body=PACKAGE)
        assert await world.read("conda/c", PATH) == PACKAGE

    play(tmp_path, script, channel())


def test_names_that_no_index_lists_cause_one_look_upstream(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await world.read("conda/c", "linux-64/repodata.json")
        world.now += 61
        for number in range(10):
            with pytest.raises(UpstreamMissing):
                await world.read("conda/c", f"linux-64/nothing-{number}-0.conda")
        assert world.upstream.count(INDEX) == 2

    play(tmp_path, script, channel())


def test_a_package_newer_than_our_index_is_found_by_that_look(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await world.read("conda/c", "linux-64/repodata.json")
        world.now += 61
        world.upstream.files.update(channel({NAME: PACKAGE, "new-2.0-0.conda": b"new"}))
        listed = repodata({NAME: PACKAGE, "new-2.0-0.conda": b"new"})
        world.upstream.files[INDEX] = FakeFile(body=listed, etag='"two"')
        answer = await world.open("conda/c", "linux-64/new-2.0-0.conda")
        assert await body_of(answer) == b"new"
        assert answer.cache_control == IMMUTABLE
        await answer.close()

    play(tmp_path, script, channel())


def test_a_file_verified_once_is_served_though_index_and_upstream_are_gone(
    tmp_path: Path,
) -> None:
    async def script(world: World) -> None:
        await world.read("conda/c", PATH)
        await world.settled()
        index = world.resource("conda/c", PATH).index  # type: ignore[union-attr]
        await world.catalog.forget([index.key])
        world.upstream.files.clear()
        world.upstream.files[INDEX] = FakeFile(error=UpstreamFailed("down"))
        assert await world.read("conda/c", PATH) == PACKAGE

    play(tmp_path, script, channel())


def test_head_tells_the_true_length_and_etag_before_the_file_is_here(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        head = await world.open("conda/c", PATH, Want(head=True))
        await head.close()
        get = await world.open("conda/c", PATH)
        assert (head.length, head.etag) == (get.length, get.etag) == (len(PACKAGE), head.etag)
        assert await body_of(get) == PACKAGE
        await get.close()
        assert world.upstream.count(URL) == 1

    play(tmp_path, script, channel())


def test_a_bounded_range_of_a_large_absent_file_is_passed_on_and_not_stored(
    tmp_path: Path,
) -> None:
    large = bytes(5 << 20)

    async def script(world: World) -> None:
        answer = await world.open("conda/c", PATH, Want(byte_range="bytes=-1000"))
        assert len(await body_of(answer)) == 1000
        assert answer.content_range == f"bytes {len(large) - 1000}-{len(large) - 1}/{len(large)}"
        await answer.close()
        assert len(world.fetching._flights) == 0

    play(tmp_path, script, channel({NAME: large}))


def test_a_resumed_download_joins_the_fetch(tmp_path: Path) -> None:
    large = bytes(5 << 20)

    async def script(world: World) -> None:
        answer = await world.open("conda/c", PATH, Want(byte_range="bytes=1000-"))
        assert len(await body_of(answer, 1000)) == len(large) - 1000
        await answer.close()
        await world.settled()
        assert await world.status("conda/c", PATH) == "hit"

    play(tmp_path, script, channel({NAME: large}))


def test_a_blob_that_is_gone_or_cut_short_is_fetched_again(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        for damage in (Path.unlink, _cut_short):
            await world.read("conda/c", PATH)
            await world.settled()
            for path in (tmp_path / "sha256").rglob("*"):
                if path.is_file() and path.stat().st_size == len(PACKAGE):
                    damage(path)
            assert await world.read("conda/c", PATH) == PACKAGE

    play(tmp_path, script, channel())


def _cut_short(path: Path) -> None:
    path.write_bytes(b"short")


class _Full(DiskBlobs):
    """A store that has room for indexes and for nothing larger."""

    async def spool(self, reserve: int | None = None) -> Spool:
        if reserve is not None and reserve > 10_000:
            raise StorageError("the disk is full")
        return await super().spool(reserve)


def test_a_full_disk_costs_the_cache_and_not_the_client(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        answer = await world.open("conda/c", PATH)
        assert await body_of(answer) == PACKAGE
        assert str(answer.status.result) == "bypass"
        await answer.close()
        assert any(isinstance(error, StorageError) for error in world.told.failures)

    play(tmp_path, script, channel(), blobs=_Full)


def test_bytes_that_are_here_are_not_fetched_again_though_nothing_remembers_them(
    tmp_path: Path,
) -> None:
    async def script(world: World) -> None:
        await world.read("conda/c", PATH)
        await world.settled()
        world.catalog.values.clear()
        assert await world.read("conda/c", PATH) == PACKAGE
        assert await world.status("conda/c", PATH) == "hit"
        assert world.upstream.count(URL) == 1

    play(tmp_path, script, channel())


def test_bytes_that_nothing_remembers_are_read_through_before_they_are_believed(
    tmp_path: Path,
) -> None:
    async def script(world: World) -> None:
        await world.read("conda/c", PATH)
        await world.settled()
        world.catalog.values.clear()
        world.blobs.path(digest_of(PACKAGE)).write_bytes(b"?" * len(PACKAGE))
        assert await world.read("conda/c", PATH) == PACKAGE
        assert world.upstream.count(URL) == 2

    play(tmp_path, script, channel())


def test_everything_that_was_evicted_is_had_again(tmp_path: Path) -> None:
    """The catalog still names it, as that of a worker does which has not heard of the eviction."""

    async def script(world: World) -> None:
        paths = ("linux-64/repodata.json", "linux-64/repodata.json.zst", PATH)
        bodies = [await world.read("conda/c", path) for path in paths]
        await world.settled()
        for path in paths:
            for blob in (tmp_path / "sha256").rglob("*"):
                blob.unlink() if blob.is_file() else None
            assert await world.read("conda/c", path) == bodies[paths.index(path)]
            await world.settled()

    play(tmp_path, script, channel())


@pytest.mark.parametrize("hashes", [("md5", "0" * 32), ("sha256", "0" * 64)])
def test_a_promise_in_any_digest_is_kept(tmp_path: Path, hashes: Iterable[str]) -> None:
    name, value = hashes

    async def script(world: World) -> None:
        with pytest.raises(IntegrityError):
            await world.read("conda/c", PATH)

    broken = channel()[INDEX].body
    right = broken.split(b'"sha256": "')[1][:64]
    body = broken.replace(b'"sha256": "' + right, f'"{name}": "{value}'.encode())
    play(tmp_path, script, {**channel(), INDEX: FakeFile(body=body)})


def test_what_a_client_missed_is_remembered_only_briefly(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        del world.upstream.files[URL]
        for _ in range(3):
            with pytest.raises(UpstreamMissing):
                await world.read("conda/c", PATH)
        asked = world.upstream.count(URL)
        assert asked == 1
        world.upstream.files[URL] = FakeFile(body=PACKAGE)
        world.now += 61
        assert await world.read("conda/c", PATH) == PACKAGE

    play(tmp_path, script, channel(), bounds=Bounds(negative=60))


WHEEL = "demo-1.0-py3-none-any.whl"
WHEEL_URL = f"{HOST}/files/{WHEEL}"
PAGE = f'<a href="{WHEEL_URL}#sha256={digest_of(PACKAGE)}">{WHEEL}</a>'.encode()
WHEEL_PATH = f"packages/{digest_of(PACKAGE)[:2]}/{digest_of(PACKAGE)[2:4]}/{digest_of(PACKAGE)[4:]}"


def test_a_resolver_that_peeks_into_wheels_of_unknown_size_makes_us_fetch_none(
    tmp_path: Path,
) -> None:
    """uv's HEAD and range for each candidate, where an HTML index tells no sizes."""
    path = f"{WHEEL_PATH}/{WHEEL}"

    async def script(world: World) -> None:
        head = await world.open("pypi/p", path, Want(head=True))
        assert (head.length, head.etag) == (len(PACKAGE), f'"{digest_of(PACKAGE)}"')
        await head.close()
        part = await world.open("pypi/p", path, Want(byte_range="bytes=-100"))
        assert await body_of(part) == PACKAGE[-100:]
        await part.close()
        assert [ask.byte_range for ask in world.upstream.asks if ask.url == WHEEL_URL] == [
            None,
            "bytes=-100",
        ]
        assert world.upstream.count(WHEEL_URL, "HEAD") == 1

    page = FakeFile(body=PAGE, media_type="text/html")
    play(tmp_path, script, {f"{HOST}/simple/demo/": page, WHEEL_URL: PACKAGE})


@pytest.mark.parametrize(("unasked", "meant"), [(True, UpstreamMissing), (False, UpstreamRefused)])
def test_a_403_for_a_project_means_missing_unless_a_credential_was_refused(
    tmp_path: Path, unasked: bool, meant: type[Exception]
) -> None:
    async def script(world: World) -> None:
        with pytest.raises(meant):
            await world.read("pypi/p", "simple/demo/")

    refusal = FakeFile(error=UpstreamRefused("403", unasked=unasked))
    play(tmp_path, script, {f"{HOST}/simple/demo/": refusal})


@pytest.mark.parametrize("damage", [Path.unlink, _cut_short, lambda path: path.write_bytes(b"")])
def test_a_store_that_lost_everything_heals_by_itself(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    async def script(world: World) -> None:
        await world.read("conda/c", PATH)
        await world.settled()
        for path in (tmp_path / "sha256").rglob("*"):
            if path.is_file():
                damage(path)
        world.engine.views._tables.clear()  # as after a restart
        assert await world.read("conda/c", PATH) == PACKAGE
        await world.settled()
        assert await world.status("conda/c", PATH) == "hit"

    play(tmp_path, script, channel())
