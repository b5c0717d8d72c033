"""Verifying a store: it is clean, or repaired with what was done about each thing."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from proxy.core.model import Digest, View, digest_of
from proxy.storage.opening import Store, opened
from proxy.storage.ports import Stored
from proxy.storage.read_only import MARKER
from proxy.storage.verify import Findings, verify

BODIES = [b"%d" % number * 1000 for number in range(9)]


async def filled(store: Store) -> None:
    for body in BODIES:
        made = store.blobs.workspace / f"{os.getpid()}-made"
        made.write_bytes(body)
        digest = digest_of(body)
        await store.blobs.adopt(made, Stored(digest=digest, size=len(body)))
        view = View(key=f"v {digest}", digest=digest, size=len(body), media_type="", made_at=0)
        await store.catalog.put(view)


def verified(*layers: Path) -> Findings:
    async def main() -> Findings:
        store = opened(layers)
        try:
            return await verify(store)
        finally:
            await store.aclose()

    return asyncio.run(main())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    async def main() -> None:
        store = opened([tmp_path / "cache"])
        await filled(store)
        await store.aclose()

    asyncio.run(main())
    return tmp_path / "cache"


def path_of(root: Path, body: bytes) -> Path:
    digest = digest_of(body)
    return root / "sha256" / digest[:2] / digest


def test_a_whole_store_is_clean(root: Path) -> None:
    found = verified(root)
    assert found == Findings(blobs=9, size=sum(map(len, BODIES)), wrong=[])


def _flip_a_bit(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[500] ^= 1
    path.write_bytes(body)


def _cut(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_flip_a_bit, _cut])
def test_a_damaged_blob_is_removed_and_what_names_it_forgotten(
    root: Path, damage: Callable[[Path], None]
) -> None:
    path = path_of(root, BODIES[3])
    damage(path)
    found = verified(root)
    assert [digest_of(BODIES[3]) in line for line in found.wrong] == [True, True]
    assert not path.exists()
    assert verified(root).wrong == []


def test_a_name_without_a_blob_is_forgotten(root: Path) -> None:
    path_of(root, BODIES[0]).unlink()
    (line,) = verified(root).wrong
    assert f"v {digest_of(BODIES[0])}" in line
    assert verified(root) == Findings(blobs=8, size=sum(map(len, BODIES[1:])), wrong=[])


def test_leftovers_and_values_that_cannot_be_read_are_removed(root: Path) -> None:
    (root / "spool" / "1-dead").write_bytes(b"half")
    (root / "work" / "0-dead").write_bytes(b"half")
    with closing(sqlite3.connect(root / "catalog" / "cache.db")) as connection, connection:
        connection.execute("UPDATE Cache SET value = x'c1' WHERE rowid = 1")
    (line,) = verified(root).wrong
    assert line.startswith("2 files")
    assert verified(root) == Findings(blobs=9, size=sum(map(len, BODIES)), wrong=[])
    with closing(sqlite3.connect(root / "catalog" / "cache.db")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM Cache").fetchone() == (8,)


def test_foreign_files_are_left_alone(root: Path) -> None:
    (root / "sha256" / "notes.txt").write_text("mine")
    (root / "sha256" / "00").mkdir(exist_ok=True)
    (root / "sha256" / "00" / "notes.txt").write_text("mine")
    assert verified(root).wrong == []
    assert (root / "sha256" / "00" / "notes.txt").read_text() == "mine"


def test_a_link_out_of_the_store_is_neither_read_nor_removed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not yours")
    name = Digest("f" * 64)
    folder = root / "sha256" / "ff"
    folder.mkdir(exist_ok=True)
    (folder / name).symlink_to(tmp_path / "secret")
    verified(root)
    assert (tmp_path / "secret").read_text() == "not yours"


def test_damage_in_a_read_only_layer_is_told_and_covered(root: Path, tmp_path: Path) -> None:
    _flip_a_bit(path_of(root, BODIES[3]))
    (root / MARKER).touch()
    found = verified(tmp_path / "own", root)
    assert ["cannot be removed" in line for line in found.wrong] == [True, False]
    assert path_of(root, BODIES[3]).exists()
