"""The catalog: what was put is got, by any process; nothing in it is ever run."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.model import Absence, Digest, Entry, Validators, View
from proxy.errors import StorageError
from proxy.storage.catalog import DiskCatalog
from proxy.storage.catalog_file import writing
from proxy.storage.folder import prepared
from proxy.storage.memory import MemoryCatalog
from proxy.storage.opening import opened
from proxy.storage.ports import Catalog, Remembered
from proxy.storage.rows import delete_in, encoded, put_in

Script = Callable[[Catalog], Awaitable[None]]

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)
texts = st.none() | names
times = st.floats(0, 4e9) | st.just(float("inf"))
digests = st.just(Digest("0" * 64))
values: st.SearchStrategy[Remembered] = st.one_of(
    st.builds(
        Entry,
        key=names,
        digest=digests,
        size=st.integers(0, 1 << 50),
        media_type=names,
        source=names,
        url=names,
        validators=st.builds(Validators, etag=texts, last_modified=texts),
        checked_at=times,
        fresh_for=times,
        headers=st.dictionaries(names, names, max_size=3),
    ),
    st.builds(Absence, key=names, checked_at=times, fresh_for=times, gone=st.booleans()),
    st.builds(
        View, key=names, digest=digests, size=st.integers(0), media_type=names, made_at=times
    ).filter(lambda view: view.size < 1 << 60),
)


def absence(key: str) -> Absence:
    return Absence(key=key, checked_at=1.0, fresh_for=2.0)


@pytest.fixture(params=["disk", "memory", "layers"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Script], None]:
    """Runs a script over each implementation."""

    def run(script: Script) -> None:
        async def main() -> None:
            if request.param == "memory":
                await script(MemoryCatalog())
                return
            if request.param == "layers":
                store = opened([tmp_path / "cache", *_read_only(tmp_path)])
                await script(store.catalog)
                await store.aclose()
                return
            catalog = DiskCatalog(tmp_path / "catalog")
            await script(catalog)
            await catalog.aclose()

        asyncio.run(main())

    return run


def _read_only(folder: Path) -> list[Path]:
    """A store that is empty and only read."""
    if not (folder / "shipped").exists():
        prepared(folder / "shipped")
        (folder / "shipped" / ".readonly").touch()
    return [folder / "shipped"]


@given(st.lists(values, max_size=5))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_last_value_put_under_a_key_is_got(
    play: Callable[[Script], None], many: list[Remembered]
) -> None:
    async def script(catalog: Catalog) -> None:
        for value in many:
            await catalog.put(value)
        for value in {value.key: value for value in many}.values():
            assert await catalog.get(value.key) == value
            assert catalog.peek(value.key) == value

    play(script)


def test_what_is_forgotten_is_absent_also_from_memory(play: Callable[[Script], None]) -> None:
    async def script(catalog: Catalog) -> None:
        await catalog.put(absence("a"))
        await catalog.forget(["a", "never there"])
        assert (await catalog.get("a"), catalog.peek("a")) == (None, None)

    play(script)


def test_keys_are_found_by_how_they_begin(play: Callable[[Script], None]) -> None:
    async def script(catalog: Catalog) -> None:
        keys = ["a", "ab", "abc", "b", "view x\tjson\t1", "view x\tjson\t2", "view xy\tz", "é", "%"]
        for key in keys:
            await catalog.put(absence(key))
        assert await catalog.count() == len(keys)
        for prefix in ("", "a", "ab", "view x\tjson\t", "é", "%", "nothing"):
            expected = sorted(key for key in keys if key.startswith(prefix))
            assert sorted(await catalog.keys(prefix)) == expected

    play(script)


def test_blobs_are_found_by_what_names_them_and_the_other_way_round(
    play: Callable[[Script], None],
) -> None:
    def view(key: str, digit: str) -> View:
        digest = Digest(digit * 64) if digit else Digest("")
        return View(key=key, digest=digest, size=1, media_type="", made_at=0)

    async def script(catalog: Catalog) -> None:
        for value in (view("a 1", "1"), view("a 2", "2"), view("b", "1"), view("none", "")):
            await catalog.put(value)
        await catalog.put(absence("a 3"))
        assert await catalog.digests() == {"1" * 64, "2" * 64}
        assert await catalog.digests("a ") == {"1" * 64, "2" * 64}
        assert await catalog.digests("b") == {"1" * 64}
        assert sorted(await catalog.naming([Digest("1" * 64), Digest("3" * 64)])) == ["a 1", "b"]
        assert await catalog.naming([]) == []

    play(script)


def test_it_survives_a_restart(tmp_path: Path) -> None:
    async def main(script: Callable[[DiskCatalog], Awaitable[None]]) -> None:
        catalog = DiskCatalog(tmp_path / "catalog")
        await script(catalog)
        await catalog.aclose()

    async def write(catalog: DiskCatalog) -> None:
        await catalog.put(absence("k"))

    async def read(catalog: DiskCatalog) -> None:
        assert catalog.peek("k") is None
        assert await catalog.get("k") == absence("k")

    asyncio.run(main(write))
    asyncio.run(main(read))


def test_what_another_process_wrote_is_got_though_memory_has_something_older(
    tmp_path: Path,
) -> None:
    text = (
        "import asyncio, pathlib, sys\n"
        "from proxy.core.model import Absence\n"
        "from proxy.storage.catalog import DiskCatalog\n"
        "async def main():\n"
        "    catalog = DiskCatalog(pathlib.Path(sys.argv[1]))\n"
        "    await catalog.put(Absence(key='k', checked_at=9.0, fresh_for=9.0))\n"
        "    await catalog.aclose()\n"
        "asyncio.run(main())\n"
    )

    async def main() -> None:
        catalog = DiskCatalog(tmp_path / "catalog")
        await catalog.put(absence("k"))
        command = [sys.executable, "-c", text, str(tmp_path / "catalog")]
        await asyncio.to_thread(subprocess.run, command, check=True)
        assert catalog.peek("k") == absence("k")
        assert await catalog.get("k") == Absence(key="k", checked_at=9.0, fresh_for=9.0)
        await catalog.aclose()

    asyncio.run(main())


class _Touch:
    """Pickled, it makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._path,)


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_a_planted_pickle_is_absent_and_never_run(tmp_path: Path, mode: int) -> None:
    proof, lost = tmp_path / "proof", list[str]()

    async def main() -> None:
        catalog = DiskCatalog(tmp_path / "catalog")
        await catalog.put(absence("k"))
        await catalog.aclose()
        with sqlite3.connect(tmp_path / "catalog" / "cache.db") as connection:
            planted = (mode, pickle.dumps(_Touch(proof)))
            connection.execute("UPDATE Cache SET mode = ?, value = ?", planted)
        connection.close()
        catalog = DiskCatalog(tmp_path / "catalog", on_loss=lost.append)
        assert await catalog.get("k") is None
        assert await catalog.keys() == []
        await catalog.aclose()

    asyncio.run(main())
    assert not proof.exists()
    assert len(lost) == 1


