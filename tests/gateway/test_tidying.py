"""Superseded views go after some hours; the parts that older indexes name are there for as long as
it is configured, whatever came since, and take no more room than what changed.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.model import Bounds, Digest, Index, View, digest_of
from proxy.core.rows import Table, build
from proxy.gateway.pool import THREAD_LIMIT, Pool
from proxy.gateway.tidying import Plan, Tidied, Tidying, planned
from proxy.storage.disk import DiskBlobs
from proxy.storage.memory import MemoryCatalog
from proxy.storage.ports import Remembered
from proxy.storage.sweep import TURN, sweep, usage
from tests.gateway.test_members import shards
from tests.gateway.world import World, at, body_of, channel, play, repodata
from tests.lab.fake_upstream import FakeFile

NOW = 1e9
HOUR = 3600.0
WEEK = 7 * 86400.0
SOURCES = "~"
ZST = "linux-64/repodata.json.zst"
STRICT = Bounds(fresh_min=0, fresh_default=60, stale_while_revalidate=0)
Members = Mapping[str, bytes]


def view(key: str, hours: float, digest: Digest | None = None, size: int = 1) -> View:
    """One of a form of an index, made so many hours ago."""
    return View(
        key=f"view conda/c i\t{key.replace(' ', chr(9))}",
        digest=digest or digest_of(key.encode()),
        size=size,
        media_type="",
        made_at=NOW - hours * HOUR,
    )


def told(plan: Plan) -> tuple[set[str], list[tuple[str, ...]]]:
    """The keys of a plan, without their index."""

    def short(view: View) -> str:
        return view.key.partition("\t")[2].replace("\t", " ")

    forgotten = {short(one) for one in plan.forgotten}
    return forgotten, [tuple(short(one) for one in some) for some in plan.thinned]


def plan(keep_for: float = WEEK, **made: float) -> tuple[set[str], list[tuple[str, ...]]]:
    """What is to be done with views, by key, made so many hours ago."""
    views = [view(key, hours) for key, hours in made.items()]
    return told(planned(views, keep_for=keep_for, now=NOW))


def test_what_can_be_made_again_goes_when_it_is_no_longer_shown() -> None:
    ages = {"zst a": 30, "zst b": 3.1, "zst c": 2.9, "zst d": 0}
    assert plan(**ages) == ({"zst a", "zst b"}, [])
    assert plan(keep_for=2 * HOUR, **ages) == ({"zst a", "zst b", "zst c"}, [])


@pytest.mark.parametrize("form", ["zst", "shardpack"])
def test_the_newest_generation_stays_whatever_its_age(form: str) -> None:
    assert plan(**{f"{form} a": 999}) == (set(), [])
    for order in ((999, 500), (500, 999)):
        ages = {f"{form} {hours}": hours for hours in order}
        assert plan(**ages) == ({f"{form} 999"}, [])


def test_codings_stay_and_go_with_their_form() -> None:
    ages = {"html a": 9, "html+gzip a": 1, "html b": 5, "html+gzip b": 4, "html+zstd b": 4}
    assert plan(**ages) == ({"html a", "html+gzip a"}, [])


def test_superseded_packs_are_thinned_the_oldest_first_and_go_in_the_end() -> None:
    ages = {"a": 169, "b": 99, "c": 9, "d": 2, "e": 1}
    forgotten, thinned = plan(**{f"shardpack {name}": age for name, age in ages.items()})
    assert forgotten == {"shardpack a"}
    assert [[key[-1] for key in some] for some in thinned] == [["b", "c", "e"], ["c", "d", "e"]]
    assert plan(**{"shardpack a": 9, "shardpack b": 1})[1] == [("shardpack a", "shardpack b")]


@dataclass
class House:
    """A store of packs, its clock, and what its tidying told."""

    blobs: DiskBlobs
    catalog: MemoryCatalog
    pool: Pool
    now: float = NOW
    told: list[str] = field(default_factory=list)

    async def put(self, name: str, members: Members, family: str = "i") -> View:
        """A pack of another generation, made now."""
        content = b"".join(build({**members, SOURCES: repr(sorted(members)).encode()}))
        digest = digest_of(content)
        path = self.blobs.path(digest)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        made = replace(view(f"shardpack {name}", 0, digest, len(content)), made_at=self.now)
        made = replace(made, key=made.key.replace("c i\t", f"c {family}\t"))
        await self.catalog.put(made)
        return made

    async def tidied(self) -> Tidied:
        """Tidy up and sweep, as the janitor does."""

        def failed(key: str, _error: BaseException) -> None:
            self.told.append(key)

        for path in (self.blobs.root / "sha256").glob("*/*"):  # nobody has used any just now
            os.utime(path, (self.now - 100, self.now - 100))
        one = Tidying(self.blobs, self.catalog, self.pool, keep_for=WEEK, failed=failed)
        found = await one.run(self.now)
        root, dropped = self.blobs.root, found.dropped
        await sweep(root, self.catalog, keep_for=1e9, now=self.now, dropped=dropped)
        return found

    def packs(self) -> dict[str, dict[str, bytes]]:
        """What is in the packs that are remembered and here, by key."""
        values = [one for one in self.catalog.values.values() if isinstance(one, View)]
        paths = {one.key: self.blobs.path(one.digest) for one in values}
        return {key: dict(Table(path.read_bytes()).items()) for key, path in paths.items()}

    def has(self, view: View) -> bool:
        return self.blobs.path(view.digest).exists()


def unexpected(_key: str, error: BaseException) -> None:
    raise error


def housed(script: Callable[[House], Awaitable[None]]) -> None:
    async def main(root: Path) -> None:
        house = House(DiskBlobs(root), MemoryCatalog(), Pool())
        try:
            async with asyncio.timeout(60):
                await script(house)
        finally:
            await house.pool.aclose()
            await house.blobs.aclose()
        assert not list((root / "work").iterdir()), "a file being made was left behind"

    with tempfile.TemporaryDirectory() as root:
        asyncio.run(main(Path(root)))


def members(versions: Mapping[int, int]) -> Members:
    """The shards of packages, by number, each of a version."""
    contents = [f"{name} {version} ".encode() * 9 for name, version in versions.items()]
    return {digest_of(content): content for content in contents}


Steps = list[tuple[float, dict[int, int]]]
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.2, 1, 1, 1, 3.5, 30, 100]),
        st.dictionaries(st.integers(0, 5), st.integers(0, 3), max_size=4),
    ),
    max_size=12,
)
"""Hours that go by, and which packages are then of which version."""


@settings(max_examples=60, deadline=None)
@given(STEPS, st.lists(st.booleans(), min_size=12, max_size=12))
def test_every_part_of_every_generation_is_there_for_as_long_as_configured(
    steps: Steps, tidied: list[bool]
) -> None:
    async def script(house: House) -> None:
        versions = dict.fromkeys(range(6), 0)
        made: list[tuple[float, Members]] = []
        for number, (hours, changed) in enumerate(steps):
            house.now += hours * HOUR
            versions |= changed
            made.append((house.now, members(versions)))
            await house.put(str(number), made[-1][1])
            if tidied[number]:
                await house.tidied()
            there = {key: value for pack in house.packs().values() for key, value in pack.items()}
            for at_, wanted in made:
                if at_ >= house.now - WEEK:
                    assert wanted.items() <= there.items()

    housed(script)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sets(st.integers(0, 40), max_size=3), min_size=4, max_size=30))
def test_what_is_on_disk_is_one_pack_and_what_changed(steps: list[set[int]]) -> None:
    async def script(house: House) -> None:
        versions = dict.fromkeys(range(41), 0)
        for number, changed in enumerate(steps):
            house.now += HOUR
            versions |= {one: versions[one] + 1 for one in changed}
            await house.put(str(number), members(versions))
            await house.tidied()
        house.now += 4 * HOUR
        await house.put("last", members(versions))
        await house.tidied()
        held = Counter(key for pack in house.packs().values() for key in pack if key != SOURCES)
        assert set(held.values()) == {1}, "a part is there once"
        assert len(held) == 41 + sum(map(len, steps[1:]))
        sizes = [one.size for one in house.catalog.values.values() if isinstance(one, View)]
        assert usage(house.blobs.root).size <= sum(sizes)

    housed(script)


def test_a_remnant_is_not_written_again() -> None:
    async def script(house: House) -> None:
        for number in range(3):
            await house.put(str(number), members({0: 0, 1: number}))
            house.now += 4 * HOUR
        assert (await house.tidied()).thinned == 2
        before = {path: path.stat().st_ino for path in house.blobs.root.glob("sha256/*/*")}
        for number in range(3, 6):
            await house.put(str(number), members({0: 0, 1: number}))
            house.now += 60
            assert (await house.tidied()).thinned == (number == 3)  # that which was the newest
        after = {path: path.stat().st_ino for path in house.blobs.root.glob("sha256/*/*")}
        assert len(before.items() & after.items()) == 2

    housed(script)


def test_of_a_pack_that_lost_nothing_nothing_is_left() -> None:
    async def script(house: House) -> None:
        old = await house.put("a", members({0: 0}))
        house.now += 4 * HOUR
        new = await house.put("b", members({0: 0, 1: 1}))
        found = await house.tidied()
        assert (found.thinned, list(house.catalog.values)) == (1, [new.key])
        assert (house.has(old), house.has(new)) == (False, True)

    housed(script)


def test_bytes_that_another_view_names_stay() -> None:
    async def script(house: House) -> None:
        shared = members({0: 0, 1: 0})
        old = await house.put("a", shared)
        house.now += 4 * HOUR
        same = await house.put("a", shared, family="other")
        assert same.digest == old.digest
        await house.put("b", members({0: 0, 1: 1}))
        assert (await house.tidied()).dropped == {old.digest}
        assert house.has(same)
        assert house.packs()[same.key].items() >= shared.items()

    housed(script)


def test_large_packs_are_thinned_in_a_process() -> None:
    async def script(house: House) -> None:
        large = {f"{number:064x}": bytes([number]) * THREAD_LIMIT for number in range(9)}
        await house.put("a", {**large, "f" * 64: b"old"})
        house.now += 4 * HOUR
        await house.put("b", large)
        assert (await house.tidied()).thinned == 1
        assert [len(pack) for pack in house.packs().values()] == [1, 10]

    housed(script)


@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_pack_is_told_and_forgotten_and_takes_no_other_along(which: int) -> None:
    async def script(house: House) -> None:
        made = [await house.put(name, members({0: 0, 1: ord(name)})) for name in "ab"]
        other = await house.put("a", members({9: 9}), family="other")
        house.now += 4 * HOUR
        await house.put("b", members({9: 8}), family="other")
        await house.put("c", members({0: 0, 1: 5}))
        bad = made[which]
        content = bytearray(house.blobs.path(bad.digest).read_bytes())
        content[-90] ^= 1  # in a member: only its digest tells
        house.blobs.path(bad.digest).write_bytes(content)
        assert (await house.tidied()).thinned >= 1
        assert made[0].key in house.told
        assert bad.key not in house.catalog.values
        assert not house.has(bad)
        remnant = house.catalog.values[other.key]
        assert isinstance(remnant, View)
        assert remnant.size < other.size
        house.told.clear()
        await house.tidied()
        assert house.told == []
        (good,) = {made[0].key, made[1].key} - {bad.key}
        assert set(house.packs()[good]) == set(members({1: ord(good[-1])}))

    housed(script)


def test_a_pack_that_is_made_anew_while_it_is_thinned_stays_as_it_is() -> None:
    async def script(house: House) -> None:
        old = await house.put("a", members({0: 0}))
        house.now += 4 * HOUR
        await house.put("b", members({1: 1}))
        anew = replace(old, made_at=house.now)

        class Busy(Pool):
            async def run(self, work: object, job: object, *, size: int) -> object:  # type: ignore[override]
                await house.catalog.put(anew)
                return await house.pool.run(work, job, size=size)  # type: ignore[arg-type]

        busy = Busy()
        tidying = Tidying(house.blobs, house.catalog, busy, keep_for=WEEK, failed=unexpected)
        assert (await tidying.run(house.now)).thinned == 0
        assert house.catalog.values[old.key] == anew
        await busy.aclose()

    housed(script)


def test_others_have_their_turn_while_the_catalog_is_read() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def script(house: House) -> None:
        for number in range(TURN * 10):
            await house.catalog.put(view(f"json {number}", number))
        waiting = asyncio.create_task(others())
        assert (await house.tidied()).forgotten == TURN * 10 - 4
        assert turns >= 10
        waiting.cancel()

    housed(script)


# -- in the gateway ----------------------------------------------------------------------


async def renewed(world: World, number: int) -> dict[str, str]:
    """The paths of the shards of another generation: of `a` it has another version each time."""
    files = {f"a-{number}-0.conda": b"a" * number, "b-1-0.conda": b"b"}
    listing = FakeFile(body=repodata(files), etag=f'"{number}"')
    world.upstream.files[at("linux-64/repodata.json")] = listing
    world.now += HOUR
    found = await shards(world)
    await world.settled()
    return found


async def swept(world: World, catalog: MemoryCatalog | None = None) -> Tidied:
    """Tidy the world up as the janitor does; *catalog*: that of the process that does so."""
    catalog = catalog or world.catalog
    pool = world.engine.pool
    one = Tidying(world.blobs, catalog, pool, keep_for=WEEK, failed=unexpected)
    found = await one.run(world.now)
    await sweep(world.root, catalog, keep_for=WEEK, now=world.now, dropped=found.dropped)
    return found


def test_shards_of_a_day_ago_are_served_and_little_else_of_it_is_kept(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.now = time.time()
        made = []
        for number in range(1, 25):
            made.append(await renewed(world, number))
            await swept(world)
        kept = Counter(key.split("\t")[1] for key in await world.catalog.keys("view "))
        assert kept == {"zst": 4, "rows": 4, "shards": 4, "shardpack": 24, "batches": 1}
        for number, paths in enumerate(made, 1):
            assert await world.read("conda/c", paths["b"])
            answer = await world.open("conda/c", paths["a"])
            assert f'"{paths["a"][16:80]}"' == answer.etag, number
            assert digest_of(await body_of(answer)) == paths["a"][16:80]
            await answer.close()
        world.now += WEEK
        await shards(world)
        await swept(world)
        assert len(await world.catalog.keys("view ")) == 5

    play(tmp_path, script, channel(), bounds=STRICT)


def test_what_is_shown_again_after_it_was_forgotten_is_made_again(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.now = time.time()
        first = await renewed(world, 1)
        for number in range(2, 7):
            await renewed(world, number)
        await swept(world)
        again = await renewed(world, 1)
        assert again == first
        assert await world.read("conda/c", again["a"])
        index = world.resource("conda/c", "linux-64/repodata.json")
        assert isinstance(index, Index)
        newest, *_ = await world.engine.views.packs(index, "shardpack")
        assert len(await world.engine.views.open_table(newest)) == 3

    play(tmp_path, script, channel(), bounds=STRICT)


class Behind(MemoryCatalog):
    """What a sibling process sees of a catalog: `peek` is what it has read last itself."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        super().__init__()
        self.values = catalog.values
        self._seen: dict[str, Remembered] = {}

    def peek(self, key: str) -> Remembered | None:
        return self._seen.get(key)

    async def get(self, key: str) -> Remembered | None:
        found = self.values.get(key)
        if found is None:
            self._seen.pop(key, None)
        else:
            self._seen[key] = found
        return found


