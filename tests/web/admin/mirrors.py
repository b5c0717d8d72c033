"""Mirrors and their runs in memory: what the administration is tested against."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from proxy.errors import ConfigError, Conflict, UnknownMirror, UnknownRun
from proxy.mirror.port import (
    Cause,
    Counts,
    DependencyReport,
    Difference,
    Event,
    Failure,
    IndexChange,
    Kept,
    MirrorDefinition,
    MirrorStatus,
    Origin,
    Run,
    RunDetails,
    RunState,
    Step,
    Tally,
)

COUNTS = Counts(
    listed=120, hidden=20, beyond=10, wanted=90, present=30, to_fetch=60, fetched=15, failed=2,
    bytes_present=3_000, bytes_to_fetch=6_000_000, bytes_fetched=1_500_000,
)  # fmt: skip


class FakeMirrors:
    """See `proxy.mirror.port.Mirrors`. A run goes on until `end` is called."""

    def __init__(self, *configured: Mapping[str, object], hostile: str = "") -> None:
        """*hostile* stands in every text that comes from elsewhere."""
        self._hostile = hostile
        self._statuses: dict[str, MirrorStatus] = {}
        self._shadowed: dict[str, MirrorStatus] = {}
        self._runs: dict[str, list[Run]] = {}
        self._followers: list[asyncio.Queue[Event]] = []
        for values in configured:
            self._add(values, Origin.CONFIGURATION)

    def _add(self, values: Mapping[str, object], origin: Origin) -> MirrorStatus:
        definition = self._definition(values, origin)
        key = definition.key
        is_active = values.get("mode") == "active"
        self._statuses[key] = MirrorStatus(
            definition=definition,
            frequency="@daily" if is_active else None,
            frequency_text="At midnight, UTC" if is_active else None,
            next_run=1_800_000_000.0 if is_active else None,
            policy=self._hostile or None,
        )
        self._runs.setdefault(key, [])
        return self._statuses[key]

    def _definition(self, values: Mapping[str, object], origin: Origin) -> MirrorDefinition:
        """Platforms are doubtful, all of them."""
        key, odd = f"{values['type']}/{values['name']}", values.get("platforms")
        doubts = (f"platforms: {odd}{self._hostile}",) if odd else ()
        return MirrorDefinition(key=key, origin=origin, values=values, doubts=doubts)

    def _tell(self, name: str, key: str, run: Run | None = None) -> None:
        for queue in self._followers:
            queue.put_nowait(Event(name=name, mirror=key, at=1.0, run=run))

    def list(self) -> Sequence[MirrorStatus]:
        found = [self.show(key) for key in sorted(self._statuses)]
        return sorted(
            [*found, *self._shadowed.values()],
            key=lambda one: (one.definition.key, one.definition.shadowed),
        )

    def shadow(self, key: str) -> None:
        """Somebody made a mirror of that key before the configuration had one."""
        values = self._statuses[key].definition.values
        made = MirrorDefinition(key=key, origin=Origin.RUNTIME, values=values, shadowed=True)
        self._shadowed[key] = MirrorStatus(definition=made)

    def show(self, key: str) -> MirrorStatus:
        if key not in self._statuses:
            raise UnknownMirror(f"there is no mirror {key}")
        runs = self._runs[key]
        return replace(self._statuses[key], latest=runs[0] if runs else None)

    async def check(self, values: Mapping[str, object], key: str | None = None) -> MirrorDefinition:
        missing = [name for name in ("type", "name", "source") if not values.get(name)]
        if missing:
            raise ConfigError(f"mirror: {missing[0]}: is missing{self._hostile}")
        if key is None and f"{values['type']}/{values['name']}" in self._statuses:
            raise Conflict("there is a mirror of that type and name")
        return self._definition(values, Origin.RUNTIME)

    async def create(self, values: Mapping[str, object]) -> MirrorStatus:
        await self.check(values)
        made = self._add(values, Origin.RUNTIME)
        self._tell("created", made.definition.key)
        return made

    async def edit(self, key: str, values: Mapping[str, object]) -> MirrorStatus:
        before = self.show(key).definition
        self._own(key)
        for name in ("type", "name", "mode"):
            if values.get(name) != before.values.get(name):
                raise ConfigError(f"mirror: {name}: cannot be changed; make another mirror")
        return self._add(values, Origin.RUNTIME)

    async def delete(self, key: str) -> None:
        if self._shadowed.pop(key, None) is not None:
            return
        self._own(key)
        del self._statuses[key]
        self._tell("deleted", key)

    async def run(self, key: str) -> Run:
        if self.show(key).definition.values.get("mode") != "active":
            raise Conflict(f"{key} is passive: it has no runs")
        if self._going(key) is not None:
            raise Conflict(f"a run of {key} goes on")
        number = len(self._runs[key]) + 1
        run = Run(
            id=f"{number:04}",
            mirror=key,
            cause=Cause.ASKED,
            state=RunState.RUNNING,
            step=Step.FETCHING,
            queued_at=1_799_000_000.0,
            started_at=1_799_000_001.0,
            counts=COUNTS,
            rate=1_000_000.0,
            remaining=4.5,
        )
        self._runs[key].insert(0, run)
        self._tell("run", key, run)
        return run

    async def stop(self, key: str) -> Run:
        self.show(key)
        return self._become(key, RunState.STOPPING)

    def end(self, key: str, state: RunState = RunState.COMPLETED) -> Run:
        """The run that goes on is over."""
        counts = replace(COUNTS, fetched=58, bytes_fetched=6_000_000)
        return self._become(
            key,
            state,
            starved_at=1_799_000_005.0,
            ended_at=1_799_000_009.0,
            counts=counts,
            step=Step.FINISHING,
            remaining=None,
        )

    def _become(self, key: str, state: RunState, **changes: object) -> Run:
        run = self._going(key)
        if run is None:
            raise Conflict(f"no run of {key} goes on")
        self._runs[key][0] = run = replace(run, state=state, **changes)  # type: ignore[arg-type]
        self._tell("run", key, run)
        return run

    async def freeze(self, key: str) -> MirrorStatus:
        return self._frozen(key, 1_799_000_000.0)

    async def unfreeze(self, key: str) -> MirrorStatus:
        return self._frozen(key, None)

    def _frozen(self, key: str, at: float | None) -> MirrorStatus:
        if (self.show(key).frozen_at is None) == (at is None):
            raise Conflict(f"{key} is {'not' if at is None else 'already'} frozen")
        self._statuses[key] = replace(self._statuses[key], frozen_at=at)
        return self.show(key)

    async def difference(self, key: str) -> Difference:
        status = self.show(key)
        if status.frozen_at is None:
            raise Conflict(f"{key} is not frozen")
        change = IndexChange(
            index="noarch", added=2, changed=1, added_files=(f"new{self._hostile}", "b"),
            changed_files=("c",),
        )  # fmt: skip
        return Difference(mirror=key, frozen_at=status.frozen_at, indexes=(change,))

    def runs(self, key: str) -> Sequence[Run]:
        self.show(key)
        return self._runs[key]

    async def details(self, key: str, run_id: str) -> RunDetails:
        found = next((run for run in self.runs(key) if run.id == run_id), None)
        if found is None:
            raise UnknownRun(f"{key} has no run {run_id}")
        tally = Tally(rule="no-x", reason=f"because{self._hostile}", files=20, examples=("x-1",))
        return RunDetails(
            run=found,
            hidden=(tally,),
            beyond=(replace(tally, rule="platforms", files=10),),
            failures=(Failure(path=f"p{self._hostile}", error="UpstreamTimeout", attempts=3),),
            actively=15,
            passively=30,
        )

    async def report(self, key: str) -> DependencyReport:
        self.show(key)
        kept = Kept(name="web", roots=(), needed_by=("app",), files=3)
        return DependencyReport(mirror=key, kept=(kept,), missing=(f"none{self._hostile}",))

    def export(self, keys: Sequence[str] = ()) -> str:
        chosen = [self.show(key) for key in keys] or self.list()
        return "\n".join(f'[[mirror]]\nname = "{it.definition.values["name"]}"' for it in chosen)

    async def events(self) -> AsyncIterator[Event]:
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._followers.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._followers.remove(queue)

    def _own(self, key: str) -> None:
        if self.show(key).definition.origin is not Origin.RUNTIME:
            raise Conflict(f"{key} is in the configuration: change it there")

    def _going(self, key: str) -> Run | None:
        runs = self._runs[key]
        return runs[0] if runs and not runs[0].state.is_final else None
