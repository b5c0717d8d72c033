"""Bundles: what comes out is what went in, nothing damaged comes in, and all can be continued."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import zstandard

from proxy.core.model import Digest, Entry, View, digest_of
from proxy.errors import IntegrityError, ProxyError, StorageError
from proxy.storage.bundle import Bundle, BundleWriter
from proxy.storage.carrying import Carried, export, take
from proxy.storage.opening import Store, opened
from proxy.storage.ports import Remembered, Stored
from tests.storage.test_eviction import entry

R = TypeVar("R")
BODIES = [random.Random(number).randbytes(number * 30_000) for number in range(1, 6)]
MARK = 65  # bytes of a mark; its last eight are the packed length
TEXT = b"compressible " * 50_000


def play(folder: Path, script: Callable[[Store], Awaitable[R]]) -> R:
    async def main() -> R:
        store = opened([folder])
        try:
            return await script(store)
        finally:
            await store.aclose()

    return asyncio.run(main())


async def put(store: Store, key: str, body: bytes, at: float = 1.0) -> None:
    made = store.blobs.workspace / f"{os.getpid()}-made"
    made.write_bytes(body)
    await store.blobs.adopt(made, Stored(digest=digest_of(body), size=len(body)))
    await store.catalog.put(replace(entry(key, digest_of(body), len(body)), checked_at=at))


def view(key: str, body: bytes) -> View:
    digest = digest_of(body) if body else Digest("")
    return View(key=key, digest=digest, size=len(body), media_type="m", made_at=2.0)


async def fill(store: Store) -> None:
    for number, body in enumerate([*BODIES, TEXT]):
        await put(store, f"conda/main {number}", body)
    await put(store, "conda/main again", BODIES[0])
    await store.catalog.put(view("seen conda/main x", TEXT))
    await store.catalog.put(view("arrival conda/main x\t1", b""))
    await store.catalog.put(view("view conda/main x\tjson\t1", BODIES[1]))


async def contents(store: Store) -> dict[str, tuple[Remembered, bytes]]:
    found: dict[str, tuple[Remembered, bytes]] = {}
    for key in await store.catalog.keys():
        value = await store.catalog.get(key)
        assert isinstance(value, Entry | View)
        body = b""
        if value.digest:
            blob = await store.blobs.open(value.digest, value.size)
            assert blob is not None, key
            body = os.pread(blob.fileno(), value.size, 0)
            blob.close()
            assert digest_of(body) == value.digest
        found[key] = value, body
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    play(tmp_path / "source", fill)
    return tmp_path / "source"


def exported(source: Path, path: Path, since: Path | None = None) -> Carried:
    return play(source, lambda store: export(store, path, since))


def imported(target: Path, path: Path, digest: str | None = None) -> Carried:
    return play(target, lambda store: take(store, path, digest))


def test_what_comes_out_is_what_went_in_but_for_what_can_be_made_again(
    source: Path, tmp_path: Path
) -> None:
    there = exported(source, tmp_path / "bundle")
    here = imported(tmp_path / "target", tmp_path / "bundle")
    assert (there.blobs, there.values, there.already) == (6, 9, 0)
    assert here == there
    expected = play(source, contents)
    del expected["view conda/main x\tjson\t1"]
    assert play(tmp_path / "target", contents) == expected


def test_any_tool_for_zstandard_can_test_a_bundle(source: Path, tmp_path: Path) -> None:
    exported(source, tmp_path / "bundle")
    with (tmp_path / "bundle").open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        everything = reader.read()
    assert all(body in everything for body in BODIES)
    assert (tmp_path / "bundle").stat().st_size < len(everything)


def test_importing_twice_brings_nothing_and_the_newer_of_two_values_stays(
    source: Path, tmp_path: Path
) -> None:
    exported(source, tmp_path / "bundle")
    target = tmp_path / "target"

    async def newer(store: Store) -> None:
        await put(store, "conda/main 0", b"newer", at=9.0)

    play(target, newer)
    assert imported(target, tmp_path / "bundle").values == 8
    assert play(target, contents)["conda/main 0"][1] == b"newer"
    again = imported(target, tmp_path / "bundle")
    assert (again.blobs, again.already, again.values) == (0, 6, 0)


def test_a_delta_has_only_what_is_new_and_needs_what_it_was_made_since(
    source: Path, tmp_path: Path
) -> None:
    first = exported(source, tmp_path / "b0")

    async def more(store: Store) -> None:
        await put(store, "conda/main new", b"new" * 1000)

    play(source, more)
    delta = exported(source, tmp_path / "b1", tmp_path / "b0")
    assert delta.blobs == 1
    assert (tmp_path / "b1").stat().st_size < (tmp_path / "b0").stat().st_size / 10
    target = tmp_path / "target"
    with pytest.raises(StorageError, match=first.digest):
        imported(target, tmp_path / "b1")
    assert play(target, contents) == {}
    imported(target, tmp_path / "b0")
    imported(target, tmp_path / "b1")
    expected = play(source, contents)
    del expected["view conda/main x\tjson\t1"]
    assert play(target, contents) == expected

    async def yet_more(store: Store) -> None:
        await put(store, "conda/main newest", b"newest" * 1000)

    play(source, yet_more)
    assert exported(source, tmp_path / "b2", tmp_path / "b1").blobs == 1
    assert imported(target, tmp_path / "b2").values == 1


def test_a_bundle_must_be_the_one_that_was_named(source: Path, tmp_path: Path) -> None:
    made = exported(source, tmp_path / "bundle")
    with pytest.raises(IntegrityError, match=made.digest):
        imported(tmp_path / "target", tmp_path / "bundle", "0" * 64)
    imported(tmp_path / "target", tmp_path / "bundle", made.digest)


def test_no_damage_comes_in_wherever_it_is(source: Path, tmp_path: Path) -> None:
    exported(source, tmp_path / "bundle")
    whole = (tmp_path / "bundle").read_bytes()
    expected = play(source, contents)
    random_ = random.Random(7)
    places = [*range(80), *(len(whole) - one for one in range(1, 80))]
    places += [random_.randrange(len(whole)) for _ in range(60)]
    for number, place in enumerate(places):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << random_.randrange(8)
        (tmp_path / "damaged").write_bytes(damaged)
        target = tmp_path / f"target-{number % 3}"
        try:
            imported(target, tmp_path / "damaged")
        except ProxyError:
            continue
        finally:
            found = play(target, contents)
            assert found.items() <= expected.items(), f"byte {place}"


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_bundle_that_is_cut_short_is_refused_before_anything_is_taken(
    source: Path, tmp_path: Path, share: float
) -> None:
    exported(source, tmp_path / "bundle")
    whole = (tmp_path / "bundle").read_bytes()
    (tmp_path / "bundle").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(StorageError, match="cut short"):
        imported(tmp_path / "target", tmp_path / "bundle")
    assert play(tmp_path / "target", contents) == {}


def test_a_broken_off_export_is_continued_behind_its_last_whole_blob(
    source: Path, tmp_path: Path
) -> None:
    path, part = tmp_path / "bundle", tmp_path / "bundle.part"
    exported(source, path)
    whole = path.read_bytes()
    path.rename(part)
    part.write_bytes(whole[: len(whole) // 2])
    continued = exported(source, path)
    assert 0 < continued.already < 6
    assert not part.exists()
    assert imported(tmp_path / "target", path).values == 9


def test_what_was_written_wrongly_before_an_export_broke_off_is_written_again(
    source: Path, tmp_path: Path
) -> None:
    path, part = tmp_path / "bundle", tmp_path / "bundle.part"
    exported(source, path)
    damaged = bytearray(path.read_bytes())
    damaged[MARK + int.from_bytes(damaged[MARK - 8 : MARK], "little") // 2] ^= 1
    path.unlink()
    part.write_bytes(damaged)
    assert exported(source, path).already == 0
    assert imported(tmp_path / "target", path).values == 9


def test_a_broken_off_import_is_continued(source: Path, tmp_path: Path) -> None:
    exported(source, tmp_path / "bundle")
    whole = (tmp_path / "bundle").read_bytes()
    damaged = bytearray(whole)
    damaged[int(len(whole) * 0.7)] ^= 1
    (tmp_path / "bundle").write_bytes(damaged)
    target = tmp_path / "target"
    with pytest.raises(IntegrityError, match="damaged"):
        imported(target, tmp_path / "bundle")
    assert play(target, contents) == {}
    (tmp_path / "bundle").write_bytes(whole)
    continued = imported(target, tmp_path / "bundle")
    assert continued.already > 0
    assert continued.values == 9


def test_a_damaged_blob_is_not_exported(source: Path, tmp_path: Path) -> None:
    digest = digest_of(BODIES[2])
    (source / "sha256" / digest[:2] / digest).write_bytes(b"?" * len(BODIES[2]))
    with pytest.raises(IntegrityError, match="cache verify"):
        exported(source, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_no_frame_unpacks_to_more_than_its_mark_says(tmp_path: Path) -> None:
    """A mark that promises 10 bytes before a frame of 100 MB."""
    writer = BundleWriter(tmp_path / "bundle")
    with (tmp_path / "zeros").open("w+b") as file:
        file.truncate(100 << 20)
        digest = digest_of(b"")
        with pytest.raises(IntegrityError):
            writer.blob(digest, file)
        file.truncate(0)
        writer.blob(digest, file)
    writer.record(b"x")
    writer.finish()
    raw = bytearray((tmp_path / "bundle").read_bytes())
    raw[49:57] = (10).to_bytes(8, "little")
    frame = zstandard.compress(bytes(100 << 20))
    packed = int.from_bytes(raw[57:MARK], "little")
    raw[57:MARK] = len(frame).to_bytes(8, "little")
    raw[MARK : MARK + packed] = frame
    end = len(raw) - MARK
    at = int.from_bytes(raw[end + 49 : end + 57], "little") + len(frame) - packed
    raw[end + 49 : end + 57] = at.to_bytes(8, "little")
    (tmp_path / "bundle").write_bytes(raw)
    bundle = Bundle(tmp_path / "bundle")
    ((mark, pieces),) = bundle.blobs()
    assert mark.size == 10
    with pytest.raises(IntegrityError):
        next(pieces)
    bundle.close()
