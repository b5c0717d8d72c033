"""Metadata read out of wheels: in ranges, once for all, and stored; the wheel stays where it is."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import json
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.model import Index
from proxy.errors import IntegrityError, UpstreamFailed
from proxy.gateway.answer import Want
from proxy.gateway.deriving import TAIL, _read_archive, _Sparse, _Wanted
from tests.gateway.world import HOST, World, play
from tests.lab.fake_upstream import FakeFile

WHEEL = "sample-1.0-py3-none-any.whl"
FILE = f"{HOST}/files/{WHEEL}"
METADATA = b"Metadata-Version: 2.1\nName: sample\nVersion: 1.0\nRequires-Dist: other\n"
LOAD = random.Random(1).randbytes(300_000)


def wheel(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in members:
            archive.writestr(name, body)
    return made.getvalue()


META = ("sample-1.0.dist-info/METADATA", METADATA)
LAST = wheel(("sample/load", LOAD), META)
FIRST = wheel(META, ("sample/load", LOAD))


def project(body: bytes, **more: object) -> dict[str, FakeFile | bytes]:
    file = {
        "filename": WHEEL,
        "url": FILE,
        "hashes": {"sha256": hashlib.sha256(body).hexdigest()},
        "size": len(body),
    }
    page = {"meta": {"api-version": "1.1"}, "name": "sample", "files": [file]}
    listing = FakeFile(
        body=json.dumps(page).encode(), media_type="application/vnd.pypi.simple.v1+json"
    )
    return {f"{HOST}/simple/sample/": listing, FILE: FakeFile(body=body, **more)}  # type: ignore[arg-type]


async def path_of(world: World) -> str:
    index = world.resource("pypi/p", "simple/sample/")
    assert isinstance(index, Index)
    page = json.loads(await world.read("pypi/p", "simple/sample/", Want(form=index.forms[1])))
    (file,) = page["files"]
    assert file["core-metadata"] is True
    return str(file["url"]).removeprefix("../../")


@pytest.mark.parametrize("body", [LAST, FIRST])
def test_a_little_of_the_wheel_is_enough(tmp_path: Path, body: bytes) -> None:
    async def script(world: World) -> None:
        path = await path_of(world)
        answer = await world.open("pypi/p", f"{path}.metadata")
        assert answer.etag == f'"{hashlib.sha256(METADATA).hexdigest()}"'
        await answer.close()
        asked = [ask.byte_range for ask in world.upstream.asks if ask.url == FILE]
        assert all(asked)
        assert len(asked) <= 2
        assert await world.catalog.get(f"pypi/p {path}") is None
        world.upstream.files[FILE] = FakeFile(error=UpstreamFailed("down"))
        assert await world.read("pypi/p", f"{path}.metadata") == METADATA
        assert await world.status("pypi/p", f"{path}.metadata") == "hit"

    play(tmp_path, script, project(body))


def test_many_who_ask_cause_one_reading(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        path = await path_of(world)
        asking = (world.read("pypi/p", f"{path}.metadata") for _ in range(50))
        assert set(await asyncio.gather(*asking)) == {METADATA}
        assert world.upstream.count(FILE) <= 2

    play(tmp_path, script, project(LAST))


def test_a_wheel_that_is_here_is_read_without_upstream(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        path = await path_of(world)
        assert await world.read("pypi/p", path) == LAST
        await world.settled()
        asked = world.upstream.count(FILE)
        assert await world.read("pypi/p", f"{path}.metadata") == METADATA
        assert world.upstream.count(FILE) == asked

    play(tmp_path, script, project(LAST))


def test_without_ranges_the_wheel_is_fetched_whole_and_kept(tmp_path: Path) -> None:
    async def script(world: World) -> None:
        path = await path_of(world)
        assert await world.read("pypi/p", f"{path}.metadata") == METADATA
        await world.settled()
        world.upstream.files[FILE] = FakeFile(error=UpstreamFailed("down"))
        assert await world.read("pypi/p", path) == LAST

    play(tmp_path, script, project(LAST, ranges=False))


@pytest.mark.parametrize(
    "body",
    [
        b"no archive",
        wheel(("sample/load", LOAD)),
        wheel(META, ("other-1.0.dist-info/METADATA", b"another")),
        LAST[:-40],
    ],
)
def test_a_wheel_without_readable_metadata_is_an_error_and_nothing_is_stored(
    tmp_path: Path, body: bytes
) -> None:
    async def script(world: World) -> None:
        path = await path_of(world)
        with pytest.raises(IntegrityError, match="metadata"):
            await world.read("pypi/p", f"{path}.metadata")
        assert await world.catalog.get(f"pypi/p {path}.metadata") is None

    play(tmp_path, script, project(body))


@given(st.binary(max_size=2000) | st.integers(0, len(FIRST) - 1).map(lambda at: FIRST[at:][:3000]))
def test_any_bytes_are_metadata_or_a_bad_zip(body: bytes) -> None:
    file = _Sparse(len(body))
    file.add(0, body)
    with pytest.raises(zipfile.BadZipFile):
        _read_archive(file)


@given(st.integers(1, 400), st.integers(0, 255))
def test_a_damaged_archive_is_read_right_or_not_at_all(back: int, value: int) -> None:
    body = bytearray(LAST)
    body[-back] = value
    file = _Sparse(len(body))
    file.add(0, bytes(body))
    with contextlib.suppress(zipfile.BadZipFile, _Wanted):
        assert _read_archive(file) == METADATA


def test_what_is_not_here_yet_is_asked_for() -> None:
    file = _Sparse(len(FIRST))
    file.add(len(FIRST) - TAIL, FIRST[-TAIL:])
    with pytest.raises(_Wanted) as wanted:
        _read_archive(file)
    assert wanted.value.start == 0
