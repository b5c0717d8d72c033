"""Runs: what they fetch, what they leave, and how they end."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.core.active import Active, Limits, Scope
from proxy.core.advisories import Advisories, Advisory
from proxy.core.ages import STEP
from proxy.core.model import Bounds, Entry
from proxy.core.policy import Effect, Names, Policy, Rule, Vulnerable, YoungerThan
from proxy.errors import UpstreamFailed
from proxy.mirror.port import RunState, Step, Tally
from proxy.storage.memory import MemoryCatalog
from proxy.storage.ports import Remembered
from tests.gateway.world import at, channel, record, world
from tests.lab.fake_upstream import FakeFile
from tests.mirror.scene import CONDA, Scene, scene, stage


def _packages(*names: str) -> dict[str, bytes]:
    return {f"{name}.conda": name.encode() * 1000 for name in names}


def test_a_run_fetches_all_that_is_listed(tmp_path: Path) -> None:
    packages = _packages("a-1.0-0", "b-1.0-0", "c-1.0-0")

    async def act(scene: Scene) -> None:
        details = await scene.run()
        run = details.run
        assert run.state is RunState.COMPLETED
        assert (run.counts.listed, run.counts.wanted, run.counts.fetched) == (3, 3, 3)
        assert run.counts.bytes_fetched == sum(map(len, packages.values()))
        assert (details.actively, details.passively) == (3, 0)
        scene.world.upstream.files.clear()
        for name, body in packages.items():
            assert await scene.world.read(CONDA, f"linux-64/{name}") == body

    stage(tmp_path, act, channel(packages))


def test_what_is_here_is_not_fetched_again(tmp_path: Path) -> None:
    packages = _packages("a-1.0-0", "b-1.0-0")

    async def act(scene: Scene) -> None:
        await scene.world.read(CONDA, "linux-64/a-1.0-0.conda")
        first = await scene.run(run="1")
        assert (first.run.counts.present, first.run.counts.fetched) == (1, 1)
        assert (first.actively, first.passively) == (1, 1)
        second = await scene.run(run="2")
        assert (second.run.counts.present, second.run.counts.fetched) == (2, 0)
        for name in packages:
            assert scene.world.upstream.count(at(f"linux-64/{name}")) == 1

    stage(tmp_path, act, channel(packages))


def test_steps_come_in_order(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.run()
        steps = list(dict.fromkeys(run.step for run in scene.heard))
        assert steps == list(Step)

    stage(tmp_path, act, channel(_packages("a-1.0-0")))


def test_a_run_gives_way_when_all_indexes_are_surveyed_and_before_it_fetches(
    tmp_path: Path,
) -> None:
    async def act(scene: Scene) -> None:
        at_steps: list[Step] = []

        def give_way() -> None:
            at_steps.append(scene.heard[-1].step)

        scene.tools = replace(scene.tools, give_way=give_way)
        await scene.run()
        assert at_steps == [Step.PLANNING]

    stage(tmp_path, act, channel(_packages("a-1.0-0")))


def test_what_the_policy_hides_is_not_fetched_and_said(tmp_path: Path) -> None:
    rule = Rule(name="no-b", effect=Effect.DENY, condition=Names(("b",)), reason="we dislike it")

    async def act(scene: Scene) -> None:
        scene.activate(policy=Policy(name="p", rules=(rule,)))
        details = await scene.run()
        assert details.run.counts.hidden == 1
        assert details.hidden == (
            Tally(rule="no-b", reason="we dislike it", files=1, examples=("b-1.0-0.conda",)),
        )
        assert scene.world.upstream.count(at("linux-64/b-1.0-0.conda")) == 0

    stage(tmp_path, act, channel(_packages("a-1.0-0", "b-1.0-0")))


def test_of_what_is_hidden_for_its_age_the_first_end_is_said(tmp_path: Path) -> None:
    rule = Rule(
        name="fresh", effect=Effect.DENY, condition=YoungerThan(2 * STEP), reason="It is new."
    )
    begun = 500_000 * STEP
    rows = {
        name: record(name[0], body) | {"indexed_timestamp": int((begun - ago) * 1000)}
        for ago, (name, body) in zip(
            (0, STEP), _packages("a-1.0-0", "b-1.0-0").items(), strict=True
        )
    }
    index = {"info": {"subdir": "linux-64"}, "packages.conda": rows}

    async def act(scene: Scene) -> None:
        scene.world.now = begun
        scene.activate(policy=Policy(name="p", rules=(rule,)))
        (tally,) = (await scene.run()).hidden
        assert (tally.files, tally.reason) == (
            2,
            "It is new (the first of them allowed from 2027-01-15 09:00 UTC).",
        )

    stage(tmp_path, act, {at("linux-64/repodata.json"): FakeFile(body=json.dumps(index).encode())})


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("ab", "It has a hole (CVE-2026-1)."),
        ("bc", "It has a hole."),
        ("abc", "It has a hole."),
    ],
)
def test_vulnerabilities_are_named_where_all_files_of_the_rule_have_them(
    tmp_path: Path, names: str, said: str
) -> None:
    rule = Rule(name="safe", effect=Effect.DENY, condition=Vulnerable(), reason="It has a hole.")
    one, other = (Advisory(id=f"CVE-2026-{number}", everything=True) for number in (1, 2))
    evil = Advisory(id="MAL-1", malicious=True, everything=True)
    known = Advisories(
        by_name={"one": (one,), "other": (other,), "evil": (evil,), "worse": (evil, other)},
        conda_names={"a": "one", "b": "one", "c": "other", "d": "evil", "e": "worse"},
    )

    async def act(scene: Scene) -> None:
        scene.world.engine.contexts.advise({"PyPI": known})
        scene.activate(policy=Policy(name="p", rules=(rule,)))
        malicious, safe = sorted((await scene.run()).hidden, key=lambda tally: tally.rule)
        assert (safe.rule, safe.files, safe.reason) == ("safe", len(names), said)
        assert (malicious.files, malicious.reason) == (
            2,
            "this release is known to be malicious (MAL-1)",
        )

    stage(tmp_path, act, channel(_packages(*(f"{name}-1.0-0" for name in f"{names}de"))))


def test_failures_are_tried_again_and_then_listed(tmp_path: Path) -> None:
    packages = _packages("a-1.0-0", "b-1.0-0")
    files = channel(packages)
    broken = FakeFile(error=UpstreamFailed("it is broken"))

    async def act(scene: Scene) -> None:
        good = scene.world.upstream.files[at("linux-64/b-1.0-0.conda")]
        scene.world.upstream.files[at("linux-64/b-1.0-0.conda")] = broken
        details = await scene.run()
        assert details.run.state is RunState.COMPLETED_WITH_FAILURES
        (failure,) = details.failures
        assert failure.path == "linux-64/b-1.0-0.conda"
        assert (failure.error, failure.attempts) == ("it is broken", 3)
        assert (details.run.counts.fetched, details.run.counts.failed) == (1, 1)
        scene.world.upstream.files[at("linux-64/b-1.0-0.conda")] = good
        again = await scene.run(run="2")
        assert again.run.state is RunState.COMPLETED
        assert (again.run.counts.present, again.run.counts.fetched) == (1, 1)

    stage(tmp_path, act, files)


def test_a_mirror_without_an_index_fails(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        details = await scene.run()
        assert details.run.state is RunState.FAILED
        assert details.run.error == "upstream has none of the indexes of conda/c"

    stage(tmp_path, act)


def test_a_run_does_not_take_a_stale_index_for_a_new_one(tmp_path: Path) -> None:
    async def act(scene: Scene) -> None:
        await scene.run()
        for url, file in list(scene.world.upstream.files.items()):
            if "repodata" in url and isinstance(file, FakeFile):
                broken = replace(file, error=UpstreamFailed("it is broken"))
                scene.world.upstream.files[url] = broken
        details = await scene.run(run="2")
        assert details.run.state is RunState.FAILED
        assert "linux-64/repodata.json" in str(details.failures)

    stage(tmp_path, act, channel(_packages("a-1.0-0")))


def test_a_stopped_run_ends_what_is_under_way_and_begins_nothing(tmp_path: Path) -> None:
    packages = _packages("a-1.0-0", "b-1.0-0")
    files = channel(packages)
    held = FakeFile(body=packages["a-1.0-0.conda"], held_at=100)
    files[at("linux-64/a-1.0-0.conda")] = held

    async def act(scene: Scene) -> None:
        scene.activate(Active(limits=Limits(concurrency=1)))
        job = scene.job()
        going = asyncio.create_task(job.go())
        await held.reached.wait()
        job.stop()
        assert job.run.state is RunState.STOPPING
        held.release.set()
        details = await going
        assert details.run.state is RunState.STOPPED
        assert details.run.counts.fetched == 1
        assert scene.world.upstream.count(at("linux-64/b-1.0-0.conda")) == 0
        again = await scene.run(run="2")
        assert again.run.state is RunState.COMPLETED
        assert scene.world.upstream.count(at("linux-64/a-1.0-0.conda")) == 1

    stage(tmp_path, act, files)


class Late(MemoryCatalog):
    """Remembers packages a moment after they have come, when its gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def put(self, value: Remembered) -> None:
        if value.key.endswith(".conda"):
            await self.gate.wait()
        await super().put(value)


