"""What every store of blobs promises (`proxy.storage.ports.Blobs`), whatever it is made of."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from proxy.core.model import Digest, Expected, digest_of
from proxy.errors import IntegrityError, StorageError
from proxy.storage.disk import DiskBlobs
from proxy.storage.folder import prepared
from proxy.storage.opening import opened
from proxy.storage.ports import Blobs, Stored
from proxy.storage.read_only import MARKER

BODY, OTHER = b"a body" * 20_000, b"another"
EMPTY = Expected()
Script = Callable[[Blobs], Awaitable[None]]


@contextlib.asynccontextmanager
async def one_folder(root: Path) -> AsyncIterator[Blobs]:
    blobs = DiskBlobs(root / "cache")
    yield blobs
    await blobs.aclose()


@contextlib.asynccontextmanager
async def with_quota(root: Path) -> AsyncIterator[Blobs]:
    blobs = DiskBlobs(root / "cache", limit=10 << 20)
    yield blobs
    await blobs.aclose()


@contextlib.asynccontextmanager
async def layers(root: Path) -> AsyncIterator[Blobs]:
    for name in ("left", "right"):
        prepared(root / name)
        (root / name / MARKER).touch()
    store = opened([root / "left", root / "cache", root / "right"], spare=root / "spare")
    yield store.blobs
    await store.aclose()


@contextlib.asynccontextmanager
async def nothing_writable(root: Path) -> AsyncIterator[Blobs]:
    prepared(root / "left")
    (root / "left" / MARKER).touch()
    store = opened([root / "left"], spare=root / "spare")
    yield store.blobs
    await store.aclose()


@pytest.fixture(params=[one_folder, with_quota, layers, nothing_writable])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Script], None]:
    """Runs a script over each kind of store, and sees that nothing is left behind."""

    def run(script: Script) -> None:
        async def main() -> None:
            async with request.param(tmp_path) as blobs:
                await script(blobs)

        asyncio.run(main())
        left = [*tmp_path.glob("*/spool/*"), *tmp_path.glob("*/work/*")]
        assert left == []
        assert _held(tmp_path) == []

    return run


def _held(root: Path) -> list[Path]:
    """The files below *root* that this process holds open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(link.readlink())
    return [path for path in found if path.is_relative_to(root)]


async def put(blobs: Blobs, body: bytes, expected: Expected = EMPTY) -> Stored:
    spool = await blobs.spool(len(body))
    try:
        await spool.write([body[:100], body[100:]])
        return await spool.commit(expected)
    except BaseException:
        await spool.discard()
        raise
    finally:
        spool.close()


async def read(blobs: Blobs, digest: Digest, size: int) -> bytes | None:
    blob = await blobs.open(digest, size)
    if blob is None:
        return None
    with contextlib.closing(blob):
        assert (blob.digest, blob.size) == (digest, size)
        return os.pread(blob.fileno(), size + 1, 0)


def test_what_was_committed_is_there_under_its_digest(play: Callable[[Script], None]) -> None:
    async def script(blobs: Blobs) -> None:
        stored = await put(blobs, BODY)
        assert stored == Stored(digest=digest_of(BODY), size=len(BODY))
        assert await read(blobs, stored.digest, stored.size) == BODY
        assert blobs.path(stored.digest).read_bytes() == BODY
        assert await blobs.check(stored.digest) == stored
        blobs.used(stored.digest)

    play(script)


def test_what_is_not_there_is_none(play: Callable[[Script], None]) -> None:
    async def script(blobs: Blobs) -> None:
        assert await read(blobs, digest_of(BODY), len(BODY)) is None
        assert await blobs.check(digest_of(BODY)) is None
        assert not blobs.path(digest_of(BODY)).exists()
        assert await blobs.remove([digest_of(BODY)]) == 0
        blobs.used(digest_of(BODY))

    play(script)


@pytest.mark.parametrize(
    "expected", [Expected(size=1), Expected(hashes={"sha256": "0" * 64, "md5": "0" * 32})]
)
def test_what_is_not_as_promised_is_not_committed(
    play: Callable[[Script], None], expected: Expected
) -> None:
    async def script(blobs: Blobs) -> None:
        with pytest.raises(IntegrityError):
            await put(blobs, BODY, expected)
        assert await read(blobs, digest_of(BODY), len(BODY)) is None

    play(script)


def test_what_is_open_outlives_its_removal(play: Callable[[Script], None]) -> None:
    async def script(blobs: Blobs) -> None:
        stored = await put(blobs, BODY)
        blob = await blobs.open(stored.digest, stored.size)
        assert blob is not None
        assert await blobs.remove([stored.digest]) == len(BODY)
        assert os.pread(blob.fileno(), len(BODY), 0) == BODY
        blob.close()
        assert await read(blobs, stored.digest, stored.size) is None
        await put(blobs, BODY)
        assert await read(blobs, stored.digest, stored.size) == BODY

    play(script)


def test_what_is_damaged_is_found_and_replaced(play: Callable[[Script], None]) -> None:
    async def script(blobs: Blobs) -> None:
        stored = await put(blobs, BODY)
        blobs.path(stored.digest).write_bytes(b"?")
        assert await read(blobs, stored.digest, stored.size) is None
        await put(blobs, BODY)
        blobs.path(stored.digest).write_bytes(b"?" * len(BODY))
        assert await blobs.check(stored.digest) is None
        assert await read(blobs, stored.digest, stored.size) is None
        await put(blobs, BODY)
        assert await read(blobs, stored.digest, stored.size) == BODY

    play(script)


def test_a_file_made_in_the_workspace_is_adopted(play: Callable[[Script], None]) -> None:
    async def script(blobs: Blobs) -> None:
        made = blobs.workspace / f"{os.getpid()}-made"
        made.write_bytes(OTHER)
        stored = Stored(digest=digest_of(OTHER), size=len(OTHER))
        await blobs.adopt(made, stored)
        assert not made.exists()
        assert await read(blobs, stored.digest, stored.size) == OTHER

    play(script)


def test_a_body_that_does_not_fit_is_refused_before_it_begins(
    play: Callable[[Script], None],
) -> None:
    async def script(blobs: Blobs) -> None:
        for begin in (blobs.spool, blobs.needed):
            with pytest.raises(StorageError):
                await begin(1 << 60)

    play(script)


def test_a_body_that_is_needed_is_stored_as_any_other(play: Callable[[Script], None]) -> None:
    async def script(blobs: Blobs) -> None:
        spool = await blobs.needed(len(OTHER))
        await spool.write([OTHER])
        stored = await spool.commit(Expected(size=len(OTHER)))
        spool.close()
        assert await read(blobs, stored.digest, stored.size) == OTHER

    play(script)