@pytest.mark.parametrize("is_mapped", [True, False])
def test_a_sibling_finds_what_was_thinned_behind_its_back(tmp_path: Path, is_mapped: bool) -> None:
    async def script(world: World) -> None:
        world.now = time.time()
        views = world.engine.views
        views._catalog = Behind(world.catalog)
        made = [await renewed(world, number) for number in range(1, 7)]
        index = world.resource("conda/c", "linux-64/repodata.json")
        assert isinstance(index, Index)
        assert await world.read("conda/c", made[0]["a"])  # all packs are mapped, and remembered
        stale = await views.packs(index, "shardpack")
        for pack in stale:
            os.utime(world.blobs.path(pack.digest), (world.now - 100, world.now - 100))
        assert (await swept(world)).thinned == 2
        assert not world.blobs.path(stale[-1].digest).exists()
        assert (await views.packs(index, "shardpack"))[-1] == stale[-1], "it does not know yet"
        if not is_mapped:
            views._tables.clear()
        for paths in made:
            assert await world.read("conda/c", paths["a"])
            assert await world.read("conda/c", paths["b"])
        assert len(await world.catalog.keys("view conda/c linux-64/repodata.json\tshardpack")) == 6

    play(tmp_path, script, channel(), bounds=STRICT)


def test_an_answer_that_is_open_is_read_to_its_end(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.now = time.time()
        made = [await renewed(world, number) for number in range(1, 7)]
        answer = await world.open("conda/c", made[0]["a"])
        for path in world.root.glob("sha256/*/*"):
            os.utime(path, (world.now - 100, world.now - 100))
        await swept(world)
        assert digest_of(await body_of(answer)) == made[0]["a"][16:80]
        await answer.close()

    play(tmp_path, script, channel(), bounds=STRICT)


@pytest.mark.parametrize("form", ["rows", "zst"])
def test_views_that_a_sibling_forgot_are_made_again(tmp_path: Path, form: str) -> None:
    async def script(world: World) -> None:
        index, mirror = world.resource("conda/c", ZST), world.mirrors["conda/c"]
        assert isinstance(index, Index)
        await world.read("conda/c", ZST)
        views = world.engine.views
        generation = (await world.engine.indexes.current(index, mirror)).generation
        view = await views.find(generation, form)
        assert view is not None
        world.blobs.path(view.digest).unlink()
        if form == "rows":
            assert await views.rows(generation)
        else:
            assert await views.get(generation, index.forms[0], "gzip")
        assert world.blobs.path(view.digest).exists()

    play(tmp_path, script, channel({"a-1-0.conda": b"a"}))