def test_what_a_stopped_run_has_fetched_is_here_when_it_has_ended(tmp_path: Path) -> None:
    files = channel(_packages("a-1.0-0", "b-1.0-0"))
    held = FakeFile(body=files[at("linux-64/a-1.0-0.conda")].body, held_at=100)
    files[at("linux-64/a-1.0-0.conda")] = held

    async def main() -> None:
        late = Late()
        async with world(tmp_path, files, Bounds(), remembering=late) as made, scene(made) as act:
            act.activate(Active(limits=Limits(concurrency=1)))
            job = act.job()
            going = asyncio.create_task(job.go())
            await held.reached.wait()
            job.stop()
            held.release.set()
            asyncio.get_running_loop().call_later(0.3, late.gate.set)
            details = await going
            assert (details.run.state, details.run.counts.fetched) == (RunState.STOPPED, 1)
            assert await late.get("conda/c linux-64/a-1.0-0.conda") is not None

    asyncio.run(main())


def test_a_run_that_was_cut_off_goes_on_and_fetches_nothing_twice(tmp_path: Path) -> None:
    packages = _packages("a-1.0-0", "b-1.0-0", "c-1.0-0")
    files = channel(packages)
    held = FakeFile(body=packages["b-1.0-0.conda"], held_at=100)
    files[at("linux-64/b-1.0-0.conda")] = held

    async def act(scene: Scene) -> None:
        scene.activate(Active(limits=Limits(concurrency=1)))
        going = asyncio.create_task(scene.job().go())
        await held.reached.wait()
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        held.release.set()
        await scene.world.settled()
        scene.world.now += 1.0
        details = await scene.run()  # the same run
        assert details.run.state is RunState.COMPLETED
        assert details.run.counts.fetched == 3
        assert details.actively == 3
        for name in packages:
            assert scene.world.upstream.count(at(f"linux-64/{name}")) == 1

    stage(tmp_path, act, files)


