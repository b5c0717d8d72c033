"""Shards: parts of an index by their digest, of this generation and of those before it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import zstandard

from proxy.core.model import Bounds, Index
from proxy.errors import UpstreamMissing
from proxy.gateway.answer import IMMUTABLE
from tests.gateway.world import World, at, body_of, channel, play, repodata
from tests.lab.fake_upstream import FakeFile

INDEX = "linux-64/repodata_shards.msgpack.zst"
STRICT = Bounds(fresh_min=0, fresh_default=60, stale_while_revalidate=0)


async def shards(world: World) -> dict[str, str]:
    """The path of every name's shard, as the index tells."""
    packed = await world.read("conda/c", INDEX)
    contents = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(packed))
    found = contents["shards"]
    return {name: f"linux-64/shards/{digest.hex()}.msgpack.zst" for name, digest in found.items()}


def test_every_shard_that_the_index_names_is_served_and_never_changes(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        for path in (await shards(world)).values():
            answer = await world.open("conda/c", path)
            shard = zstandard.ZstdDecompressor().decompress(await body_of(answer))
            assert set(msgspec.msgpack.decode(shard)) >= {"packages", "packages.conda"}
            assert (answer.cache_control, answer.etag) == (IMMUTABLE, f'"{path[16:80]}"')
            await answer.close()

    play(tmp_path, script, channel({"a-1-0.conda": b"a", "b-1-0.conda": b"b"}))


def test_a_shard_of_an_earlier_generation_is_still_there(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        old = await shards(world)
        await world.settled()
        newer = FakeFile(body=repodata({"a-2-0.conda": b"aa"}), etag='"two"')
        world.upstream.files[at("linux-64/repodata.json")] = newer
        world.now += 61
        new = await shards(world)
        assert new["a"] != old["a"]
        for path in (old["a"], new["a"]):
            assert await world.read("conda/c", path)

    play(tmp_path, script, channel({"a-1-0.conda": b"a"}), bounds=STRICT)


def test_a_shard_is_served_though_nobody_asked_for_the_index_yet(tmp_path: Path) -> None:
    paths: dict[str, str] = {}

    async def first(world: World) -> None:
        paths.update(await shards(world))

    async def second(world: World) -> None:
        assert await world.read("conda/c", paths["a"])

    play(tmp_path / "first", first, channel({"a-1-0.conda": b"a"}))
    play(tmp_path / "second", second, channel({"a-1-0.conda": b"a"}))


def test_a_shard_that_no_index_names_is_absent(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await shards(world)
        with pytest.raises(UpstreamMissing):
            await world.read("conda/c", f"linux-64/shards/{'0' * 64}.msgpack.zst")

    play(tmp_path, script, channel())


def test_a_pack_of_an_older_version_of_this_proxy_is_in_nobodys_way(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        old = (await shards(world))["a"]
        await world.settled()
        newer = FakeFile(body=repodata({"a-2-0.conda": b"aa"}), etag='"two"')
        world.upstream.files[at("linux-64/repodata.json")] = newer
        world.now += 61
        new = (await shards(world))["a"]
        await world.settled()
        index = world.resource("conda/c", "linux-64/repodata.json")
        assert isinstance(index, Index)
        packs = await world.engine.views.packs(index, "shardpack")
        assert len(packs) == 2
        for pack in packs:
            path = world.blobs.path(pack.digest)
            path.write_bytes(b"ROWS0" + path.read_bytes()[5:])
        world.engine.views._tables.clear()  # as after a restart
        assert await world.read("conda/c", new)  # made again
        with pytest.raises(UpstreamMissing):
            await world.read("conda/c", old)

    play(tmp_path, script, channel({"a-1-0.conda": b"a"}), bounds=STRICT)


def test_what_only_the_next_generation_needs_is_kept_of_the_last_one(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        index = world.resource("conda/c", "linux-64/repodata.json")
        assert isinstance(index, Index)
        for number, files in enumerate(({"a-1-0.conda": b"a"}, {"a-2-0.conda": b"aa"}), 1):
            body = repodata(files)
            file = FakeFile(body=body, etag=f'"{number}"')
            world.upstream.files[at("linux-64/repodata.json")] = file
            world.now += 61
            await shards(world)
            await world.settled()
            assert len(await world.engine.views.packs(index, "batches")) == 1
            assert len(await world.engine.views.packs(index, "rows")) == number

    play(tmp_path, script, channel(), bounds=STRICT)


def test_that_nothing_is_left_for_the_next_generation_makes_no_work(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await shards(world)
        await world.settled()
        index, mirror = (
            world.resource("conda/c", "linux-64/repodata.json"),
            world.mirrors["conda/c"],
        )
        assert isinstance(index, Index)
        (notes,) = await world.engine.views.packs(index, "batches")
        await world.engine.ports.catalog.forget([notes.key])
        entry = await world.engine.indexes.held(index, mirror)
        assert entry is not None
        generation = await world.engine.indexes.generation(index, mirror, entry)
        await world.engine.views.prepare(generation)
        assert await world.engine.views.packs(index, "batches") == []

    play(tmp_path, script, channel(), bounds=STRICT)
