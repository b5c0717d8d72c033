"""Runs over the gateway's fake world: a ledger in a folder, no patience, no clients."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from proxy.core.active import Active
from proxy.core.model import Mirror
from proxy.core.policy import Policy
from proxy.mirror.job import Job, Tools
from proxy.mirror.ledger import Ledger
from proxy.mirror.port import Cause, Run, RunDetails, RunState, Step
from proxy.mirror.reading import Reading
from tests.gateway.world import World, play
from tests.lab.fake_upstream import FakeFile

CONDA = "conda/c"
PYPI = "pypi/p"


@dataclass
class Scene:
    """A world in which mirrors are run."""

    world: World
    ledger: Ledger
    tools: Tools
    heard: list[Run] = field(default_factory=list)

    def activate(self, active: Active | None = None, *, policy: Policy | None = None) -> None:
        """From now on all mirrors but that of files are active."""
        for key, mirror in self.world.mirrors.items():
            how = None if mirror.type == "files" else active or Active()
            self.world.mirrors[key] = replace(mirror, active=how, policy=policy)
        self.world.gateway.configure(self.world.mirrors.values())

    def mirror(self, key: str = CONDA) -> Mirror:
        return self.world.mirrors[key]

    def job(self, key: str = CONDA, run: str = "1") -> Job:
        """A run that is about to begin."""
        queued = Run(
            id=run,
            mirror=key,
            cause=Cause.ASKED,
            state=RunState.QUEUED,
            step=Step.QUEUED,
            queued_at=self.world.now,
        )
        return Job(self.mirror(key), queued, self.tools, self.heard.append)

    async def run(self, key: str = CONDA, run: str = "1") -> RunDetails:
        """A run from beginning to end, some time after whatever was before."""
        self.world.now += 1.0
        return await self.job(key, run).go()


Act = Callable[[Scene], Awaitable[None]]


def stage(folder: Path, act: Act, files: Mapping[str, FakeFile | bytes] | None = None) -> None:
    """Run *act* in a new scene with *files* upstream."""

    async def script(world: World) -> None:
        async with scene(world) as made:
            await act(made)
            await world.settled()

    play(folder, script, files)


@contextlib.asynccontextmanager
async def scene(world: World) -> AsyncIterator[Scene]:
    """A scene in *world*."""
    ledger = Ledger(world.root / "ledger.sqlite")
    tools = Tools(
        reading=Reading(world.engine),
        ledger=ledger,
        clock=lambda: world.now,
        waiting=lambda: 0,
        backoff=(0.0, 0.0),
    )
    made = Scene(world, ledger, tools)
    made.activate()
    try:
        yield made
    finally:
        await ledger.aclose()
