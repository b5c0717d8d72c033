"""Indexes that follow others: they show what those let through, and are made anew with them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from proxy.core.model import Bounds, Entry
from proxy.core.policy import LargerThan
from proxy.gateway.binding import KNOWN_FOR
from proxy.gateway.team import Elsewhere, Solo
from tests.ecosystems.conda_channels import unpacked
from tests.ecosystems.policies import deny, policy
from tests.gateway.test_policy import NO_THING, OTHER, TWO
from tests.gateway.world import World, at, channel, play, repodata, world
from tests.lab.fake_upstream import FakeFile


def test_what_follows_an_index_is_made_anew_when_that_is_renewed(tmp_path: Path) -> None:
    follower = "linux-64/current_repodata.json"
    files = channel(TWO)
    files[at(follower)] = files[at("linux-64/repodata.json")]
    made = asyncio.Event()

    async def script(world: World) -> None:
        world.rule(NO_THING)
        for path in ("linux-64/repodata.json", follower):
            await world.read("conda/c", path)
        put = world.catalog.put

        async def watched(value: Any) -> None:
            await put(value)
            if value.key.startswith(f"view conda/c {follower}"):
                made.set()

        world.catalog.put = watched  # type: ignore[method-assign]
        warming = asyncio.create_task(world.engine.warming.run())
        body = repodata({OTHER: b"other", "more-1.0-0.conda": b"more"})
        world.upstream.files[at("linux-64/repodata.json")] = FakeFile(body=body, etag='"two"')
        world.now += 601
        await world.read("conda/c", "linux-64/repodata.json")
        await made.wait()  # and nobody has asked for it
        for form in (follower, f"{follower}.zst"):  # let all of it be made
            await world.read("conda/c", form)
        warming.cancel()
        await asyncio.gather(warming, return_exceptions=True)
        await world.settled()

    play(tmp_path, script, files)


def test_the_channels_data_are_of_what_is_left_in_the_subdirs_that_are_here(tmp_path: Path) -> None:
    packages = {name: {"subdirs": ["linux-64"], "version": "1.0"} for name in ("thing", "other")}
    files = channel(TWO)
    body = json.dumps({"packages": packages}).encode()
    files[at("channeldata.json")] = FakeFile(body=body, media_type="application/json")

    async def named(world: World) -> set[str]:
        return set(json.loads(await world.read("conda/c", "channeldata.json"))["packages"])

    async def script(world: World) -> None:
        world.rule(policy(deny(LargerThan(10), "large")))
        assert await named(world) == {"thing", "other"}  # nobody has asked for a subdir yet
        assert len(world.upstream.asks) == 1
        await world.read("conda/c", "linux-64/repodata.json")
        asked = len(world.upstream.asks)
        world.now += KNOWN_FOR
        assert await named(world) == {"other"}
        world.rule(None)
        assert await named(world) == {"thing", "other"}
        assert len(world.upstream.asks) == asked

    play(tmp_path, script, files)


def test_run_exports_that_are_here_come_with_the_next_generation(tmp_path: Path) -> None:
    path, beside = "linux-64/repodata.json", "linux-64/run_exports.json"
    files = channel(TWO)
    exports = {"packages.conda": {OTHER: {"run_exports": {"weak": ["other >=1"]}}}}
    files[at(beside)] = FakeFile(body=json.dumps(exports).encode(), etag='"exports"')

    async def shard(world: World) -> Any:
        """The record of `OTHER` in its shard."""
        index = await world.read("conda/c", "linux-64/repodata_shards.msgpack.zst")
        digest = unpacked(index)["shards"]["other"].hex()
        body = await world.read("conda/c", f"linux-64/shards/{digest}.msgpack.zst")
        return unpacked(body)["packages.conda"][OTHER]

    async def renew(world: World, tag: str) -> None:
        upstream = world.upstream.files[at(path)]
        assert isinstance(upstream, FakeFile)
        world.upstream.files[at(path)] = replace(upstream, body=upstream.body + b" ", etag=tag)
        world.now += 601
        await world.read("conda/c", path)
        await world.settled()

    async def script(world: World) -> None:
        assert "run_exports" not in await shard(world)
        await world.read("conda/c", beside)
        views = await world.catalog.keys(f"view conda/c {path}")
        assert "run_exports" not in await shard(world)  # nobody waits for it
        assert await world.catalog.keys(f"view conda/c {path}") == views
        world.now += 601
        await world.read("conda/c", path)
        await world.settled()  # upstream has had nothing new, but here there is something
        assert (await shard(world))["run_exports"] == {"weak": ["other >=1"]}
        listing = world.upstream.files[at(beside)]
        assert isinstance(listing, FakeFile)
        newer = listing.body.replace(b">=1", b">=2")
        world.upstream.files[at(beside)] = replace(listing, body=newer, etag='"newer"')
        world.now += 601
        await world.read("conda/c", beside)
        await world.settled()
        assert (await shard(world))["run_exports"] == {"weak": ["other >=1"]}
        await renew(world, '"two"')
        assert (await shard(world))["run_exports"] == {"weak": ["other >=2"]}
        held = await world.catalog.get(f"conda/c {beside}")
        assert isinstance(held, Entry)
        await world.blobs.remove([held.digest])
        world.rule(NO_THING)  # all is made anew, from what there is
        assert "run_exports" not in await shard(world)

    play(tmp_path, script, files)


class Busy(Solo):
    """One of two workers; once `leads` is false the other one leads all that is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.leads = True

    def claim(self, key: str) -> None:
        if not self.leads:
            raise Elsewhere(1)


def test_what_another_worker_must_fetch_first_does_not_end_the_making_of_views(
    tmp_path: Path,
) -> None:
    follower, decider = "linux-64/current_repodata.json", "linux-64/repodata.json"
    files = channel(TWO)
    files[at(follower)] = files[at(decider)]

    async def main() -> None:
        team = Busy()
        async with world(tmp_path, files, Bounds(), team=team) as made:
            made.rule(NO_THING)
            for path in (follower, decider):
                await made.read("conda/c", path)
            team.leads = False
            await made.catalog.forget([f"conda/c {decider}"])
            await made.engine.warming.prepare()
            assert not made.told.failures

    asyncio.run(main())
