"""A gateway over fakes: an upstream in memory, a clock that stands still, a store in a folder."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from proxy.core.model import Bounds, Index, Mirror, Resource
from proxy.core.policy import Policy
from proxy.ecosystems import ECOSYSTEMS
from proxy.gateway.answer import Answer, Nothing, Passing, Slice, Want
from proxy.gateway.engine import Engine
from proxy.gateway.fetching import Fetching
from proxy.gateway.gateway import Gateway
from proxy.gateway.ports import Ports
from proxy.gateway.team import Solo, Team
from proxy.storage.disk import DiskBlobs
from proxy.storage.memory import MemoryCatalog
from proxy.storage.ports import Blobs, Catalog
from tests.lab.fake_upstream import FakeFile, FakeUpstream

HOST = "https://upstream.example.org"
PACKAGE = bytes(range(256)) * 1024  # 256 kB: longer than what is held back at the end
NAME = "thing-1.0-0.conda"


@dataclass
class Told:
    """Hears the gateway's events."""

    stale_causes: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    wrongs: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    fills: int = 0
    hidden: dict[str, dict[str, int]] = field(default_factory=dict)

    def rendered(self, index: Index, forms: frozenset[str], seconds: float) -> None: ...
    def collapsed(self, mirror: str) -> None: ...

    def hid(self, index: Index, hidden: Mapping[str, int]) -> None:
        self.hidden[index.path] = dict(hidden)

    def refreshed(self, index: Index, outcome: str) -> None:
        self.outcomes.append(outcome)

    def stale(self, mirror: str, cause: str) -> None:
        self.stale_causes.append(cause)

    def filling(self, mirror: str, change: int) -> None:
        self.fills += change

    def unstored(self, mirror: str, error: BaseException) -> None:
        self.failures.append(error)

    def failed(self, what: str, error: BaseException) -> None:
        self.failures.append(error)

    def wrong(self, mirror: str, what: str, error: BaseException) -> None:
        self.wrongs.append(what)


@dataclass
class World:
    """Everything a test looks at."""

    upstream: FakeUpstream
    engine: Engine
    catalog: MemoryCatalog
    blobs: Blobs
    root: Path
    told: Told
    mirrors: dict[str, Mirror]
    now: float = 1_000_000.0

    @property
    def gateway(self) -> Gateway:
        return self.engine.gateway

    @property
    def fetching(self) -> Fetching:
        return self.engine.fetching

    def rule(self, policy: Policy | None, **more: Any) -> None:
        """From now on *policy* holds for all mirrors; *more* are other fields of theirs."""
        for key, mirror in self.mirrors.items():
            self.mirrors[key] = replace(mirror, policy=policy, **more)
        self.gateway.configure(self.mirrors.values())

    def resource(self, key: str, path: str) -> Resource:
        return ECOSYSTEMS[key.partition("/")[0]].classify(key, path)

    async def open(self, key: str, path: str, want: Want | None = None) -> Answer:
        resource = self.resource(key, path)
        if want is None:
            want = Want(form=resource.forms[0]) if isinstance(resource, Index) else Want()
        return await self.gateway.open(resource, self.mirrors[key], want)

    async def read(self, key: str, path: str, want: Want | None = None) -> bytes:
        """The whole body; raises what ends it."""
        answer = await self.open(key, path, want)
        try:
            return await body_of(answer)
        finally:
            await answer.close()

    async def status(self, key: str, path: str, want: Want | None = None) -> str:
        answer = await self.open(key, path, want)
        await answer.close()
        return str(answer.status.result)

    async def settled(self) -> None:
        """Let background work end."""
        await self.engine.drain(10)


async def body_of(answer: Answer, start: int = 0) -> bytes:
    """What a client would get of *answer*, as the web would send it."""
    match answer.body:
        case Slice(blob=blob, start=first, length=length):
            return os.pread(blob.fileno(), length - start, first + start)
        case Passing(chunks=chunks):
            return b"".join([chunk async for chunk in chunks])
        case Nothing():
            return b""
        case growing:
            pieces, offset = [], start
            while (end := await growing.wait_past(offset)) > offset:
                pieces.append(os.pread(growing.fileno(), end - offset, offset))
                offset = end
            return b"".join(pieces)


