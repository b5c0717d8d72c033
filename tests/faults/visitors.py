"""Clients that know the truth: they ask for everything, at random, and judge what they get.

A body that ends as announced must be right; one that breaks off, or an error, is a client's to
retry. What is wrong is counted by the promise that it breaks.
"""

from __future__ import annotations

import asyncio
import enum
import json
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
import msgspec
import zstandard

from tests.faults.content import Content, Generation, digest, pairs

DEADLINE = 30.0
"""Seconds in which every request must be over, under `bench.UPSTREAM`'s deadlines."""

BEAT = 0.1
"""Seconds between two looks at how late this process is: a busy machine is no broken promise."""

SIMPLE = "application/vnd.pypi.simple.v1+json"


class Promise(enum.StrEnum):
    """What must hold whatever upstream does."""

    WHOLE = "no wrong body is complete"
    ABSENT = "unavailable is not absent"
    DEADLINE = "every request ends"
    STALE = "what is here is served"
    STORED = "nothing wrong is stored"
    HEALED = "heals by itself"
    STEADY = "no crash"


@dataclass(slots=True)
class Tally:
    """What came of all requests. `examples`: the first violations, in words. `lag`: seconds that
    this process was late in all, which are not the server's.
    """

    complete: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    slowest: float = 0.0
    lag: float = 0.0
    violations: Counter[Promise] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return self.complete + self.broken + self.refused.total()

    async def feel_the_lag(self) -> None:
        """Sleep and see how much longer that takes, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + BEAT
            await asyncio.sleep(BEAT)
            self.lag += max(0.0, loop.time() - due)

    def violated(self, promise: Promise, what: str) -> None:
        self.violations[promise] += 1
        if len(self.examples) < 20:
            self.examples.append(f"{promise}: {what}")


@dataclass(frozen=True, slots=True)
class Got:
    """A complete answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    what: str


