"""Policies at the gate: what is hidden is refused and never fetched, whatever is stored."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from proxy.core.advisories import Advisories
from proxy.core.ages import STEP
from proxy.core.model import Bounds
from proxy.core.policy import Blocked, Effect, LargerThan, Names, Not, Policy, Specs, YoungerThan
from proxy.errors import Blocked as BlockedError
from proxy.errors import Denied, UpstreamFailed, UpstreamMissing
from proxy.gateway.answer import Want
from proxy.gateway.contexts import LEAD
from proxy.gateway.explaining import Question
from tests.ecosystems.policies import DAY, allow, deny, policy
from tests.gateway.test_tables import held
from tests.gateway.world import HOST, NAME, PACKAGE, World, at, channel, play, record, repodata
from tests.lab.fake_upstream import FakeFile

OTHER = "other-1.0-0.conda"
TWO = {NAME: PACKAGE, OTHER: b"other"}
DOWN = FakeFile(error=UpstreamFailed("down"))
NO_THING = policy(deny(Names(("thing",)), "no-thing", "ask us first"))

WHEEL = "sample-1.0-py3-none-any.whl"
BODY = b"a wheel"
PAGE = f"{HOST}/simple/sample/"
FILE = f"{HOST}/files/{WHEEL}"


def page(*names: str, **more: Any) -> FakeFile:
    files = [
        {
            "filename": name,
            "url": f"{HOST}/files/{name}",
            "hashes": {"sha256": hashlib.sha256(BODY).hexdigest()},
            "core-metadata": True,
        }
        for name in names
    ]
    document = {"meta": {"api-version": "1.1"}, "name": "sample", "files": files} | more
    return FakeFile(
        body=json.dumps(document).encode(), media_type="application/vnd.pypi.simple.v1+json"
    )


def project(*names: str) -> dict[str, FakeFile | bytes]:
    return {PAGE: page(*names), FILE: BODY, f"{FILE}.metadata": b"Name: sample"}


async def path_of(world: World, name: str = WHEEL) -> str:
    """The path at which the page lists a file."""
    from proxy.core.model import Index

    index = world.resource("pypi/p", "simple/sample/")
    assert isinstance(index, Index)
    body = await world.read("pypi/p", "simple/sample/", Want(form=index.forms[1]))
    (url,) = [one["url"] for one in json.loads(body)["files"] if one["filename"] == name]
    return str(url).removeprefix("../../")


@pytest.mark.parametrize("want", [Want(), Want(head=True), Want(byte_range="bytes=0-9")])
def test_a_hidden_package_is_refused_with_its_reason_and_not_fetched(
    tmp_path: Path, want: Want
) -> None:
    async def script(world: World) -> None:
        world.rule(NO_THING)
        with pytest.raises(Denied) as refused:
            await world.read("conda/c", f"linux-64/{NAME}", want)
        assert (refused.value.rule, refused.value.reason) == ("no-thing", "ask us first")
        assert await world.read("conda/c", f"linux-64/{OTHER}") == b"other"
        assert at(f"linux-64/{NAME}") not in [ask.url for ask in world.upstream.asks]

    play(tmp_path, script, channel(TWO))


def test_a_package_that_is_here_already_is_refused_as_soon_as_the_policy_says_so(
    tmp_path: Path,
) -> None:
    async def script(world: World) -> None:
        assert await world.read("conda/c", f"linux-64/{NAME}") == PACKAGE
        world.rule(NO_THING)
        with pytest.raises(Denied):
            await world.read("conda/c", f"linux-64/{NAME}")
        world.rule(None)
        assert await world.read("conda/c", f"linux-64/{NAME}") == PACKAGE

    play(tmp_path, script, channel(TWO))


def test_a_change_of_policy_asks_nothing_of_upstream(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        path = "linux-64/repodata.json"
        assert NAME in json.loads(await world.read("conda/c", path))["packages.conda"]
        asked = len(world.upstream.asks)
        world.rule(NO_THING)
        assert set(json.loads(await world.read("conda/c", path))["packages.conda"]) == {OTHER}
        await world.engine.warming.prepare()
        assert world.told.hidden["linux-64/repodata.json"] == {"no-thing": 1}
        world.rule(None)
        assert NAME in json.loads(await world.read("conda/c", path))["packages.conda"]
        assert len(world.upstream.asks) == asked

    play(tmp_path, script, channel(TWO))


def test_what_is_in_use_is_made_anew_before_anybody_asks(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        path = "linux-64/repodata.json"
        await world.read("conda/c", path)
        world.rule(NO_THING)
        await world.engine.warming.prepare()
        views = await world.catalog.keys("view ")
        made = len(views)
        await world.read("conda/c", path)
        after = await world.catalog.keys("view ")
        assert len(after) <= made + 1  # the JSON, which nobody had asked for yet

    play(tmp_path, script, channel(TWO))


def test_a_file_that_the_index_does_not_list_cannot_be_judged(tmp_path: Path) -> None:
    files = channel(TWO) | {at("linux-64/gone-1-0.conda"): FakeFile(body=b"gone")}

    async def script(world: World) -> None:
        assert await world.read("conda/c", "linux-64/gone-1-0.conda") == b"gone"
        world.rule(NO_THING)
        with pytest.raises(Denied, match="unlisted"):
            await world.read("conda/c", "linux-64/gone-1-0.conda")

    play(tmp_path, script, files)


def test_without_an_index_nothing_is_let_through(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await world.read("conda/c", f"linux-64/{OTHER}")
        world.rule(NO_THING)
        await world.catalog.forget(["conda/c linux-64/repodata.json"])
        world.upstream.files[at("linux-64/repodata.json")] = DOWN
        world.upstream.files[at("linux-64/repodata.json.zst")] = DOWN
        with pytest.raises(UpstreamFailed):
            await world.read("conda/c", f"linux-64/{OTHER}")
        world.rule(None)
        assert await world.read("conda/c", f"linux-64/{OTHER}") == b"other"

    play(tmp_path, script, channel(TWO))


def test_while_upstream_is_away_the_last_index_still_judges(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.rule(NO_THING)
        await world.read("conda/c", f"linux-64/{OTHER}")
        for url in list(world.upstream.files):
            world.upstream.files[url] = DOWN
        world.now += 3 * 3600
        assert await world.read("conda/c", f"linux-64/{OTHER}") == b"other"
        with pytest.raises(Denied):
            await world.read("conda/c", f"linux-64/{NAME}")

    play(tmp_path, script, channel(TWO))


# -- PyPI ----------------------------------------------------------------------------------


def test_the_metadata_of_a_hidden_wheel_is_refused_with_it(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        path = await path_of(world)
        world.rule(policy(deny(Names(("sample",)), "no", "why")))
        for one in (path, f"{path}.metadata"):
            with pytest.raises(Denied, match="why"):
                await world.read("pypi/p", one)
        assert [ask.url for ask in world.upstream.asks] == [PAGE]

    play(tmp_path, script, project(WHEEL))


@pytest.mark.parametrize("how", ["file gone", "project gone", "quarantined"])
def test_what_upstream_has_withdrawn_does_not_come_back_from_the_cache(
    tmp_path: Path, how: str
) -> None:
    async def script(world: World) -> None:
        path = await path_of(world)
        assert await world.read("pypi/p", path) == BODY
        match how:
            case "file gone":
                world.upstream.files[PAGE] = page("sample-2.0-py3-none-any.whl")
            case "project gone":
                del world.upstream.files[PAGE]
            case _:
                status = {"status": "quarantined"}
                world.upstream.files[PAGE] = page(**{"project-status": status})
        world.now += 3 * 3600
        with pytest.raises(UpstreamMissing):
            await world.read("pypi/p", path)

    play(tmp_path, script, project(WHEEL))


def test_a_project_blocked_whole_is_an_empty_page_or_loud(tmp_path: Path) -> None:
    rules = policy(deny(Names(("sample",)), "no", "why"))

    async def script(world: World) -> None:
        world.rule(rules)
        assert b"sample-1.0" not in await world.read("pypi/p", "simple/sample/")
        world.rule(replace(rules, blocked=Blocked.REFUSE))
        with pytest.raises(BlockedError, match="why"):
            await world.read("pypi/p", "simple/sample/")

    play(tmp_path, script, project(WHEEL))


TWO_RELEASES = (WHEEL, "sample-2.0-py3-none-any.whl")


def legacy(*names: str) -> FakeFile:
    """The legacy JSON about a release of these files, with the project's releases."""
    digests = {"sha256": hashlib.sha256(BODY).hexdigest()}

    def files(*some: str) -> list[dict[str, Any]]:
        return [{"filename": one, "url": f"{HOST}/files/{one}", "digests": digests} for one in some]

    releases = {one.split("-")[1]: files(one) for one in TWO_RELEASES}
    document = {"info": {"version": "2.0"}, "urls": files(*names), "releases": releases}
    return FakeFile(body=json.dumps(document).encode(), media_type="application/json")


