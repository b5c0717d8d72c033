"""Blobs: written aside, checked, renamed; never half, never wrong, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.model import Digest, Expected, digest_of
from proxy.errors import IntegrityError, StorageError
from proxy.storage import disk, leftovers
from proxy.storage.disk import DiskBlobs
from proxy.storage.ports import Stored
from proxy.storage.spool import SHORT
from proxy.storage.trouble import Trouble

BODY = b"a body" * 40_000
SMALL = b"small"


def play(root: Path, script: Callable[[DiskBlobs], Awaitable[None]]) -> None:
    """Run *script* over a store, and see that it left no spool and no descriptor."""

    async def main() -> None:
        blobs = DiskBlobs(root)
        await script(blobs)
        await blobs.aclose()

    asyncio.run(main())
    assert not list((root / "spool").iterdir())
    assert _descriptors(root) == []


def _descriptors(root: Path) -> list[str]:
    """The files below *root* that this process holds open."""
    held = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            held.append(str(link.readlink()))
    return [path for path in held if path.startswith(str(root))]


async def stored(blobs: DiskBlobs, *chunks: bytes, expected: Expected | None = None) -> Stored:
    spool = await blobs.spool(sum(map(len, chunks)))
    try:
        for chunk in chunks:
            await spool.write([chunk])
        return await spool.commit(Expected() if expected is None else expected)
    except BaseException:
        await spool.discard()
        raise
    finally:
        spool.close()


@given(st.lists(st.binary(max_size=90_000), max_size=4))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_written_is_what_is_read(tmp_path: Path, chunks: list[bytes]) -> None:
    body = b"".join(chunks)

    async def script(blobs: DiskBlobs) -> None:
        kept = await stored(blobs, *chunks)
        assert kept == Stored(digest=digest_of(body), size=len(body))
        blob = await blobs.open(kept.digest, kept.size)
        assert blob is not None
        assert os.pread(blob.fileno(), len(body) + 1, 0) == body
        assert blobs.path(kept.digest).read_bytes() == body
        blob.close()

    play(tmp_path, script)


def test_a_spool_is_read_while_it_grows_and_after_it_is_renamed_or_gone(tmp_path: Path) -> None:
    async def script(blobs: DiskBlobs) -> None:
        for end in ("commit", "discard"):
            spool = await blobs.spool()
            await spool.write([SMALL])
            assert os.pread(spool.fileno(), 9, 0) == SMALL
            await (spool.commit(Expected()) if end == "commit" else spool.discard())
            assert os.pread(spool.fileno(), 9, 0) == SMALL
            spool.close()

    play(tmp_path, script)


@pytest.mark.parametrize("algorithm", ["sha256", "md5", "sha512", "blake2b"])
@pytest.mark.parametrize("right", [True, False])
def test_a_promised_digest_is_checked(tmp_path: Path, algorithm: str, right: bool) -> None:
    promised = hashlib.new(algorithm, BODY).hexdigest()
    expected = Expected(hashes={algorithm: promised if right else "0" * len(promised)})

    async def script(blobs: DiskBlobs) -> None:
        if right:
            await stored(blobs, BODY, expected=expected)
            return
        with pytest.raises(IntegrityError, match=algorithm):
            await stored(blobs, BODY, expected=expected)
        assert await blobs.open(digest_of(BODY), len(BODY)) is None

    play(tmp_path, script)


@pytest.mark.parametrize("size", [len(BODY) - 1, len(BODY) + 1, 0])
def test_a_promised_size_is_checked(tmp_path: Path, size: int) -> None:
    async def script(blobs: DiskBlobs) -> None:
        with pytest.raises(IntegrityError, match=str(size)):
            await stored(blobs, BODY, expected=Expected(size=size))

    play(tmp_path, script)


def test_the_same_content_is_kept_once(tmp_path: Path) -> None:
    async def script(blobs: DiskBlobs) -> None:
        assert len({kept.digest for kept in [await stored(blobs, BODY) for _ in range(3)]}) == 1
        together = await asyncio.gather(*(stored(blobs, SMALL, BODY) for _ in range(5)))
        assert len({kept.digest for kept in together}) == 1
        assert len([path for path in (tmp_path / "sha256").rglob("*") if path.is_file()]) == 2

    play(tmp_path, script)


def test_a_blob_of_another_length_is_damaged_and_so_absent(tmp_path: Path) -> None:
    async def script(blobs: DiskBlobs) -> None:
        kept = await stored(blobs, BODY)
        blobs.path(kept.digest).write_bytes(SMALL)
        assert await blobs.open(kept.digest, kept.size) is None
        assert not blobs.path(kept.digest).exists()

    play(tmp_path, script)


def test_a_damaged_or_old_blob_is_replaced_by_what_was_just_checked(tmp_path: Path) -> None:
    async def script(blobs: DiskBlobs) -> None:
        kept = await stored(blobs, BODY)
        path = blobs.path(kept.digest)
        path.write_bytes(b"?" * len(BODY))
        os.utime(path, (0, 0))
        reader = await blobs.open(kept.digest, kept.size)
        assert reader is not None
        await stored(blobs, BODY)
        assert path.read_bytes() == BODY
        assert path.stat().st_mtime > 0
        assert os.pread(reader.fileno(), 1, 0) == b"?"
        reader.close()

    play(tmp_path, script)


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 65, "0" * 63 + "/", "0" * 63 + "\n"]
)
def test_a_digest_that_is_none_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    async def script(blobs: DiskBlobs) -> None:
        made = tmp_path / "work" / "made"
        made.write_bytes(SMALL)
        for use in (
            blobs.open(Digest(name), 1),
            blobs.remove([Digest(name)]),
            blobs.adopt(made, Stored(digest=Digest(name), size=1)),
        ):
            with pytest.raises(StorageError, match="SHA-256"):
                await use
        assert made.exists()

    play(tmp_path, script)


def test_a_link_under_a_digest_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SMALL)

    async def script(blobs: DiskBlobs) -> None:
        digest = Digest("f" * 64)
        blobs.path(digest).parent.mkdir()
        blobs.path(digest).symlink_to(tmp_path / "secret")
        with pytest.raises(StorageError, match="cannot be opened"):
            await blobs.open(digest, len(SMALL))
        await blobs.remove([digest])
        assert await blobs.open(digest, len(SMALL)) is None

    play(tmp_path, script)
    assert (tmp_path / "secret").read_bytes() == SMALL


def test_a_body_that_does_not_fit_is_refused_before_it_begins(tmp_path: Path) -> None:
    async def script(blobs: DiskBlobs) -> None:
        with pytest.raises(StorageError, match="free"):
            await blobs.spool(1 << 60)

    play(tmp_path, script)


def test_a_disk_that_is_full_while_writing_is_our_failure_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    async def script(blobs: DiskBlobs) -> None:
        for body in (SMALL * 100, BODY):
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
            try:
                with pytest.raises(StorageError, match="store failed"):
                    await stored(blobs, body)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert blobs.reserved == 0

    play(tmp_path, script)


def test_a_short_body_has_no_file_before_it_is_whole_and_is_read_all_the_while(
    tmp_path: Path,
) -> None:
    async def script(blobs: DiskBlobs) -> None:
        spool = await blobs.spool(len(SMALL))
        await spool.write([SMALL])
        held = [Path(path).name for path in _descriptors(tmp_path)]
        assert held == ["tally"]
        assert spool.path.read_bytes() == SMALL
        kept = await spool.commit(Expected(size=len(SMALL)))
        assert os.pread(spool.fileno(), 99, 0) == SMALL
        assert blobs.path(kept.digest).read_bytes() == SMALL
        spool.close()
        assert blobs.reserved == 0

    play(tmp_path, script)


def test_a_short_body_that_cannot_be_kept_is_told_and_read_all_the_same(tmp_path: Path) -> None:
    told: list[tuple[str, bool]] = []
    trouble = Trouble(lambda what, text: told.append((what, bool(text))))

    async def main() -> None:
        blobs = DiskBlobs(tmp_path, trouble=trouble)
        spool = await blobs.spool(len(SMALL))
        await spool.write([SMALL])
        checked = await spool.check(Expected())
        home = blobs.path(checked.digest)
        home.mkdir(parents=True)  # no file can take its name
        with pytest.raises(StorageError, match="store failed"):
            await spool.place(checked)
        assert told == [("bodies", True)]
        assert not list((tmp_path / "spool").iterdir())
        assert os.pread(spool.fileno(), 99, 0) == SMALL
        await spool.discard()
        spool.close()
        assert blobs.reserved == 0
        await blobs.aclose()

    asyncio.run(main())


def test_a_body_that_was_announced_as_short_and_goes_on_is_given_up(tmp_path: Path) -> None:
    async def script(blobs: DiskBlobs) -> None:
        spool = await blobs.spool(1)
        await spool.write([BODY[:SHORT]])
        with pytest.raises(IntegrityError, match="more than"):
            await spool.write([SMALL])
        await spool.discard()
        spool.close()

    play(tmp_path, script)


def test_that_bodies_cannot_be_written_is_told_once_and_when_it_is_over(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    told: list[tuple[str, bool]] = []
    trouble = Trouble(lambda what, text: told.append((what, bool(text))))

    async def main() -> None:
        blobs = DiskBlobs(tmp_path, trouble=trouble)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(SMALL), hard))
        try:
            for _ in range(3):
                with pytest.raises(StorageError, match="store failed"):
                    await stored(blobs, BODY)
            assert told == [("bodies", True)]
            await stored(blobs, b"", SMALL)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await stored(blobs, BODY)
        assert told == [("bodies", True), ("bodies", False)]
        await blobs.aclose()

    asyncio.run(main())


def test_two_bodies_cannot_claim_the_same_space(tmp_path: Path) -> None:
    found = os.statvfs(tmp_path)
    most = int(found.f_bavail * found.f_frsize * 0.6)

    async def script(blobs: DiskBlobs) -> None:
        first = await blobs.spool(most)
        with pytest.raises(StorageError):
            await blobs.spool(most)
        await first.discard()
        first.close()
        again = await blobs.spool(most)
        await again.discard()
        again.close()

    play(tmp_path, script)


def test_space_that_is_written_is_not_counted_twice(tmp_path: Path) -> None:
    async def script(blobs: DiskBlobs) -> None:
        spool = await blobs.spool(len(BODY))
        await spool.write([BODY])
        assert blobs.reserved == 0
        await spool.discard()
        spool.close()
        assert blobs.reserved == 0

    play(tmp_path, script)


class _Stalled(list[bytes]):
    """Chunks of which the last is given to a writing thread only when `go` is set."""

    def __init__(self, chunks: list[bytes]) -> None:
        super().__init__(chunks)
        self.begun, self.go = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        yield from self[:-1]
        if threading.current_thread() is not threading.main_thread():
            self.begun.set()
            assert self.go.wait(10)
        yield self[-1]


def test_a_writer_that_is_cancelled_midway_holds_its_descriptor_until_its_thread_is_done(
    tmp_path: Path,
) -> None:
    async def script(blobs: DiskBlobs) -> None:
        spool, chunks = await blobs.spool(1 << 20), _Stalled([BODY, SMALL])
        writing = asyncio.create_task(spool.write(chunks))
        await asyncio.to_thread(chunks.begun.wait, 10)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await spool.discard()
        spool.close()
        assert os.fstat(spool.fileno()).st_size == len(BODY)
        chunks.go.set()
        await blobs.aclose()
        assert spool.fileno() < 0
        assert blobs.reserved == 0

    play(tmp_path, script)


@given(st.lists(st.sampled_from(["write", "commit", "discard", "close"]), max_size=6))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_reserved_is_given_back_once_however_it_ends(
    tmp_path: Path, steps: list[str]
) -> None:
    async def script(blobs: DiskBlobs) -> None:
        other = await blobs.spool(1000)
        spool = await blobs.spool(12)
        written = 0
        for step in [*steps, "discard", "close"]:
            with contextlib.suppress(StorageError):
                match step:
                    case "write":
                        await spool.write([SMALL])
                        written += 1
                    case "commit":
                        await spool.commit(Expected())
                    case "discard":
                        await spool.discard()
                    case _:
                        spool.close()
            assert 1000 <= blobs.reserved <= 1012
        assert blobs.reserved == 1000
        await other.discard()
        other.close()
        assert blobs.reserved == 0

    play(tmp_path, script)


def test_spools_may_begin_while_another_process_collects_leftovers(tmp_path: Path) -> None:
    text = (
        "import pathlib, sys\n"
        "from proxy.storage.disk import DiskBlobs\n"
        "blobs = DiskBlobs(pathlib.Path(sys.argv[1]))\n"
        "print('ready', flush=True)\n"
        "while True: blobs.collect_leftovers()\n"
    )

    async def script(blobs: DiskBlobs) -> None:
        for number in range(1500):
            spool = await blobs.spool()
            assert spool.path.exists(), number
            await spool.discard()
            spool.close()

    with subprocess.Popen(
        [sys.executable, "-c", text, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            play(tmp_path, script)
        finally:
            child.kill()


def test_an_old_file_of_the_workspace_is_nobodys_even_where_its_makers_number_lives(
    tmp_path: Path,
) -> None:
    async def script(blobs: DiskBlobs) -> None:
        for name in ("old", "new"):
            (blobs.workspace / f"{os.getpid()}-{name}").write_bytes(SMALL)
        (blobs.workspace / "0-dead").write_bytes(SMALL)
        os.utime(blobs.workspace / f"{os.getpid()}-old", (0, 0))
        assert blobs.collect_leftovers() == 2
        assert [path.name for path in blobs.workspace.iterdir()] == [f"{os.getpid()}-new"]

    play(tmp_path, script)
    assert leftovers.WORK > 60


def test_leftovers_of_the_dead_are_collected_and_work_of_the_living_is_not(tmp_path: Path) -> None:
    text = (
        "import asyncio, os, pathlib, sys, signal\n"
        "from proxy.storage.disk import DiskBlobs\n"
        "async def main():\n"
        "    blobs = DiskBlobs(pathlib.Path(sys.argv[1]))\n"
        "    spool = await blobs.spool(); await spool.write([b'half'])\n"
        "    (blobs.workspace / f'{os.getpid()}-x').write_bytes(b'half')\n"
        "    print('ready', flush=True); signal.pause()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        blobs = DiskBlobs(tmp_path)
        assert blobs.collect_leftovers() == 0
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but still in the table
        assert blobs.collect_leftovers() == 2
        asyncio.run(blobs.aclose())
    assert not list((tmp_path / "spool").iterdir())


def test_a_file_made_ahead_has_no_name_until_it_is_a_body(tmp_path: Path) -> None:
    ahead = leftovers.Ahead(tmp_path)
    ahead.make()
    assert _descriptors(tmp_path)
    assert not list(tmp_path.iterdir())
    path, descriptor = ahead.take()
    os.write(descriptor, SMALL)
    assert path.read_bytes() == SMALL
    assert leftovers.collect(tmp_path, tmp_path) == 0  # it is locked, and its maker lives
    other, another = ahead.take()  # none was made ahead
    assert other != path
    for one in (descriptor, another):
        os.close(one)
    ahead.make()
    ahead.close()
    ahead.make()  # to no avail
    assert _descriptors(tmp_path) == []


def test_where_no_file_can_be_made_ahead_it_is_made_when_it_is_wanted(tmp_path: Path) -> None:
    missing = tmp_path / "later"
    ahead = leftovers.Ahead(missing)
    ahead.make()
    missing.mkdir()
    path, descriptor = ahead.take()
    os.close(descriptor)
    assert path.parent == missing


def test_a_store_of_another_format_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "FORMAT").write_text("99\n")
    with pytest.raises(StorageError, match=r"99.*cache\.path"):
        DiskBlobs(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["FORMAT"]


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be used"):
        DiskBlobs(tmp_path / "file")


def test_removing_tells_what_it_freed(tmp_path: Path) -> None:
    async def script(blobs: DiskBlobs) -> None:
        kept = await stored(blobs, BODY)
        assert await blobs.remove([kept.digest, Digest("0" * 64)]) == len(BODY)
        assert await blobs.open(kept.digest, kept.size) is None

    play(tmp_path, script)


def test_the_margin_leaves_a_small_file_system_usable() -> None:
    assert disk.margin(1 << 20) < 1 << 20
    assert disk.margin(1 << 50) == disk.MARGIN
