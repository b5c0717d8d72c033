"""What clients notice of a store that fails in the middle of a body: nothing, or a short body."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.errors import StorageError
from proxy.gateway.fill import HELD_BACK
from proxy.storage.disk import DiskBlobs
from proxy.storage.ports import Spool, Stored
from tests.gateway.world import HOST, NAME, PACKAGE, at, channel
from tests.lab.fake_upstream import FakeFile
from tests.web.test_content import PACKAGE_PATH, Door, visit

PLAIN = "/files/f/big.bin"
URL = f"{HOST}/tree/big.bin"
OTHER = PACKAGE[::-1]


class _Spool:
    """One that fails when it has got so many bytes, or is to be put in its place."""

    def __init__(self, spool: Spool, most: int) -> None:
        self._spool = spool
        self._left = most
        self.path, self.check = spool.path, spool.check
        self.fileno, self.discard, self.close = spool.fileno, spool.discard, spool.close

    async def write(self, chunks: list[bytes]) -> None:
        self._left -= sum(map(len, chunks))
        if self._left < 0:
            raise StorageError("the store failed: no space is left")
        await self._spool.write(chunks)

    async def place(self, checked: Stored) -> None:
        raise StorageError("the store failed: it is only read")


class _Blobs(DiskBlobs):
    """A store that keeps indexes, and of longer bodies no more than `most` bytes."""

    most = 0

    async def spool(self, reserve: int | None = None) -> Any:
        spool = await super().spool(reserve)
        return spool if reserve is not None and reserve < 10_000 else _Spool(spool, self.most)


def failing_at(most: int) -> Callable[[Path], DiskBlobs]:
    return type("_Blobs", (_Blobs,), {"most": most})


def files(body: bytes = PACKAGE, **more: Any) -> dict[str, FakeFile | bytes]:
    known: dict[str, FakeFile | bytes] = dict(channel())
    known[at(f"linux-64/{NAME}")] = FakeFile(body=body, **more)
    known[URL] = FakeFile(body=body, **{"etag": '"strong"', **more})
    return known


MOMENTS = (0, 1, HELD_BACK, 100_000, len(PACKAGE) - HELD_BACK, len(PACKAGE) - 1, len(PACKAGE))


@pytest.mark.parametrize("most", MOMENTS)
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("path", [PACKAGE_PATH, PLAIN])
def test_a_store_that_fails_in_the_middle_costs_no_client_a_byte(
    tmp_path: Path, path: str, ranges: bool, most: int
) -> None:
    async def script(door: Door) -> None:
        got = await asyncio.gather(*(door.get(path) for _ in range(5)))
        for reply, body in got:
            assert (reply.status, reply.headers["Content-Length"]) == (200, str(len(PACKAGE)))
            assert body == PACKAGE
        parts = [(0, 99), (70_000, 200_000), (len(PACKAGE) - 100, len(PACKAGE) - 1)]
        for first, last in parts:
            reply, body = await door.get(path, Range=f"bytes={first}-{last}")
            assert (reply.status, body) == (206, PACKAGE[first : last + 1])
        await door.world.settled()
        assert not list((tmp_path / "blobs").rglob("*.*")), "nothing is stored"
        assert not any("big.bin" in key or NAME in key for key in door.world.catalog.values)

    visit(tmp_path, script, files(ranges=ranges), blobs=failing_at(most))


def test_of_unknown_length_it_comes_to_its_end_as_well(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        reply, body = await door.get(PLAIN)
        assert (reply.status, body) == (200, PACKAGE)

    visit(tmp_path, script, files(announced=False), blobs=failing_at(100_000))


def when_half_is_here(*, then: FakeFile, path: str, url: str) -> Callable[[Door], Any]:
    """A script: while a client reads, the store fails, and upstream has *then*."""

    async def script(door: Door) -> None:
        held = door.world.upstream.files[url]
        assert isinstance(held, FakeFile)
        async with door.client.get(path) as reply:
            got = await reply.content.readexactly(1000)
            await held.reached.wait()
            door.world.upstream.files[url] = then
            held.release.set()
            with pytest.raises(aiohttp.ClientPayloadError):
                await reply.content.read()
        assert got == PACKAGE[:1000]
        await door.world.settled()
        (exchange,) = door.heard.exchanges
        assert exchange.error is not None
        assert not any("big.bin" in key or NAME in key for key in door.world.catalog.values)

    return script


@pytest.mark.parametrize(
    "then",
    [
        FakeFile(body=OTHER, etag='"other"'),
        FakeFile(body=OTHER),
        FakeFile(body=PACKAGE + b"more", etag='"strong"'),
        FakeFile(body=OTHER, etag='"other"', ranges=False),
    ],
)
def test_answers_of_two_files_are_not_joined(tmp_path: Path, then: FakeFile) -> None:
    script = when_half_is_here(then=then, path=PLAIN, url=URL)
    visit(tmp_path, script, files(held_at=100_000), blobs=failing_at(100_000))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_whose_rest_is_another_ones_is_never_complete(tmp_path: Path, ranges: bool) -> None:
    then = FakeFile(body=OTHER, ranges=ranges)
    script = when_half_is_here(then=then, path=PACKAGE_PATH, url=at(f"linux-64/{NAME}"))
    visit(tmp_path, script, files(held_at=100_000), blobs=failing_at(100_000))


def test_without_any_validator_a_body_ends_short(tmp_path: Path) -> None:
    script = when_half_is_here(then=FakeFile(body=PACKAGE), path=PLAIN, url=URL)
    visit(tmp_path, script, files(held_at=100_000, etag=None), blobs=failing_at(100_000))


class _Full(DiskBlobs):
    async def spool(self, reserve: int | None = None) -> Any:
        if reserve is not None and reserve > 10_000:
            raise StorageError("the disk is full")
        return await super().spool(reserve)


def test_what_is_passed_by_a_full_disk_is_checked_as_well(tmp_path: Path) -> None:
    async def script(door: Door) -> None:
        async with door.client.get(PACKAGE_PATH) as reply:
            with pytest.raises(aiohttp.ClientPayloadError):
                await reply.read()

    visit(tmp_path, script, files(body=OTHER), blobs=_Full)


def test_a_range_of_what_is_passed_on_is_that_range_though_upstream_knows_none(
    tmp_path: Path,
) -> None:
    async def script(door: Door) -> None:
        for _ in range(2):
            reply, body = await door.get(PLAIN, Range="bytes=1000-1999")
            assert (reply.status, body) == (206, PACKAGE[1000:2000])

    visit(tmp_path, script, files(ranges=False, cache_control="no-store"))
