"""What lies ready is exactly what the flow would say, whatever changes; and it is reported so."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import itertools
import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.advisories import Advisories, Advisory
from proxy.core.ages import STEP
from proxy.core.model import Bounds, Entry, Expected, Index
from proxy.core.policy import Effect, Names, Specs, YoungerThan
from tests.ecosystems.policies import DAY, allow, deny, policy
from tests.gateway.world import HOST, NAME, PACKAGE, at, channel, record, repodata
from tests.lab.fake_upstream import FakeFile
from tests.web.twins import Twins, twins

SMALL = "small-1.0-0.conda"
SHARDS = "/conda/c/linux-64/repodata_shards.msgpack.zst"
INDEX = "/conda/c/linux-64/repodata.json"
WHEEL = "demo-1.0-py3-none-any.whl"
NOARCH = "/conda/c/noarch/repodata.json"
JSON = "application/vnd.pypi.simple.v1+json"
SUBDIRS = ("osx-64", "osx-arm64", "win-64", "linux-aarch64")
BOUNDS = Bounds(fresh_min=0, fresh_default=600, stale_while_revalidate=300)


def page(*versions: str, wheel: bytes = b"wheel 1.0") -> FakeFile:
    """A project's page, with a file of each version."""
    files = [
        {
            "filename": WHEEL.replace("1.0", version),
            "url": f"{HOST}/files/{WHEEL.replace('1.0', version)}",
            "hashes": {"sha256": hashlib.sha256(wheel).hexdigest()},
            "core-metadata": {"sha256": hashlib.sha256(b"Name: demo").hexdigest()},
            "upload-time": "1970-01-02T00:00:00Z",
        }
        for version in versions
    ]
    body = {"meta": {"api-version": "1.1"}, "name": "demo", "files": files, "versions": versions}
    return FakeFile(body=json.dumps(body).encode(), media_type=JSON, etag=f'"{len(versions)}"')


FILES: dict[str, FakeFile | bytes] = {
    at("noarch/repodata.json"): FakeFile(
        body=json.dumps(
            {
                "info": {"subdir": "noarch"},
                "packages.conda": {
                    f"for-{name}-1.0-0.conda": record(f"for-{name}", b"x") for name in SUBDIRS
                },
            }
        ).encode()
    ),
    **channel({NAME: PACKAGE, SMALL: b"small " * 100}),
    f"{HOST}/simple/demo/": page("1.0"),
    f"{HOST}/files/{WHEEL}": b"wheel 1.0",
    f"{HOST}/files/{WHEEL}.metadata": b"Name: demo",
    f"{HOST}/tree/a.txt": FakeFile(
        body=b"0123456789" * 30, etag='"a"', cache_control="max-age=100", media_type="text/plain"
    ),
    f"{HOST}/tree/by-language.txt": FakeFile(
        body=b"bonjour", cache_control="max-age=1000", headers={"vary": "Accept-Language"}
    ),
    f"{HOST}/tree/by-agent.txt": FakeFile(
        body=b"to you", cache_control="max-age=1000", headers={"vary": "User-Agent"}
    ),
    f"{HOST}/tree/by-host.txt": FakeFile(
        body=b"for here", cache_control="max-age=1000", headers={"vary": "Host"}
    ),
    f"{HOST}/tree/empty.txt": b"",
    f"{HOST}/tree/big.bin": FakeFile(body=PACKAGE, etag='"big"'),
}

PATHS = (
    INDEX,
    f"{INDEX}.zst",
    NOARCH,
    SHARDS,
    "a shard",
    f"/conda/c/linux-64/{NAME}",
    f"/conda/c/linux-64/{SMALL}",
    "/pypi/p/simple/demo/",
    "a wheel",
    "a wheel.metadata",
    "/files/f/a.txt",
    "/files/f/by-language.txt",
    "/files/f/by-agent.txt",
    "/files/f/by-host.txt",
    "/files/f/empty.txt",
    "/files/f/big.bin",
    "/files/f/absent.txt",
)
"""Those that are no paths are looked up (`_path`)."""