class Visitor:
    """One client. What it has had once is here, so that it must be had again (`expects`)."""

    def __init__(
        self,
        url: str,
        content: Content,
        tally: Tally,
        *,
        seed: int,
        deadline: float = DEADLINE,
    ) -> None:
        self.missing_allowed = False
        self.expects = False
        self._url = url
        self._deadline = deadline
        self._content = content
        self._tally = tally
        self._random = random.Random(seed)
        self._paths: dict[str, str] = {}
        # Without keep-alive: what one answer does to a connection must not hide in the next.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=aiohttp.ClientTimeout(total=4 * deadline),
        )

    async def aclose(self) -> None:
        await self._session.close()

    async def roam(self, until: float, pause: float = 0.0) -> None:
        """Ask for one thing after the other until that moment of the loop's clock, with up to
        *pause* seconds in between.
        """
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            name, argument = self._random.choice(self.everything())
            await self.ask(name, argument)
            if pause:
                await asyncio.sleep(self._random.uniform(0.0, pause))

    def everything(self) -> list[tuple[str, str]]:
        """All there is to ask for: the method and its argument."""
        content = self._content
        indexes = [("conda_json", s) for s in ("linux-64", "noarch")]
        indexes += [("conda_zst", "linux-64"), ("conda_shards", "linux-64")]
        indexes += [("page", project) for project in content.projects]
        files = [("package", name) for name in content.packages]
        files += [("package_part", name) for name in content.packages[:2]]
        for project in content.projects:
            files += [(kind, name) for name in content.wheels(project) for kind in _OF_WHEELS]
        return indexes * 2 + files + [("plain", name) for name in content.plain]

    async def everything_right(self) -> bool:
        """Whether all there is can be had."""
        tasks = [self.ask(name, argument) for name, argument in dict.fromkeys(self.everything())]
        return all([await task for task in tasks])

    async def ask(self, name: str, argument: str) -> bool:
        """Ask for one thing; whether it was had, and right."""
        act: Callable[[str], Awaitable[bool]] = getattr(self, name)
        return await act(argument)

    # -- what there is -------------------------------------------------------------------

    async def conda_json(self, subdir: str) -> bool:
        got = await self._get(f"/conda/lab/{subdir}/repodata.json", kept=True)
        return got is not None and self._lists(got, subdir, lambda: _conda(json.loads(got.body)))

    async def conda_zst(self, subdir: str) -> bool:
        got = await self._get(f"/conda/lab/{subdir}/repodata.json.zst", kept=True)
        return got is not None and self._lists(
            got, subdir, lambda: _conda(json.loads(zstandard.decompress(got.body)))
        )

    async def conda_shards(self, subdir: str) -> bool:
        got = await self._get(f"/conda/lab/{subdir}/repodata_shards.msgpack.zst", kept=True)
        if got is None:
            return False
        try:
            shards = msgspec.msgpack.decode(zstandard.decompress(got.body))["shards"]
        except (ValueError, zstandard.ZstdError, KeyError) as error:
            self._tally.violated(Promise.WHOLE, f"{got.what}: {error!r}")
            return False
        if not shards:
            return True
        name = self._random.choice(sorted(shards))
        path = f"/conda/lab/{subdir}/shards/{shards[name].hex()}.msgpack.zst"
        got = await self._get(path, kept=False)
        if got is None:
            return False
        records = msgspec.msgpack.decode(zstandard.decompress(got.body))["packages.conda"]
        listed = {(key, record["sha256"].hex()) for key, record in records.items()}
        known = self._content.generations[subdir]
        return self._check(any(listed <= one for one in known), f"{got.what} lists {listed}")

    async def page(self, project: str) -> bool:
        path = f"/pypi/lab/simple/{project}/"
        got = await self._get(path, accept=SIMPLE, kept=True)
        if got is None:
            return False

        def listed() -> Generation:
            files = json.loads(got.body)["files"]
            for one in files:
                self._paths[one["filename"]] = one["url"].removeprefix("../../")
            return frozenset((one["filename"], one["hashes"]["sha256"]) for one in files)

        return self._lists(got, project, listed)

    async def package(self, name: str) -> bool:
        got = await self._get(f"/conda/lab/linux-64/{name}", kept=True)
        return got is not None and self._is_version(got, name)

    async def package_part(self, name: str) -> bool:
        path = f"/conda/lab/linux-64/{name}"
        got = await self._get(path, headers={"Range": "bytes=100-299"}, kept=False)
        if got is None:
            return False
        if got.status == 200:
            return self._is_version(got, name)
        right = self._content.is_part(name, got.body, 100) and len(got.body) == 200
        # Of a file that has been replaced meanwhile nothing can be said from a part.
        replaced = len(self._content.versions[name]) > 1
        return self._check(right or replaced, f"{got.what} is another part")

    async def wheel(self, name: str) -> bool:
        return await self._listed_file(name, name, "")

    async def wheel_metadata(self, name: str) -> bool:
        return await self._listed_file(name, f"{name}.metadata", ".metadata")

    async def plain(self, name: str) -> bool:
        got = await self._get(f"/files/lab/{name}", kept=True)
        return got is not None and self._is_version(got, name)

    async def _listed_file(self, name: str, version: str, ending: str) -> bool:
        if name not in self._paths and not await self.page(name.split("-", maxsplit=1)[0]):
            return False
        got = await self._get(f"/pypi/lab/{self._paths[name]}{ending}", kept=True)
        return got is not None and self._is_version(got, version)

    # -- judging -------------------------------------------------------------------------

    def _lists(self, got: Got, index: str, listed: Callable[[], Generation]) -> bool:
        try:
            found = listed()
        except (ValueError, KeyError, zstandard.ZstdError) as error:
            return self._check(False, f"{got.what} cannot be read: {error!r}")
        known = self._content.generations[index]
        return self._check(found in known, f"{got.what} lists what upstream never listed")

    def _is_version(self, got: Got, name: str) -> bool:
        right = self._content.is_version(name, got.body)
        return self._check(right, f"{got.what}: {len(got.body)} bytes, {digest(got.body)[:12]}")

    def _check(self, right: bool, what: str) -> bool:
        if not right:
            self._tally.violated(Promise.WHOLE, what)
        return right

    async def _get(
        self,
        path: str,
        *,
        kept: bool,
        accept: str = "*/*",
        headers: Mapping[str, str] | None = None,
    ) -> Got | None:
        """A complete answer of status 200 or 206. *kept*: it can be had again once it was here."""
        tally, what = self._tally, f"GET {path}"
        began, lag = time.monotonic(), tally.lag
        try:
            sent = {"Accept": accept, **(headers or {})}
            async with self._session.get(self._url + path, headers=sent) as response:
                body = await response.read()
                got = Got(response.status, dict(response.headers), body, what)
        except TimeoutError:
            tally.broken += 1
            return None
        except aiohttp.ClientError as error:
            tally.broken += 1
            if kept and self.expects:
                tally.violated(Promise.STALE, f"{what}: {error!r}")
            return None
        finally:
            seconds = time.monotonic() - began - (tally.lag - lag)
            tally.slowest = max(tally.slowest, seconds)
            if seconds > self._deadline:
                tally.violated(Promise.DEADLINE, f"{what} took {seconds:.1f} s")
        if got.status in (200, 206):
            tally.complete += 1
            return got
        self._refused(got, kept=kept)
        return None

    def _refused(self, got: Got, *, kept: bool) -> None:
        tally, said = self._tally, f"{got.what}: {got.status} {got.body[:200]!r}"
        tally.refused[got.status] += 1
        if got.status in (404, 410):
            if not self.missing_allowed:
                tally.violated(Promise.ABSENT, said)
        elif got.status not in (502, 503, 504):
            tally.violated(Promise.STEADY, said)
        if kept and self.expects:
            tally.violated(Promise.STALE, said)


_OF_WHEELS = ("wheel", "wheel_metadata")


def _conda(index: Mapping[str, Mapping[str, Mapping[str, object]]]) -> Generation:
    # The stand-in for a subdir that upstream lacks is an empty object.
    return frozenset(pairs(index.get("packages.conda", {})))
