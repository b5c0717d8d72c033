"""The desk: mirrors made, changed, frozen and run, with the real configuration behind them."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from proxy.config import Settings, load
from proxy.config.written import MADE
from proxy.core.model import Mirror
from proxy.errors import ConfigError, Conflict, Denied, UnknownMirror, UnknownRun
from proxy.mirror.book import Book
from proxy.mirror.desk import Desk
from proxy.mirror.job import Job
from proxy.mirror.notices import Notices
from proxy.mirror.port import Event, Origin, RunState
from proxy.mirror.runs import Runs
from proxy.mirror.schedule import Schedule
from tests.gateway.world import HOST, World, at, channel, play
from tests.lab.fake_upstream import FakeFile
from tests.mirror.scene import Scene, scene

CONFIGURATION = f"""
[[mirror]]
type = "conda"
name = "c"
source = "{HOST}/channel/"
"""
NEW = {"type": "conda", "name": "made", "source": f"{HOST}/channel", "mode": "active"}


@dataclass
class House:
    """A configuration file and a cache folder, read again when told to."""

    folder: Path
    world: World
    settings: Settings = field(init=False)
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        (self.folder / "pkgproxy.toml").write_text(CONFIGURATION)
        self.read()

    def check(self, made: str | None) -> Settings:
        cache = {"PKGPROXY_CACHE__PATH": str(self.folder)}
        return load(self.folder / "pkgproxy.toml", cache, made=made).settings

    async def reload(self) -> None:
        self.read()

    def read(self) -> None:
        self.settings = self.check(None)
        self.world.mirrors = {one.key: one for one in self.settings.mirrors}
        self.world.gateway.configure(self.settings.mirrors)
        if self.schedule is not None:
            self.schedule.configure(self.settings.mirrors)


@dataclass
class Office:
    """A desk and what is behind it."""

    scene: Scene
    house: House
    desk: Desk
    runs: Runs

    async def ended(self, key: str) -> RunState:
        await self.runs.ended(key)
        return self.desk.runs(key)[0].state


Act = Callable[[Office], Awaitable[None]]


def office(folder: Path, act: Act, files: dict[str, FakeFile] | None = None) -> None:
    """Run *act* at a new desk."""

    async def script(world: World) -> None:
        async with scene(world) as made:
            house = House(folder, world)
            notices = Notices(lambda: world.now)

            def find(key: str) -> Mirror | None:
                return world.mirrors.get(key)

            runs = Runs(
                ledger=made.ledger,
                reading=made.tools.reading,
                clock=lambda: world.now,
                notices=notices,
                find=find,
                start=lambda mirror, run, changed: Job(mirror, run, made.tools, changed),
                events=world.told,
            )
            schedule = Schedule(lambda: world.now, runs.due)
            house.schedule = schedule
            house.read()
            desk = Desk(
                house,
                book=Book(folder / MADE),
                engine=world.engine,
                runs=runs,
                schedule=schedule,
                notices=notices,
            )
            try:
                await act(Office(made, house, desk, runs))
            finally:
                await runs.aclose()
            await world.settled()

    play(folder, script, files or channel())


def test_a_mirror_is_made_and_served_and_run(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        status = await office.desk.create({**NEW, "frequency": "@hourly", "policy": None})
        assert status.definition.origin is Origin.RUNTIME
        assert status.frequency_text == "At the start of every hour, UTC"
        assert status.next_run == 1_000_800.0
        await office.desk.run("conda/made")
        assert await office.ended("conda/made") is RunState.COMPLETED
        (run,) = office.desk.runs("conda/made")
        assert run.counts.fetched == 1
        details = await office.desk.details("conda/made", run.id)
        assert details.actively == 1
        assert office.desk.show("conda/made").latest == run

    office(tmp_path, act)


def test_mirrors_survive_a_restart(tmp_path: Path) -> None:
    async def make(office: Office) -> None:
        await office.desk.create(NEW)

    async def look(office: Office) -> None:
        assert office.desk.show("conda/made").definition.values["mode"] == "active"

    office(tmp_path, make)
    office(tmp_path, look)


def test_the_configuration_wins_and_says_so(tmp_path: Path) -> None:
    made = {"type": "conda", "name": "c", "source": f"{HOST}/other", "mode": "passive"}
    (tmp_path / MADE).parent.mkdir()
    (tmp_path / MADE).write_text(
        '[[mirror]]\ntype = "conda"\nname = "c"\nsource = "https://u:secret@a.example.org/"\n'
    )

    async def act(office: Office) -> None:
        first, second = office.desk.list()
        assert (first.definition.origin, first.definition.shadowed) == (Origin.CONFIGURATION, False)
        assert (second.definition.origin, second.definition.shadowed) == (Origin.RUNTIME, True)
        assert "secret" not in str(second)
        assert office.house.world.mirrors["conda/c"].source == f"{HOST}/channel/"
        with pytest.raises(Conflict, match="already"):
            await office.desk.create(made)
        await office.desk.delete("conda/c")
        assert [one.definition.origin for one in office.desk.list()] == [Origin.CONFIGURATION]
        with pytest.raises(Conflict, match="change it there"):
            await office.desk.delete("conda/c")

    office(tmp_path, act)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"frequency": "often"}, "frequency: write five fields"),
        ({"source": "nowhere"}, "source: write a URL"),
        ({"surprise": 1}, "surprise: there is no such setting"),
        ({"newest": 0}, "newest: write a whole number"),
        ({"specs": ["numpy >=1,"]}, "specs: "),
        ({"type": "files"}, "mode: a tree of files has no index"),
        ({"policy": "missing"}, "there is no policy 'missing'"),
        ({"name": "c/linux-64"}, "would hide files"),
        ({"specs": [None]}, "cannot be written as TOML"),
    ],
)
def test_what_the_configuration_would_refuse_is_never_written(
    tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    async def act(office: Office) -> None:
        with pytest.raises(ConfigError, match=problem):
            await office.desk.create({**NEW, **change})
        assert not (tmp_path / MADE).exists()
        assert len(office.desk.list()) == 1

    office(tmp_path, act)


def test_what_is_wrong_names_no_file_that_nobody_wrote(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        with pytest.raises(ConfigError) as told:
            await office.desk.create({**NEW, "newest": 0, "frequency": "often"})
        lines = str(told.value).splitlines()
        assert sorted(line.split(":")[0] for line in lines) == [
            "mirror made, frequency",
            "mirror made, newest",
        ]

    office(tmp_path, act)


def test_what_is_doubtful_of_a_mirror_is_told_who_makes_it(tmp_path: Path) -> None:
    odd = {**NEW, "platforms": ["linux64"]}

    async def act(office: Office) -> None:
        would_be = await office.desk.check(odd)
        (doubt,) = would_be.doubts
        assert doubt.startswith("platforms: conda's clients know no platform linux64")
        made = await office.desk.create(odd)
        assert made.definition == would_be
        edited = await office.desk.edit("conda/made", {**NEW, "platforms": ["linux-64"]})
        assert edited.definition.doubts == ()

    office(tmp_path, act)


def test_checking_says_what_making_and_editing_would_and_changes_nothing(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        await office.desk.check(NEW)
        assert len(office.desk.list()) == 1
        await office.desk.create(NEW)
        with pytest.raises(Conflict, match="already"):
            await office.desk.check(NEW)
        with pytest.raises(ConfigError, match="newest"):
            await office.desk.check({**NEW, "newest": 0}, "conda/made")
        with pytest.raises(ConfigError, match="cannot be changed once"):
            await office.desk.check({**NEW, "mode": "passive"}, "conda/made")
        await office.desk.check({**NEW, "newest": 2}, "conda/made")
        assert "newest" not in office.desk.show("conda/made").definition.values

    office(tmp_path, act)


def test_all_of_a_mirror_but_what_it_is_can_be_edited(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        await office.desk.create({**NEW, "newest": 3})
        edited = await office.desk.edit("conda/made", {**NEW, "frequency": "@daily"})
        assert edited.frequency == "@daily"
        assert "newest" not in edited.definition.values
        for change in ({"mode": "passive"}, {"name": "other"}, {"type": "pypi"}):
            with pytest.raises(ConfigError, match="cannot be changed once"):
                await office.desk.edit("conda/made", {**NEW, **change})
        with pytest.raises(Conflict, match="change it there"):
            await office.desk.edit("conda/c", NEW)
        with pytest.raises(UnknownMirror):
            await office.desk.edit("conda/none", NEW)

    office(tmp_path, act)


def test_a_secret_is_not_shown_and_is_kept_when_what_was_shown_comes_back(tmp_path: Path) -> None:
    secret = {**NEW, "source": "https://user:hunter2@a.example.org/channel"}

    async def act(office: Office) -> None:
        status = await office.desk.create(secret)
        assert "hunter2" not in str(status) + office.desk.export()
        shown = dict(status.definition.values)
        await office.desk.edit("conda/made", {**shown, "newest": 2})
        assert "hunter2" in office.house.world.mirrors["conda/made"].source
        assert (tmp_path / MADE).stat().st_mode & 0o077 == 0

    office(tmp_path, act)


def test_an_export_can_be_read_as_a_configuration(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        await office.desk.create({**NEW, "specs": ["thing"], "newest": 2})
        (table,) = tomllib.loads(office.desk.export(["conda/made"]))["mirror"]
        assert table == {**NEW, "source": f"{HOST}/channel", "specs": ["thing"], "newest": 2}
        assert len(tomllib.loads(office.desk.export())["mirror"]) == 2

    office(tmp_path, act)


def test_a_deleted_mirror_is_gone_with_its_runs(tmp_path: Path) -> None:
    files = channel()
    held = FakeFile(body=files[at("linux-64/thing-1.0-0.conda")].body, held_at=10)
    files[at("linux-64/thing-1.0-0.conda")] = held

    async def act(office: Office) -> None:
        await office.desk.create(NEW)
        run = await office.desk.run("conda/made")
        await held.reached.wait()
        events = office.desk.events()
        hearing = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        deleting = asyncio.create_task(office.desk.delete("conda/made"))
        heard = (await hearing).run
        assert heard is not None
        assert heard.state is RunState.STOPPING
        held.release.set()
        await deleting
        with pytest.raises(UnknownMirror):
            office.desk.show("conda/made")
        await office.desk.create(NEW)
        assert not office.desk.runs("conda/made")
        with pytest.raises(UnknownRun):
            await office.desk.details("conda/made", run.id)

    office(tmp_path, act, files)


def test_one_run_at_a_time_and_a_due_one_is_noted_and_skipped(tmp_path: Path) -> None:
    files = channel()
    held = FakeFile(body=files[at("linux-64/thing-1.0-0.conda")].body, held_at=10)
    files[at("linux-64/thing-1.0-0.conda")] = held

    async def act(office: Office) -> None:
        await office.desk.create({**NEW, "frequency": "@hourly"})
        await office.desk.run("conda/made")
        await held.reached.wait()
        with pytest.raises(Conflict, match="goes on already"):
            await office.desk.run("conda/made")
        with pytest.raises(Conflict, match="goes on"):
            await office.desk.edit("conda/made", NEW)
        office.scene.world.now = 1_000_800.0
        assert office.house.schedule is not None
        office.house.schedule.look()
        held.release.set()
        assert await office.ended("conda/made") is RunState.COMPLETED
        (run,) = office.desk.runs("conda/made")
        assert run.missed == (1_000_800.0,)
        office.scene.world.now = 1_004_400.0
        office.house.schedule.look()
        assert await office.ended("conda/made") is RunState.COMPLETED
        assert len(office.desk.runs("conda/made")) == 2

    office(tmp_path, act, files)


def test_a_passive_mirror_has_no_runs(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        with pytest.raises(Conflict, match="is passive"):
            await office.desk.run("conda/c")
        with pytest.raises(Conflict, match="no run"):
            await office.desk.stop("conda/c")

    office(tmp_path, act)


def test_only_the_last_runs_are_remembered(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        await office.desk.create({**NEW, "keep_runs": 2})
        for _ in range(4):
            office.scene.world.now += 1
            await office.desk.run("conda/made")
            await office.ended("conda/made")
        assert [run.id for run in office.desk.runs("conda/made")] == ["00000004", "00000003"]
        assert [one.run.id for one in office.scene.ledger.all_runs()] == ["00000003", "00000004"]

    office(tmp_path, act)


def test_a_run_is_told_to_be_over_when_its_details_are_there_and_another_can_begin(
    tmp_path: Path,
) -> None:
    async def act(office: Office) -> None:
        events = office.desk.events()
        begun = asyncio.Event()

        async def listen() -> None:
            begun.set()
            async for event in events:
                if event.run is not None and event.run.state.is_final:
                    assert office.scene.ledger.all_runs()[-1].run.state.is_final
                    await office.desk.run("conda/made")
                    return

        listening = asyncio.create_task(listen())
        await begun.wait()
        await office.desk.create(NEW)
        await office.desk.run("conda/made")
        await listening
        await office.ended("conda/made")

    office(tmp_path, act)


def test_what_happens_is_told_in_order(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        events = office.desk.events()
        heard: list[Event] = []

        async def listen() -> None:
            async for event in events:
                heard.append(event)
                if event.run is not None and event.run.state.is_final:
                    return

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0)
        await office.desk.create(NEW)
        await office.desk.run("conda/made")
        await listening
        assert heard[0].name == "created"
        runs = [event.run for event in heard if event.run is not None]
        assert runs[-1].state is RunState.COMPLETED
        assert [run.step.value for run in runs] == sorted(
            (run.step.value for run in runs), key=[run.step.value for run in runs].index
        )

    office(tmp_path, act)


# -- frozen ------------------------------------------------------------------------------


def _two() -> dict[str, FakeFile]:
    packages = {"thing-1.0-0.conda": b"one" * 1000, "thing-2.0-0.conda": b"two" * 1000}
    return channel(packages, etag='"two"')


def test_clients_of_a_frozen_mirror_see_one_generation_while_runs_go_on(tmp_path: Path) -> None:
    one = {"thing-1.0-0.conda": b"one" * 1000}

    async def act(office: Office) -> None:
        world = office.scene.world
        await office.desk.create(NEW)
        await office.desk.run("conda/made")
        await office.ended("conda/made")
        before = await world.read("conda/made", "linux-64/repodata.json")
        status = await office.desk.freeze("conda/made")
        assert status.frozen_at == world.now
        with pytest.raises(Conflict, match="frozen already"):
            await office.desk.freeze("conda/made")
        world.upstream.files.update(_two())
        world.now += 10_000
        await office.desk.run("conda/made")
        assert await office.ended("conda/made") is RunState.COMPLETED
        assert office.desk.runs("conda/made")[0].counts.fetched == 1
        assert await world.read("conda/made", "linux-64/repodata.json") == before
        (change,) = (await office.desk.difference("conda/made")).indexes
        assert (change.index, change.added, change.removed) == ("linux-64/repodata.json", 1, 0)
        assert change.added_files == ("thing-2.0-0.conda",)
        await office.desk.unfreeze("conda/made")
        assert b"thing-2.0" in await world.read("conda/made", "linux-64/repodata.json")
        with pytest.raises(Conflict, match="not frozen"):
            await office.desk.unfreeze("conda/made")
        with pytest.raises(Conflict, match="not frozen"):
            await office.desk.difference("conda/made")
        assert not [key for key in world.catalog.values if key.startswith("frozen ")]

    office(tmp_path, act, channel(one))


def test_a_mirror_of_the_configuration_can_be_frozen_and_stays_so(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        world = office.scene.world
        before = await world.read("conda/c", "linux-64/repodata.json")
        await office.desk.freeze("conda/c")
        world.upstream.files.update(_two())
        world.now += 100_000
        office.house.read()
        assert await world.read("conda/c", "linux-64/repodata.json") == before
        await world.read("conda/c", "linux-64/thing-1.0-0.conda")

    office(tmp_path, act, channel({"thing-1.0-0.conda": b"one" * 1000}))


def test_what_was_not_here_is_frozen_when_it_is_first_asked_for(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        world = office.scene.world
        await office.desk.freeze("conda/c")
        first = await world.read("conda/c", "linux-64/repodata.json")
        world.upstream.files.update(_two())
        world.now += 100_000
        assert await world.read("conda/c", "linux-64/repodata.json") == first

    office(tmp_path, act, channel({"thing-1.0-0.conda": b"one" * 1000}))


def test_a_policy_holds_for_a_frozen_mirror_too(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        world = office.scene.world
        await office.desk.create({**NEW, "mode": "passive"})
        await office.desk.freeze("conda/made")
        await office.desk.edit("conda/made", {**NEW, "mode": "passive", "exclude": ["thing"]})
        assert b"thing" not in await world.read("conda/made", "linux-64/repodata.json")
        with pytest.raises(Denied):
            await world.read("conda/made", "linux-64/thing-1.0-0.conda")

    office(tmp_path, act)


# -- dependencies ------------------------------------------------------------------------


def test_a_report_names_what_is_kept_and_who_needs_it(tmp_path: Path) -> None:
    async def act(office: Office) -> None:
        await office.desk.create({**NEW, "specs": ["thing", "missing"]})
        with pytest.raises(Conflict, match="is here yet"):
            await office.desk.report("conda/made")
        await office.desk.run("conda/made")
        assert await office.ended("conda/made") is RunState.COMPLETED
        report = await office.desk.report("conda/made")
        assert [(one.name, one.roots, one.files) for one in report.kept] == [
            ("thing", ("thing",), 1)
        ]
        assert report.missing == ("missing",)
        with pytest.raises(Conflict, match="specs with dependencies"):
            await office.desk.report("conda/c")

    office(tmp_path, act)
