"""Explanations say what clients are shown: by the same rules, lists, time and generation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.core.advisories import Advisories, Advisory
from proxy.core.ages import STEP
from proxy.core.policy import Effect, Names, Not, Policy, Specs, Vulnerable, YoungerThan
from proxy.errors import Denied
from proxy.gateway import freezing
from proxy.gateway.explaining import Compared, Question, as_row, difference
from tests.ecosystems.policies import DAY, allow, deny, policy, warn
from tests.gateway.test_policy import OTHER, TWO
from tests.gateway.world import NAME, World, at, channel, play, record, repodata
from tests.lab.fake_upstream import FakeFile

INDEX = "linux-64/repodata.json"
EVIL = Advisory(id="MAL-2026-1", malicious=True, everything=True)
LEAK = Advisory(id="GHSA-1", aliases=("CVE-2026-7",), score=8.0, everything=True)
KNOWN = {
    "PyPI": Advisories(
        by_name={"evil": (EVIL,), "leaky": (LEAK, replace(LEAK, id="PYSEC-1"))},
        conda_names={"thing": "evil", "other": "leaky"},
    )
}


async def asked(world: World, *policies: Policy | None) -> dict[str, Compared]:
    mirror = world.mirrors["conda/c"]
    question = Question(mirror=mirror, policies=policies or (mirror.policy,))
    return {one.filename: one for one in await world.engine.explain(question)}


async def listed(world: World) -> set[str]:
    return set(json.loads(await world.read("conda/c", INDEX))["packages.conda"])


async def shown(world: World, index: str = INDEX) -> set[str]:
    """What is not hidden by an explanation's word."""
    found = await asked(world)
    return {name for name, one in found.items() if one.index == index and not one.verdicts[0].hides}


def test_an_allow_list_is_closed_as_for_clients(tmp_path: Path) -> None:
    files = channel()
    rows = {
        NAME: record("thing", b"1") | {"depends": ["needed"]},
        "needed-1.0-0.conda": record("needed", b"2") | {"depends": ["deep"]},
        OTHER: record("other", b"3"),
    }
    deep = {"deep-1.0-0.conda": record("deep", b"4")}
    for subdir, packages in {"linux-64": rows, "noarch": deep}.items():
        body = json.dumps({"info": {"subdir": subdir}, "packages.conda": packages}).encode()
        files[at(f"{subdir}/repodata.json")] = FakeFile(body=body)

    async def script(world: World) -> None:
        wanted = allow(Specs(("thing",), dependencies=True), "wanted")
        world.rule(policy(wanted, default=Effect.DENY))
        assert await listed(world) == {NAME, "needed-1.0-0.conda"} == await shown(world)
        assert await shown(world, "noarch/repodata.json") == set(deep)
        world.rule(None)
        changed = await asked(world, None, policy(wanted, default=Effect.DENY))
        assert {name for name, one in changed.items() if one.verdicts[1].hides} == {OTHER}

    play(tmp_path, script, files)


def test_what_is_malicious_is_so_under_every_policy_that_is_compared(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        world.engine.contexts.advise(KNOWN)
        assert await listed(world) == {OTHER} == await shown(world)
        found = (await asked(world))[NAME].verdicts[0]
        assert (found.rule, found.reason) == (
            "malicious",
            "this release is known to be malicious (MAL-2026-1)",
        )
        mirror = world.mirrors["conda/c"]
        both = (None, policy(allow(Names(("*",)))))
        question = Question(mirror=mirror, policies=both, changed=True)
        assert not difference(await world.engine.explain(question)).files

    play(tmp_path, script, channel(TWO))


def test_a_vulnerability_is_named_once_where_it_counts(tmp_path: Path) -> None:
    rule = deny(Vulnerable(score=7.0), "leaks", "It leaks.")

    async def script(world: World) -> None:
        world.engine.contexts.advise(KNOWN)
        world.rule(policy(rule))
        assert not await listed(world)
        assert (await asked(world))[OTHER].verdicts[0].reason == "It leaks (CVE-2026-7)."
        assert world.told.hidden[INDEX] == {"malicious": 1, "leaks": 1}

    play(tmp_path, script, channel(TWO))


def test_of_a_frozen_mirror_the_frozen_generation_is_explained(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        await listed(world)
        ecosystem = world.engine.ports.ecosystems["conda"]
        await freezing.freeze(world.catalog, ecosystem, "conda/c", world.now)
        body = repodata({OTHER: b"other"})
        world.upstream.files[at(INDEX)] = FakeFile(body=body, etag='"two"')
        world.now += DAY
        assert await listed(world) == {OTHER} == await shown(world)
        frozen_at = world.now - DAY
        world.rule(None, frozen_at=frozen_at)
        assert await listed(world) == set(TWO) == await shown(world)

    play(tmp_path, script, channel(TWO))


def test_ages_stand_still_in_explanations_as_in_the_index(tmp_path: Path) -> None:
    begun = 500_000 * STEP + 60.0
    rows = {NAME: record("thing", b"1") | {"indexed_timestamp": int(begun * 1000)}}
    body = json.dumps({"info": {"subdir": "linux-64"}, "packages.conda": rows}).encode()
    files = {at(INDEX): FakeFile(body=body)}

    async def script(world: World) -> None:
        world.now = begun
        world.rule(policy(deny(YoungerThan(2 * STEP), "cool-down")))
        await listed(world)
        found = (await asked(world))[NAME]
        until = found.verdicts[-1].until
        assert until == 500_003 * STEP  # old enough some minutes before, in the hour's middle
        assert as_row(found)["until"] == "2027-01-15T11:00:00+00:00"
        with pytest.raises(Denied, match=r"ago \(allowed from 2027-01-15 11:00 UTC\)") as refused:
            await world.read("conda/c", f"linux-64/{NAME}")
        assert refused.value.until == until
        for seconds, is_hidden in ((2 * STEP + 1, True), (3 * STEP - 60, False)):
            world.now = begun + seconds
            assert (NAME not in await listed(world)) is is_hidden
            assert (NAME not in await shown(world)) is is_hidden
            await world.settled()
        world.rule(policy(deny(Not(YoungerThan(STEP)), "too-old")))
        found = (await asked(world))[NAME]
        assert (found.verdicts[-1].rule, found.verdicts[-1].until) == ("too-old", None)

    play(tmp_path, script, files)


def test_a_warning_is_explained_with_its_end(tmp_path: Path) -> None:
    begun = 500_000 * STEP
    rows = {NAME: record("thing", b"1") | {"indexed_timestamp": int(begun * 1000)}}
    body = json.dumps({"info": {"subdir": "linux-64"}, "packages.conda": rows}).encode()

    async def script(world: World) -> None:
        world.now = begun + STEP
        await listed(world)
        for rule, end in (
            (warn(YoungerThan(DAY), "fresh"), "2027-01-16T08:00:00+00:00"),
            (warn(Names(("thing",)), "named"), None),
        ):
            world.rule(policy(rule))
            row = as_row((await asked(world))[NAME])
            assert (row["effect"], row["rule"], row["until"]) == ("warn", rule.name, end)

    play(tmp_path, script, {at(INDEX): FakeFile(body=body)})
