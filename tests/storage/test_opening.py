"""Opening a store: layers in order, read-only folders, full disks, other machines, old formats."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from proxy.core.model import Absence, Digest, Expected, digest_of
from proxy.errors import StorageError
from proxy.storage.disk import DiskBlobs
from proxy.storage.folder import prepared
from proxy.storage.opening import Store, opened
from proxy.storage.ports import Stored
from proxy.storage.read_only import MARKER
from proxy.storage.trouble import Trouble

BODY, OTHER = b"a body" * 1000, b"another"


async def put(store: Store, body: bytes) -> Digest:
    """Store *body*, with what remembers it."""
    spool = await store.blobs.needed(len(body))
    await spool.write([body])
    stored = await spool.commit(Expected())
    spool.close()
    await store.catalog.put(absence(f"k {stored.digest}"))
    return stored.digest


async def read(store: Store, body: bytes) -> bytes | None:
    blob = await store.blobs.open(digest_of(body), len(body))
    if blob is None:
        return None
    with contextlib.closing(blob):
        return os.pread(blob.fileno(), len(body) + 1, 0)


def absence(key: str, at: float = 1.0) -> Absence:
    return Absence(key=key, checked_at=at, fresh_for=1.0)


def play(
    script: Callable[[Store], Awaitable[None]], *layers: Path, spare: Path | None = None
) -> list[tuple[str, str]]:
    """Run *script* over a store in *layers*; returns the troubles that were told."""
    told: list[tuple[str, str]] = []

    async def main() -> None:
        trouble = Trouble(lambda what, text: told.append((what, text)))
        store = opened(layers, spare=spare, trouble=trouble)
        try:
            await script(store)
        finally:
            await store.aclose()

    asyncio.run(main())
    return told


def shipped(folder: Path, *bodies: bytes) -> Path:
    """A folder with *bodies* that is only read."""

    async def fill(store: Store) -> None:
        for body in bodies:
            await put(store, body)

    play(fill, folder)
    (folder / MARKER).touch()
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("first", [True, False])
def test_what_lies_in_any_layer_is_here_and_what_is_new_goes_to_the_writable_one(
    tmp_path: Path, first: bool
) -> None:
    layer = shipped(tmp_path / "shipped", BODY)
    before = files(layer)

    async def script(store: Store) -> None:
        assert await read(store, BODY) == BODY
        assert await store.catalog.get(f"k {digest_of(BODY)}") == absence(f"k {digest_of(BODY)}")
        assert store.blobs.path(digest_of(BODY)).is_relative_to(layer)
        assert await store.blobs.check(digest_of(BODY)) == Stored(
            digest=digest_of(BODY), size=len(BODY)
        )
        digest = await put(store, OTHER)
        assert store.blobs.path(digest).is_relative_to(tmp_path / "cache")
        assert await read(store, OTHER) == OTHER
        assert sorted(await store.catalog.keys("k ")) == sorted(
            [f"k {digest_of(BODY)}", f"k {digest}"]
        )

    folders = [layer, tmp_path / "cache"]
    assert play(script, *(folders if first else reversed(folders))) == []
    assert files(layer) == before


def test_what_is_newer_or_forgotten_here_covers_what_a_read_only_layer_has(tmp_path: Path) -> None:
    layer = shipped(tmp_path / "shipped", BODY)
    key = f"k {digest_of(BODY)}"

    async def script(store: Store) -> None:
        await store.catalog.put(absence(key, at=2.0))
        assert await store.catalog.get(key) == absence(key, at=2.0)
        await store.catalog.forget([key])
        assert await store.catalog.get(key) is None
        assert store.catalog.peek(key) is None
        assert await store.catalog.keys() == []
        await store.blobs.remove([digest_of(BODY)])
        assert await read(store, BODY) is None

    play(script, layer, tmp_path / "cache")


def test_damage_in_a_read_only_layer_is_covered_by_what_is_fetched_anew(tmp_path: Path) -> None:
    layer = shipped(tmp_path / "shipped", BODY)
    DiskBlobs(layer).path(digest_of(BODY)).write_bytes(b"?" * len(BODY))

    async def script(store: Store) -> None:
        assert await store.blobs.check(digest_of(BODY)) is None
        assert await read(store, BODY) is None
        await put(store, BODY)
        assert await read(store, BODY) == BODY

    play(script, layer, tmp_path / "cache")


def test_the_folder_above_may_carry_the_mark(tmp_path: Path) -> None:
    layer = shipped(tmp_path / "media" / "cache", BODY)
    (layer / MARKER).rename(layer.parent / MARKER)

    async def script(store: Store) -> None:
        assert store.root == tmp_path / "cache"
        assert await read(store, BODY) == BODY

    play(script, layer, tmp_path / "cache")


def test_where_nothing_can_be_written_a_spare_folder_takes_what_is_new_and_that_is_told(
    tmp_path: Path,
) -> None:
    layer = shipped(tmp_path / "shipped", BODY)
    before = files(layer)

    async def script(store: Store) -> None:
        assert await read(store, BODY) == BODY
        digest = await put(store, OTHER)
        assert await read(store, OTHER) == OTHER
        assert store.blobs.path(digest).is_relative_to(tmp_path / "spare")
        assert store.blobs.workspace.is_relative_to(tmp_path / "spare")

    ((what, text),) = play(script, layer, spare=tmp_path / "spare")
    assert what == "writing"
    assert "cache.path" in text
    assert MARKER in text
    assert files(layer) == before
    with pytest.raises(StorageError, match="can be written"):
        opened([layer])


def test_a_read_only_folder_without_a_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / MARKER).touch()
    with pytest.raises(StorageError, match="holds no cache"):
        opened([tmp_path / "empty", tmp_path / "cache"])


@pytest.mark.parametrize(("found", "word"), [("99", "newer"), ("0", "no version"), ("", "unknown")])
@pytest.mark.parametrize("marked", [True, False])
def test_another_format_is_refused_by_name(
    tmp_path: Path, found: str, word: str, marked: bool
) -> None:
    prepared(tmp_path / "other")
    (tmp_path / "other" / "FORMAT").write_text(found)
    if marked:
        (tmp_path / "other" / MARKER).touch()
    with pytest.raises(StorageError, match=rf"format.*{word}|{word}.*format"):
        opened([tmp_path / "other", tmp_path / "cache"])


_HOLDER = (
    "import pathlib, sys\n"
    "from proxy.storage.opening import opened\n"
    "store = opened([pathlib.Path(sys.argv[1])])\n"
    "print('ready', flush=True); sys.stdin.read()\n"
)


@contextlib.contextmanager
def other_process(folder: Path) -> Iterator[None]:
    """Another process that has the store open."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield
        child.stdin.close()