HEADERS: tuple[Mapping[str, str], ...] = (
    {},
    {"User-Agent": "one"},
    {"user-agent": "two", "accept": "*/*"},
    {"Accept-Encoding": "gzip"},
    {"Accept-Encoding": "zstd, gzip;q=0.5"},
    {"Accept-Encoding": "identity;q=0"},
    {"Accept": JSON},
    {"Accept": "text/html", "Accept-Encoding": "gzip"},
    {"Accept": "image/png"},
    {"Accept-Language": "fr"},
    {"Range": "bytes=0-9"},
    {"Range": "bytes=-5"},
    {"Range": "bytes=1-2,5-6"},
    {"Range": "bytes=9999999-"},
    {"Range": "bytes=0-9", "If-Range": "@"},
    {"Range": "bytes=0-9", "If-Range": '"other"'},
    {"If-None-Match": "@"},
    {"If-None-Match": '"other", W/@'},
    {"If-None-Match": "*"},
    {"If-None-Match": "@", "Accept-Encoding": "gzip"},
    {"If-Match": '"other"'},
    {"If-Modified-Since": "Sat, 01 Jan 2050 00:00:00 GMT"},
    {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    {"Cache-Control": "no-cache", "Pragma": "no-cache"},
    {"Cookie": "a=b", "Authorization": "Basic eDp5"},
    {"Connection": "close"},
    {"connection": "Keep-Alive", "Range": "bytes=0-9"},
)
"""In values, @ is the ETag that the path had when the test began."""


def _subdir(name: str) -> bytes:
    """An index in which something needs something of noarch's."""
    row = record("small", b"small") | {"depends": [f"for-{name}"]}
    body = {"info": {"subdir": name}, "packages.conda": {"small-2.0-0.conda": row}}
    return json.dumps(body).encode()


class Visitor:
    """Asks for paths by the names above, and makes things change."""

    def __init__(self, doors: Twins) -> None:
        self.doors = doors
        self.world = doors.world
        self._paths: dict[str, str] = {}
        self._etags: dict[str, str] = {}
        self._versions = ["1.0"]
        self._subdirs = itertools.cycle(SUBDIRS)

    async def prepare(self) -> None:
        """Have everything here, and know what it is called."""
        packed = (await self.doors.slow.ask("GET", SHARDS)).body
        listed = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(packed))["shards"]
        self._paths["a shard"] = f"/conda/c/linux-64/shards/{listed['thing'].hex()}.msgpack.zst"
        reply = await self.doors.slow.ask("GET", "/pypi/p/simple/demo/", {"Accept": JSON})
        url = json.loads(reply.body)["files"][0]["url"]
        self._paths["a wheel"] = f"/pypi/p/{url.removeprefix('../../')}"
        self._paths["a wheel.metadata"] = f"{self._paths['a wheel']}.metadata"
        for name in PATHS:
            reply = await self.doors.slow.ask("GET", self.path(name))
            await self.world.settled()
            if any(line.startswith("Etag:") for line in reply.head):
                self._etags[name] = reply["etag"]

    def path(self, name: str) -> str:
        return self._paths.get(name, name)

    async def ask(self, method: str, name: str, headers: Mapping[str, str], times: int = 3) -> int:
        """Ask until it may lie ready, and once more; the last answer's status."""
        etag = self._etags.get(name, '"none"')
        named = {key: value.replace("@", etag) for key, value in headers.items()}
        for _ in range(times):
            reply = await self.doors.ask(method, self.path(name), named)
        return reply.status

    # -- what changes --------------------------------------------------------------------

    async def new_page(self) -> None:
        """Upstream lists another file."""
        self._versions.append(f"1.{len(self._versions)}")
        self.world.upstream.files[f"{HOST}/simple/demo/"] = page(*self._versions)
        await self._refresh("pypi/p", "simple/demo/")

    async def new_channel(self) -> None:
        self._versions.append("x")
        more = {f"more{len(self._versions)}-1.0-0.conda": b"more"}
        body = repodata({NAME: PACKAGE, SMALL: b"small " * 100, **more})
        self.world.upstream.files[at("linux-64/repodata.json")] = FakeFile(body=body)
        await self._refresh("conda/c", "linux-64/repodata.json")

    async def new_file(self) -> None:
        """Upstream has another file, which is seen when ours is stale."""
        self._versions.append("x")
        body = f"file {len(self._versions)}".encode()
        self.world.upstream.files[f"{HOST}/tree/a.txt"] = FakeFile(
            body=body, cache_control="max-age=100"
        )

    async def confirmed(self) -> None:
        """Upstream says that nothing is new, so that lifetimes begin anew."""
        for key, path in (("conda/c", "linux-64/repodata.json"), ("pypi/p", "simple/demo/")):
            await self._refresh(key, path)

    async def hidden(self) -> None:
        self.doors.reload(policy(deny(Names(("small", "demo")), "house")))

    async def young(self) -> None:
        """By ages: what is old enough changes with the steps of time."""
        self.doors.reload(policy(deny(YoungerThan(10 * DAY + 3 * STEP), "young")))

    async def listed(self) -> None:
        """An allow-list with dependencies: it depends on which indexes are here."""
        rule = allow(Specs(("small",), dependencies=True), "list")
        self.doors.reload(policy(rule, default=Effect.DENY))

    async def allowed(self) -> None:
        self.doors.reload(None)

    async def malicious(self) -> None:
        evil = Advisory(id="MAL-1", malicious=True, everything=True)
        known = Advisories(by_name={"demo": (evil,), "small": (evil,)})
        self.world.engine.contexts.advise({"PyPI": known})

    async def harmless(self) -> None:
        self.world.engine.contexts.advise({})

    async def later(self) -> None:
        self.world.now += 0.7

    async def seconds_later(self) -> None:
        self.world.now += 3

    async def ten_seconds_later(self) -> None:
        self.world.now += 10

    async def minutes_later(self) -> None:
        self.world.now += 101

    async def near_the_end(self) -> None:
        """Shortly before something is no longer fresh."""
        self.world.now = max(self.world.now, min(self._ends()) - 1)

    async def near_the_last_end(self) -> None:
        """Shortly before the last thing is no longer fresh."""
        self.world.now = max(self.world.now, max(self._ends()) - 1)

    async def at_the_end(self) -> None:
        """The very moment in which something is no longer fresh."""
        self.world.now = min(self._ends())

    async def near_a_step(self) -> None:
        """Shortly before ages move on."""
        self.world.now = (self.world.now // STEP + 1) * STEP - 1
        await self.confirmed()
        await self.ask("GET", "/files/f/a.txt", {})

    async def at_a_step(self) -> None:
        self.world.now = (self.world.now // STEP + 1) * STEP

    async def earlier(self) -> None:
        """The clock is put back."""
        self.world.now -= 7

    async def much_earlier(self) -> None:
        self.world.now -= 500

    async def forgotten(self) -> None:
        """Somebody sweeps: views, files and indexes are gone."""
        for start in ("view ", "files/f ", "conda/c "):
            keys = await self.doors.catalog.keys(start)
            await self.doors.catalog.forget(keys)

    async def sibling_writes(self) -> None:
        """Another process was told something new by upstream: we see it when ours is stale."""
        for key in ("conda/c linux-64/repodata.json", "files/f a.txt", "pypi/p simple/demo/"):
            held = await self.doors.sibling.get(key)
            if isinstance(held, Entry):
                await self.doors.sibling.put(
                    dataclasses.replace(held, checked_at=self.world.now, fresh_for=50.0)
                )

    async def sibling_forgets(self) -> None:
        """Another process sweeps the catalog."""
        await self.doors.sibling.forget(await self.doors.sibling.keys("view "))

    async def down(self) -> None:
        """Upstream loses a file."""
        self.world.upstream.files.pop(f"{HOST}/tree/by-language.txt", None)

    async def another_index(self) -> None:
        """There is one more index, where something on an allow-list needs something of noarch's."""
        name = next(self._subdirs)
        file = FakeFile(body=_subdir(name))
        self.world.upstream.files[at(f"{name}/repodata.json")] = file
        await self._refresh("conda/c", f"{name}/repodata.json")

    async def sibling_replaces(self) -> None:
        """Another process has seen that upstream put other files in the place of the first."""
        self._versions.append("x")
        other = f"another file {len(self._versions)}".encode()
        listed, index = page("1.0", wheel=other), repodata({NAME: PACKAGE, SMALL: other})
        self.world.upstream.files |= {
            f"{HOST}/files/{WHEEL}": other,
            f"{HOST}/simple/demo/": listed,
            at(f"linux-64/{SMALL}"): other,
            at("linux-64/repodata.json"): index,
        }
        await self._sibling_puts("pypi/p simple/demo/", listed.body)
        await self._sibling_puts("conda/c linux-64/repodata.json", index)

    async def sibling_adds(self) -> None:
        """Another process was asked for one more index. We shall know in half a minute."""
        name = next(self._subdirs)
        await self._sibling_puts(f"conda/c {name}/repodata.json", _subdir(name))

    async def nearly_half_a_minute_later(self) -> None:
        self.world.now += 20

    async def offline(self) -> None:
        """Upstream is not asked any more, and only what is here is listed."""
        bounds = dataclasses.replace(BOUNDS, offline=True)
        self.doors.reload(None, bounds=bounds, only_present=True)

    async def frozen(self) -> None:
        """Clients see what is here now, whatever comes, with a lifetime that stands still."""
        self.doors.reload(None, frozen_at=self.world.now)

    async def thawed(self) -> None:
        self.doors.reload(None, frozen_at=None)

    async def _sibling_puts(self, key: str, body: bytes) -> None:
        """Another process has this body now, which stays fresh for long."""
        spool = await self.world.blobs.spool()
        await spool.write([body])
        stored = await spool.commit(Expected())
        spool.close()
        held = await self.doors.sibling.get("conda/c linux-64/repodata.json")
        if key.startswith("pypi"):
            held = await self.doors.sibling.get(key)
        assert isinstance(held, Entry)
        entry = dataclasses.replace(held, key=key, digest=stored.digest, size=stored.size)
        await self.doors.sibling.put(
            dataclasses.replace(entry, checked_at=self.world.now, fresh_for=5000.0)
        )

    def _ends(self) -> list[float]:
        """When things that are fresh are no longer so."""
        keys = ("conda/c linux-64/repodata.json", "pypi/p simple/demo/", "files/f a.txt")
        held = [self.doors.catalog.peek(key) for key in keys]
        ends = [one.checked_at + one.fresh_for for one in held if isinstance(one, Entry)]
        return [end for end in ends if end > self.world.now] or [self.world.now]

    async def _refresh(self, key: str, path: str) -> None:
        index = self.world.resource(key, path)
        assert isinstance(index, Index)
        self.world.engine.indexes.refresh_soon(index, self.world.mirrors[key])
        await self.world.settled()


Change = Callable[[Visitor], Awaitable[None]]
CHANGES: tuple[Change, ...] = (
    Visitor.new_page,
    Visitor.new_channel,
    Visitor.new_file,
    Visitor.confirmed,
    Visitor.hidden,
    Visitor.young,
    Visitor.listed,
    Visitor.allowed,
    Visitor.malicious,
    Visitor.harmless,
    Visitor.later,
    Visitor.seconds_later,
    Visitor.ten_seconds_later,
    Visitor.minutes_later,
    Visitor.near_the_end,
    Visitor.near_the_last_end,
    Visitor.at_the_end,
    Visitor.near_a_step,
    Visitor.at_a_step,
    Visitor.earlier,
    Visitor.much_earlier,
    Visitor.forgotten,
    Visitor.sibling_writes,
    Visitor.sibling_forgets,
    Visitor.sibling_replaces,
    Visitor.sibling_adds,
    Visitor.nearly_half_a_minute_later,
    Visitor.another_index,
    Visitor.offline,
    Visitor.frozen,
    Visitor.thawed,
    Visitor.down,
)


def visit(
    folder: Path, script: Callable[[Visitor], Awaitable[None]], bounds: Bounds = BOUNDS
) -> None:
    """Run *script* between the twins."""

    async def main() -> None:
        async with twins(folder, FILES, bounds=bounds) as doors, asyncio.timeout(60):
            visitor = Visitor(doors)
            await visitor.prepare()
            await script(visitor)

    asyncio.run(main())


def test_every_kind_of_request_gets_what_the_flow_would_give(tmp_path: Path) -> None:
    async def script(visitor: Visitor) -> None:
        statuses: dict[int, int] = {}
        for name in PATHS:
            for method in ("GET", "HEAD"):
                for headers in HEADERS:
                    compared = visitor.doors.compared
                    status = await visitor.ask(method, name, headers)
                    ready = visitor.doors.compared - compared
                    statuses[status] = statuses.get(status, 0) + ready
                    assert ready or not _should_lie_ready(name, headers, status)
        assert {status for status, ready in statuses.items() if ready} == {200, 206, 304}
        assert set(statuses) >= {404, 406, 412, 416}

    visit(tmp_path, script)


def _should_lie_ready(name: str, headers: Mapping[str, str], status: int) -> bool:
    if status not in (200, 206, 304) or name == "/files/f/by-host.txt":
        return False
    return not (status == 206 and "," in headers["Range"])


QUESTIONS = [
    *(("GET", name, HEADERS[0]) for name in PATHS),
    ("GET", INDEX, {"Accept-Encoding": "gzip"}),
    ("HEAD", INDEX, {}),
    ("GET", INDEX, {"If-None-Match": "@"}),
    ("GET", "/pypi/p/simple/demo/", {"Accept": JSON, "Accept-Encoding": "zstd"}),
    ("GET", "a wheel", {"Range": "bytes=0-3"}),
]

ONE_AFTER_ANOTHER = (
    *(Visitor.seconds_later, Visitor.new_page, Visitor.new_channel, Visitor.new_file),
    *(Visitor.near_the_end, Visitor.at_the_end, Visitor.near_the_end, Visitor.at_the_end),
    *(
        Visitor.another_index,
        Visitor.seconds_later,
        Visitor.another_index,
        Visitor.near_a_step,
        Visitor.at_a_step,
    ),
    *(Visitor.sibling_writes, Visitor.near_the_end, Visitor.at_the_end),
    *(Visitor.sibling_adds, Visitor.nearly_half_a_minute_later, Visitor.ten_seconds_later),
    *(Visitor.confirmed, Visitor.sibling_replaces, Visitor.near_the_end, Visitor.at_the_end),
    *(Visitor.near_the_last_end, Visitor.at_the_end),
    *(Visitor.earlier, Visitor.later, Visitor.sibling_forgets, Visitor.forgotten),
    *(Visitor.hidden, Visitor.allowed, Visitor.malicious, Visitor.harmless),
    *(Visitor.minutes_later, Visitor.much_earlier, Visitor.down, Visitor.minutes_later),
)


@pytest.mark.parametrize(
    "first",
    [
        *(Visitor.allowed, Visitor.hidden, Visitor.young, Visitor.listed),
        *(Visitor.malicious, Visitor.offline, Visitor.frozen),
    ],
    ids=lambda change: change.__name__,
)
def test_after_every_change_the_flow_would_still_say_the_same(
    tmp_path: Path, first: Change
) -> None:
    async def script(visitor: Visitor) -> None:
        for change in (first, *ONE_AFTER_ANOTHER):
            for _ in range(3):
                for method, name, headers in QUESTIONS:
                    await visitor.ask(method, name, headers, times=1)
            await change(visitor)
        assert visitor.doors.compared > 500

    visit(tmp_path, script)


RANDOM = st.tuples(
    st.sampled_from(("GET", "GET", "GET", "HEAD")),
    st.sampled_from(PATHS),
    st.sampled_from(HEADERS),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    asked=st.lists(RANDOM, min_size=2, max_size=8),
    changes=st.lists(st.sampled_from(CHANGES), max_size=8),
)
def test_whatever_happens_in_whatever_order(
    asked: list[tuple[str, str, Mapping[str, str]]], changes: list[Change]
) -> None:
    async def script(visitor: Visitor) -> None:
        for question in asked:
            await visitor.ask(*question)
        for change in changes:
            await change(visitor)
            for question in asked:
                await visitor.ask(*question)

    with tempfile.TemporaryDirectory() as folder:
        visit(Path(folder), script)