def with_legacy() -> dict[str, FakeFile | bytes]:
    first, second = TWO_RELEASES
    return project(*TWO_RELEASES) | {
        f"{HOST}/pypi/sample/json": legacy(second),
        f"{HOST}/pypi/sample/1.0/json": legacy(first),
        f"{HOST}/pypi/sample/2.0/json": legacy(second),
        f"{HOST}/pypi/sample/3.0/json": legacy(),
    }


@pytest.mark.parametrize("want", [None, Want(head=True)])
def test_the_legacy_json_of_a_release_is_refused_with_its_files(
    tmp_path: Path, want: Want | None
) -> None:
    async def script(world: World) -> None:
        paths = [f"pypi/sample/{part}json" for part in ("1.0/", "3.0/", "")]
        world.rule(policy(deny(Specs(("sample==2.0",)), "no-two", "why")))
        with pytest.raises(Denied, match="why") as refused:
            await world.read("pypi/p", "pypi/sample/2.0/json", want)
        assert not isinstance(refused.value, BlockedError)
        for path in paths:  # 3.0 never had files, and the project's own is about 1.0
            await world.read("pypi/p", path, want)
        world.rule(None)
        await world.read("pypi/p", "pypi/sample/2.0/json", want)

    play(tmp_path, script, with_legacy())