def test_a_planted_file_name_is_neither_read_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"not yours")
    lost = list[str]()

    async def main() -> None:
        catalog = DiskCatalog(tmp_path / "catalog", on_loss=lost.append)
        for key in ("read", "replaced", "forgotten"):
            await catalog.put(absence(key))
        connection = sqlite3.connect(tmp_path / "catalog" / "cache.db")
        with contextlib.closing(connection), connection:
            connection.execute("UPDATE Cache SET mode = 2, filename = '../victim'")
        assert await catalog.get("read") is None
        await catalog.put(absence("replaced"))
        await catalog.forget(["forgotten"])
        assert await catalog.keys() == ["replaced"]
        await catalog.aclose()

    asyncio.run(main())
    assert (tmp_path / "victim").read_bytes() == b"not yours"
    assert len(lost) == 1


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x02\xa5entry\x80", b"\x93\x01\xa5other\x80"])
def test_a_value_that_cannot_be_read_is_absent_removed_and_reported(
    tmp_path: Path, data: bytes
) -> None:
    lost = list[str]()

    async def main() -> None:
        catalog = DiskCatalog(tmp_path / "catalog", on_loss=lost.append)
        await catalog._run(catalog._put, "k", data)
        assert await catalog.get("k") is None
        assert await catalog.keys() == []
        await catalog.aclose()

    asyncio.run(main())
    assert len(lost) == 1


def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    folder, lost = tmp_path / "catalog", list[str]()
    folder.mkdir()
    (folder / "cache.db").write_bytes(b"this is no database " * 1000)

    async def main() -> None:
        catalog = DiskCatalog(folder, on_loss=lost.append)
        await catalog.put(absence("k"))
        assert await catalog.get("k") == absence("k")
        await catalog.aclose()

    asyncio.run(main())
    assert (tmp_path / "catalog.broken-1" / "cache.db").exists()
    assert "catalog.broken-1" in lost[0]


def _written(folder: Path, count: int) -> None:
    async def main() -> None:
        catalog = DiskCatalog(folder)
        for number in range(count):
            await catalog.put(absence(f"key {number}"))
        await catalog.aclose()

    asyncio.run(main())


