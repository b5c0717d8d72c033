"""A row table is mapped while it is looked into, and holds nothing when it no longer is."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from proxy.core.blocks import Rows
from proxy.core.model import Digest
from proxy.core.rows import build
from proxy.errors import StorageError
from proxy.gateway import tables
from proxy.gateway.tables import Tables


def held(folder: Path) -> int:
    """Descriptors of files in *folder* that this process has open."""
    gc.collect()
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        try:
            found += str(one.readlink()).startswith(str(folder))
        except FileNotFoundError:
            continue
    return found


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    made = [tmp_path / str(number) for number in range(3)]
    for path in made:
        path.write_bytes(b"".join(build([(path.name, path.name.encode())])))
    return made


def digest(path: Path) -> Digest:
    return Digest(path.name * 64)


def test_one_that_nobody_looks_into_goes_and_gives_its_descriptor_back(
    tmp_path: Path, paths: list[Path]
) -> None:
    async def main() -> None:
        now = 0.0
        kept = Tables(clock=lambda: now)
        for path in paths:
            await kept.open(digest(path), path)
        assert held(tmp_path) == 3
        now += tables.UNUSED / 2
        table = await kept.open(digest(paths[0]), paths[0])
        now += tables.UNUSED / 2
        kept.sweep()
        await asyncio.to_thread(bool)  # the loop has what a thread returned until the next one does
        assert len(kept) == held(tmp_path) == 1
        now += tables.UNUSED / 2
        kept.sweep()
        assert len(kept) == 0
        assert table.get("0") == b"0", "whoever looks into it just now has it"
        kept.clear()

    asyncio.run(main())
    assert held(tmp_path) == 0


def test_they_go_by_themselves(tmp_path: Path, paths: list[Path]) -> None:
    async def main() -> None:
        kept = Tables(unused=0.0)
        for path in paths:
            await kept.open(digest(path), path)
        while len(kept):
            await asyncio.to_thread(bool)
        assert held(tmp_path) == 0

    asyncio.run(asyncio.wait_for(main(), 20))


def test_there_are_never_more_than_a_bound(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MOST", 2)

    async def main() -> Rows:
        kept = Tables()
        for path in paths:
            await kept.open(digest(path), path)
        assert len(kept) == 2
        again = await kept.open(digest(paths[0]), paths[0])
        kept.clear()
        return again

    assert asyncio.run(main()).get("0") == b"0"


def test_one_that_cannot_be_read_is_an_error_and_not_kept(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()

    async def main() -> None:
        kept = Tables()
        for name in ("empty", "none"):
            with pytest.raises(StorageError):
                await kept.open(Digest("0" * 64), tmp_path / name)
        assert len(kept) == 0

    asyncio.run(main())