def test_the_legacy_json_of_a_project_blocked_whole_is_loud_where_its_page_is(
    tmp_path: Path,
) -> None:
    rules = policy(deny(Names(("sample",)), "no", "why"))

    async def script(world: World) -> None:
        world.rule(rules)
        told = json.loads(await world.read("pypi/p", "pypi/sample/json"))
        assert (told["urls"], told["releases"]) == ([], {})
        world.rule(replace(rules, blocked=Blocked.REFUSE))
        for path in ("simple/sample/", "pypi/sample/json", "pypi/sample/2.0/json"):
            for want in (None, Want(head=True)):
                with pytest.raises(BlockedError, match="why"):
                    await world.read("pypi/p", path, want)

    play(tmp_path, script, with_legacy())


def test_a_head_of_a_page_that_is_not_here_yet_is_refused_as_its_get_is(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.rule(policy(deny(Names(("sample",)), "no", "why"), blocked=Blocked.REFUSE))
        with pytest.raises(BlockedError, match="why"):
            await world.read("pypi/p", "simple/sample/", Want(head=True))

    play(tmp_path, script, project(WHEEL))


# -- time ----------------------------------------------------------------------------------

COOL = policy(deny(YoungerThan(DAY), "cool-down"))


def test_a_new_package_can_be_had_once_it_has_been_known_for_long_enough(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.rule(COOL)
        # It was there when the channel was first looked at, and says nothing of its age.
        assert await world.read("conda/c", f"linux-64/{OTHER}") == b"other"
        with pytest.raises(Denied):
            await world.read("conda/c", f"linux-64/{NAME}")
        listing = FakeFile(body=repodata(TWO), etag='"two"', media_type="application/json")
        world.upstream.files[at("linux-64/repodata.json")] = listing
        world.upstream.files[at(f"linux-64/{NAME}")] = FakeFile(body=PACKAGE)
        world.now += 3 * 3600
        with pytest.raises(Denied, match="cool-down"):
            await world.read("conda/c", f"linux-64/{NAME}")
        world.now += DAY + STEP
        assert await world.read("conda/c", f"linux-64/{NAME}") == PACKAGE

    play(tmp_path, script, channel({OTHER: b"other"}))


def test_first_sights_outlive_generations(tmp_path: Path) -> None:
    def listing(number: int, *more: str) -> FakeFile:
        packages = {OTHER: b"other"} | {name: name.encode() for name in more}
        return FakeFile(body=repodata(packages), etag=f'"{number}"', media_type="application/json")

    async def script(world: World) -> None:
        world.rule(COOL)
        await world.read("conda/c", "linux-64/repodata.json")
        names = ["a-1-0.conda", "b-1-0.conda", "c-1-0.conda"]
        for number in range(3):
            url = at("linux-64/repodata.json")
            world.upstream.files[url] = listing(number, *names[: number + 1])
            world.now += DAY / 2
            await world.read("conda/c", "linux-64/repodata.json")
            await world.settled()
            world.rule(COOL)  # nothing is remembered in memory
        world.now += STEP
        shown = json.loads(await world.read("conda/c", "linux-64/repodata.json"))
        # The files that came have been here for a day and a step, half a day more, half a day.
        assert set(shown["packages.conda"]) == {OTHER, names[0]}
        assert len(await world.catalog.keys("arrival ")) <= 3
        assert len(await world.catalog.keys("seen ")) == 1

    play(tmp_path, script, channel({OTHER: b"other"}))


def test_ages_stand_still_for_a_while_so_that_views_keep_their_names(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.now = 1_000_000 * STEP
        world.rule(COOL)
        context = world.engine.contexts.of("conda/c")
        world.now += STEP - LEAD - 1
        assert world.engine.contexts.of("conda/c").digest == context.digest
        assert world.engine.contexts.next("conda/c") is None
        world.now += 2
        ahead = world.engine.contexts.next("conda/c")
        assert ahead is not None
        world.now += LEAD
        assert world.engine.contexts.of("conda/c").digest == ahead.digest != context.digest

    play(tmp_path, script, channel(TWO))


def test_a_rule_ends_when_it_says(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        rule = replace(deny(Names(("thing",))), expires=world.now + 100)
        world.rule(Policy(name="p", rules=(rule,)))
        with pytest.raises(Denied):
            await world.read("conda/c", f"linux-64/{NAME}")
        world.now += 100
        assert await world.read("conda/c", f"linux-64/{NAME}") == PACKAGE

    play(tmp_path, script, channel(TWO))


# -- shards and side indexes ---------------------------------------------------------------


def test_a_shard_from_before_the_policy_is_refused_if_it_lists_what_is_hidden(
    tmp_path: Path,
) -> None:
    from tests.ecosystems.conda_channels import unpacked

    async def script(world: World) -> None:
        contents = unpacked(await world.read("conda/c", "linux-64/repodata_shards.msgpack.zst"))
        paths = {
            name: f"linux-64/shards/{digest.hex()}.msgpack.zst"
            for name, digest in contents["shards"].items()
        }
        world.rule(NO_THING)
        open_files: list[int] = []
        for _ in range(4):
            with pytest.raises(Denied, match="ask us first"):
                await world.read("conda/c", paths["thing"])
            open_files.append(held(tmp_path / "sha256"))
        assert open_files[1] == open_files[-1], "a refusal leaves a descriptor open"
        assert OTHER in unpacked(await world.read("conda/c", paths["other"]))["packages.conda"]

    play(tmp_path, script, channel(TWO))


def test_run_exports_leave_out_what_the_repodata_hides(tmp_path: Path) -> None:
    exports: dict[str, Any] = {name: {"run_exports": {}} for name in TWO}
    files = channel(TWO) | {
        at("linux-64/run_exports.json"): FakeFile(
            body=json.dumps({"packages.conda": exports}).encode()
        )
    }

    async def script(world: World) -> None:
        world.rule(policy(deny(LargerThan(1000))))
        shown = json.loads(await world.read("conda/c", "linux-64/run_exports.json"))
        assert set(shown["packages.conda"]) == {OTHER}
        world.rule(policy(allow(Specs(("thing",))), deny(Not(LargerThan(1000)))))
        shown = json.loads(await world.read("conda/c", "linux-64/run_exports.json"))
        assert set(shown["packages.conda"]) == {NAME}

    play(tmp_path, script, files, bounds=Bounds())


# -- allow-lists with what they need -------------------------------------------------------


def test_an_allow_list_is_closed_over_both_of_a_platforms_subdirs(tmp_path: Path) -> None:
    def listing(subdir: str, **packages: list[str]) -> FakeFile:
        rows = {
            f"{name}-1.0-0.conda": record(name, name.encode()) | {"depends": depends}
            for name, depends in packages.items()
        }
        body = json.dumps({"info": {"subdir": subdir}, "packages.conda": rows}).encode()
        return FakeFile(body=body, etag=f'"{subdir}{sorted(packages)}"')

    files = {
        at("linux-64/repodata.json"): listing("linux-64", app=["tool"], lib=[], alone=[]),
        at("noarch/repodata.json"): listing("noarch", tool=["lib"], other=[]),
        at("linux-64/lib-1.0-0.conda"): FakeFile(body=b"lib"),
    }
    rule = allow(Specs(("app",), dependencies=True), "wanted")

    async def shown(world: World, subdir: str) -> set[str]:
        body = await world.read("conda/c", f"{subdir}/repodata.json")
        return {name.partition("-")[0] for name in json.loads(body)["packages.conda"]}

    async def script(world: World) -> None:
        world.rule(policy(rule, default=Effect.DENY))
        assert await shown(world, "linux-64") == {"app", "lib"}
        assert await shown(world, "noarch") == {"tool"}
        assert await world.read("conda/c", "linux-64/lib-1.0-0.conda") == b"lib"
        with pytest.raises(Denied):
            await world.read("conda/c", "linux-64/alone-1.0-0.conda")
        # What one subdir now needs, the other shows.
        world.upstream.files[at("linux-64/repodata.json")] = listing(
            "linux-64", app=["tool", "other"], lib=[]
        )
        world.now += 3 * 3600
        assert await shown(world, "linux-64") == {"app", "lib"}
        assert await shown(world, "noarch") == {"tool", "other"}

    play(tmp_path, script, files)


def test_a_platform_known_to_be_absent_does_not_stand_in_the_way_of_noarch(tmp_path: Path) -> None:
    rule = allow(Specs(("thing",), dependencies=True), "wanted")

    async def script(world: World) -> None:
        world.rule(policy(rule, default=Effect.DENY))
        with pytest.raises(UpstreamMissing):
            await world.read("conda/c", "osx-64/repodata.json")
        assert await world.read("conda/c", "noarch/repodata.json")

    play(tmp_path, script, channel(TWO))


def test_noarch_asked_first_waits_for_nobody(tmp_path: Path) -> None:
    rule = allow(Specs(("thing",), dependencies=True), "wanted")

    async def script(world: World) -> None:
        world.rule(policy(rule, default=Effect.DENY))
        both = ("noarch/repodata.json", "linux-64/repodata.json")
        await asyncio.gather(*(world.read("conda/c", path) for path in both))
        shown = json.loads(await world.read("conda/c", "linux-64/repodata.json"))
        assert set(shown["packages.conda"]) == {NAME}
        # Both are gone, and noarch is still believed to be here.
        await world.catalog.forget([f"conda/c {path}" for path in both])
        await asyncio.gather(*(world.read("conda/c", path) for path in both))

    play(tmp_path, script, channel(TWO))


def test_what_is_known_of_vulnerabilities_counts_in_explanations(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await world.read("conda/c", "linux-64/repodata.json")
        world.engine.contexts.advise({"PyPI": Advisories()})
        question = Question(mirror=world.mirrors["conda/c"], policies=(None,))
        found = await world.engine.explain(question)
        assert [one.verdicts[0].rule for one in found] == ["default"]

    play(tmp_path, script, channel())