def _spoil(path: Path) -> None:
    """Overwrite pages in the middle of the file."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 8192)


def test_damage_costs_the_values_in_it_and_no_others(tmp_path: Path) -> None:
    folder, lost = tmp_path / "catalog", list[str]()
    _written(folder, 3000)
    _spoil(folder / "cache.db")

    async def found(catalog: DiskCatalog) -> int:
        count = 0
        for number in range(3000):
            with contextlib.suppress(StorageError):
                count += await catalog.get(f"key {number}") is not None
        return count

    async def main() -> None:
        catalog = DiskCatalog(folder)
        assert not await catalog.is_sound()
        await catalog.aclose()
        sibling = DiskCatalog(folder, on_loss=lost.append, alone=False)
        await sibling.aclose()
        assert lost == [], "what others use is not moved away from under them"
        catalog = DiskCatalog(folder, on_loss=lost.append)
        assert await catalog.is_sound()
        assert 2500 < await found(catalog) == await catalog.count() < 3000
        await catalog.put(absence("new"))
        await catalog.aclose()

    asyncio.run(main())
    assert "values were saved" in lost[0]
    assert (tmp_path / "catalog.broken-1" / "cache.db").exists()


def test_damage_met_while_it_is_used_is_mended_at_the_next_start(tmp_path: Path) -> None:
    folder, lost = tmp_path / "catalog", list[str]()
    _written(folder, 3000)

    async def main() -> None:
        catalog = DiskCatalog(folder)
        _spoil(folder / "cache.db")
        failures = 0
        for number in range(3000):
            try:
                await catalog.get(f"key {number}")
            except StorageError:
                failures += 1
        assert failures > 0
        with contextlib.suppress(StorageError):
            await catalog.aclose()
        catalog = DiskCatalog(folder, on_loss=lost.append)
        assert await catalog.is_sound()
        await catalog.aclose()

    asyncio.run(main())
    assert len(lost) == 1


def test_a_file_that_cannot_be_opened_now_is_not_given_up(tmp_path: Path) -> None:
    folder, lost = tmp_path / "catalog", list[str]()
    (folder / "cache.db").mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot be opened"):
        DiskCatalog(folder, on_loss=lost.append)
    assert (folder / "cache.db").is_dir()
    assert lost == []


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        DiskCatalog(tmp_path / "file")


def test_nobody_has_the_lock_for_longer_than_one_statement(tmp_path: Path) -> None:
    """A process that has to wait for the processor between two statements has no lock then."""
    ran: list[str] = []
    connection = writing(_made(tmp_path / "catalog"))
    connection.set_trace_callback(ran.append)
    put_in(connection, "one", encoded(absence("one")))
    delete_in(connection, ["one", "two"])
    connection.close()
    # What triggers do is shown as the statement once more; a transaction would show its BEGIN.
    assert list(dict.fromkeys(line.split()[0] for line in ran)) == ["INSERT", "DELETE"]


def _made(folder: Path) -> Path:
    asyncio.run(DiskCatalog(folder).aclose())
    return folder


def test_it_leaves_no_descriptor_when_closed(tmp_path: Path) -> None:
    def held() -> list[str]:
        found = []
        for link in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(str(link.readlink()))
        return [path for path in found if path.startswith(str(tmp_path))]

    async def main() -> None:
        catalog = DiskCatalog(tmp_path / "catalog")
        await catalog.put(absence("k"))
        await catalog.get("k")
        await catalog.keys()
        assert held()
        await catalog.aclose()
        assert held() == []

    asyncio.run(main())


def test_workers_that_start_together_mend_a_damaged_file_once(tmp_path: Path) -> None:
    folders = [tmp_path / f"catalog-{number}" for number in range(20)]
    for folder in folders:
        folder.mkdir()
        (folder / "cache.db").write_bytes(b"this is no database " * 1000)
    text = (
        "import asyncio, pathlib, sys\n"
        "from proxy.storage.catalog import DiskCatalog\n"
        "async def main():\n"
        "    for name in sys.argv[1:]:\n"
        "        await DiskCatalog(pathlib.Path(name), on_loss=print).aclose()\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "asyncio.run(main())\n"
    )
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", text, *map(str, folders)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(3)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        lost = "".join(worker.communicate()[0] for worker in workers)
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert lost.count("was damaged") == len(folders)
    assert len(list(tmp_path.glob("*.broken-1"))) == len(folders)
    assert not list(tmp_path.glob("*.broken-2"))


def test_as_many_values_are_kept_in_memory_as_were_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        catalog = DiskCatalog(tmp_path, in_memory=2)
        some = [Absence(key=f"c {n}", checked_at=1.0, fresh_for=1.0) for n in range(3)]
        for one in some:
            await catalog.put(one)
        assert [catalog.peek(one.key) for one in some] == [None, *some[1:]]
        assert await catalog.get(some[0].key) == some[0]
        await catalog.aclose()

    asyncio.run(main())