def test_what_upstream_no_longer_lists_is_removed_after_its_grace(tmp_path: Path) -> None:
    packages = _packages("a-1.0-0", "b-1.0-0")

    async def act(scene: Scene) -> None:
        scene.activate(Active(gone_after=100.0))
        await scene.run(run="1")
        scene.world.upstream.files.update(channel(_packages("a-1.0-0"), etag='"two"'))
        second = await scene.run(run="2")
        assert (second.run.counts.gone, second.run.counts.removed) == (1, 0)
        assert isinstance(await scene.world.catalog.get(f"{CONDA} linux-64/b-1.0-0.conda"), Entry)
        scene.world.now += 100.0
        third = await scene.run(run="3")
        assert (third.run.counts.gone, third.run.counts.removed) == (0, 1)
        assert await scene.world.catalog.get(f"{CONDA} linux-64/b-1.0-0.conda") is None

    stage(tmp_path, act, channel(packages))


def test_what_the_scope_no_longer_takes_is_not_gone(tmp_path: Path) -> None:
    packages = _packages("a-1.0-0", "b-1.0-0")

    async def act(scene: Scene) -> None:
        await scene.run(run="1")
        scene.activate(Active(scope=Scope(specs=("a",)), gone_after=0.0))
        details = await scene.run(run="2")
        counts = details.run.counts
        assert (counts.wanted, counts.beyond, counts.gone, counts.removed) == (1, 1, 0, 0)
        assert details.beyond[0].rule == "specs"

    stage(tmp_path, act, channel(packages))


def test_a_size_limit_leaves_out_what_does_not_fit(tmp_path: Path) -> None:
    packages = {"a-1.0-0.conda": b"a" * 100, "b-1.0-0.conda": b"b" * 150}

    async def act(scene: Scene) -> None:
        scene.activate(Active(scope=Scope(size_limit=200)))
        details = await scene.run()
        assert details.run.counts.wanted == 1
        assert details.run.counts.bytes_fetched <= 200
        assert [one.rule for one in details.beyond] == ["size_limit"]

    stage(tmp_path, act, channel(packages))