def test_two_servers_of_one_machine_share_a_folder(tmp_path: Path) -> None:
    async def script(store: Store) -> None:
        await put(store, BODY)
        assert await read(store, BODY) == BODY

    with other_process(tmp_path):
        play(script, tmp_path)


def test_a_folder_that_another_machine_writes_is_refused_with_its_name(tmp_path: Path) -> None:
    async def nothing(_: Store) -> None: ...

    with other_process(tmp_path):
        line = f"{'0' * 36} elsewhere".ljust(200)
        (tmp_path / "lock").write_text(line)
        with pytest.raises(StorageError, match="server on elsewhere"):
            opened([tmp_path])
    play(nothing, tmp_path)  # the other one has ended
    assert "elsewhere" not in (tmp_path / "lock").read_text()


@contextlib.contextmanager
def small_disk(folder: Path, size: str = "4m", options: str = "") -> Iterator[Path]:
    """A file system of its own; the test is skipped where we may not mount."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "none", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_up(folder: Path) -> Path:
    """A file that leaves no room beside it."""
    path = folder / "filler"
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return path


def test_while_a_disk_is_full_new_things_go_elsewhere_and_it_is_told_once(tmp_path: Path) -> None:
    many = [b"%d" % number * 5000 for number in range(5)]

    async def script(store: Store) -> None:
        await put(store, BODY)
        filler = fill_up(tmp_path / "disk")
        assert not store.blobs.main.has_room()
        with pytest.raises(StorageError, match="bytes wanted"):
            await store.blobs.spool(1000)
        for body in many:
            await put(store, body)
        for body in (BODY, *many):
            assert await read(store, body) == body
            key = f"k {digest_of(body)}"
            assert await store.catalog.get(key) == absence(key) == store.catalog.peek(key)
            assert key in await store.catalog.keys("k ")
        assert store.blobs.workspace.is_relative_to(tmp_path / "spare")
        filler.unlink()
        await put(store, OTHER)
        assert store.blobs.path(digest_of(OTHER)).is_relative_to(tmp_path / "disk")
        assert store.blobs.workspace.is_relative_to(tmp_path / "disk")

    async def again(store: Store) -> None:
        for body in many:  # written down when there was room
            key = f"k {digest_of(body)}"
            assert await store.catalog.get(key) == absence(key)

    with small_disk(tmp_path / "disk") as disk:
        told = play(script, disk / "cache", spare=tmp_path / "spare")
        play(again, disk / "cache")
    assert [(what, bool(text)) for what, text in told if what == "blobs"] == [
        ("blobs", True),
        ("blobs", False),
    ]
    assert len(told) <= 4


def test_a_start_on_a_full_disk_reads_it_and_writes_elsewhere(tmp_path: Path) -> None:
    async def before(store: Store) -> None:
        await put(store, BODY)

    async def script(store: Store) -> None:
        assert await read(store, BODY) == BODY
        assert await store.catalog.get(f"k {digest_of(BODY)}") is not None
        await put(store, OTHER)
        assert await read(store, OTHER) == OTHER

    with small_disk(tmp_path / "disk") as disk:
        play(before, disk / "cache")
        fill_up(disk)
        ((what, text),) = play(script, disk / "cache", spare=tmp_path / "spare")
    assert what == "writing"
    assert "No space left" in text


def test_a_file_system_that_is_only_read_is_read(tmp_path: Path) -> None:
    async def before(store: Store) -> None:
        await put(store, BODY)

    async def script(store: Store) -> None:
        assert await read(store, BODY) == BODY
        assert await store.catalog.get(f"k {digest_of(BODY)}") is not None
        await put(store, OTHER)

    with small_disk(tmp_path / "disk") as disk:
        play(before, disk / "cache")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        ((what, text),) = play(script, disk / "cache", spare=tmp_path / "spare")
    assert what == "writing"
    assert "Read-only file system" in text