def record(name: str, body: bytes, version: str = "1.0") -> dict[str, object]:
    digest = hashlib.sha256(body).hexdigest()
    return {"name": name, "version": version, "build": "0", "sha256": digest, "size": len(body)}


def repodata(packages: Mapping[str, bytes]) -> bytes:
    """An index of conda packages by file name."""
    rows = {name: record(name.split("-")[0], body) for name, body in packages.items()}
    return json.dumps({"info": {"subdir": "linux-64"}, "packages.conda": rows}).encode()


def at(path: str) -> str:
    """An address in the conda channel."""
    return f"{HOST}/channel/{path}"


def channel(packages: Mapping[str, bytes] | None = None, **index: object) -> dict[str, FakeFile]:
    """The files of a channel that has `linux-64` in plain JSON."""
    known = {NAME: PACKAGE} if packages is None else packages
    found = {at(f"linux-64/{name}"): FakeFile(body=body) for name, body in known.items()}
    listing = FakeFile(body=repodata(known), etag='"one"', media_type="application/json")
    found[at("linux-64/repodata.json")] = replace(listing, **index)  # type: ignore[arg-type]
    return found


Script = Callable[[World], Awaitable[None]]


def play(
    folder: Path,
    script: Script,
    files: Mapping[str, FakeFile | bytes] | None = None,
    *,
    bounds: Bounds | None = None,
    blobs: Callable[[Path], Blobs] = DiskBlobs,
    patience: float = 60.0,
) -> None:
    """Run *script* against a new world with *files* upstream, and see that nothing is left."""

    async def main() -> None:
        async with world(folder, files or {}, bounds or Bounds(), blobs, patience=patience) as made:
            async with asyncio.timeout(30):
                await script(made)

    asyncio.run(main())
    assert not list((folder / "spool").iterdir()), "a spool was left behind"
    assert not list((folder / "work").iterdir()), "a file being made was left behind"


@contextlib.asynccontextmanager
async def world(
    folder: Path,
    files: Mapping[str, FakeFile | bytes],
    bounds: Bounds,
    make_blobs: Callable[[Path], Blobs] = DiskBlobs,
    *,
    team: Team | None = None,
    patience: float = 60.0,
    remembering: Catalog | None = None,
    changed: Callable[[], None] = lambda: None,
) -> AsyncIterator[World]:
    """A gateway with four mirrors, taken down in order.

    *remembering*: the catalog it uses, where that is not to be `World.catalog`.
    """
    mirrors = {
        "conda/c": Mirror(name="c", type="conda", source=f"{HOST}/channel/", bounds=bounds),
        "pypi/p": Mirror(name="p", type="pypi", source=f"{HOST}/simple/", bounds=bounds),
        "cran/r": Mirror(name="r", type="cran", source=f"{HOST}/r/", bounds=bounds),
        "files/f": Mirror(name="f", type="files", source=f"{HOST}/tree/", bounds=bounds),
    }
    upstream, told = FakeUpstream(files), Told()
    blobs, catalog = make_blobs(folder), MemoryCatalog()
    made: World

    def clock() -> float:
        return made.now

    engine = Engine(
        Ports(
            upstream=upstream,
            blobs=blobs,
            catalog=remembering or catalog,
            team=team or Solo(),
            ecosystems=ECOSYSTEMS,
            clock=clock,
            events=told,
        ),
        impatient=patience,
        changed=changed,
    )
    engine.gateway.configure(mirrors.values())
    made = World(upstream, engine, catalog, blobs, folder, told, mirrors)
    try:
        yield made
    finally:
        await engine.aclose()
        if isinstance(blobs, DiskBlobs):
            await blobs.aclose()
