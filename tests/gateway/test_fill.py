"""A fill has one writer and many readers; each sees the whole truth, and nothing wrong whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.model import Expected, digest_of
from proxy.errors import Abandoned, IntegrityError, StorageError, UpstreamFailed
from proxy.gateway.fill import FIRST, HELD_BACK, Fill, Landed, State
from proxy.storage.disk import DiskBlobs
from proxy.storage.ports import Spool, Stored


async def pieces(*parts: bytes, end: BaseException | None = None) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(0)
    if end is not None:
        raise end


async def read(fill: Fill, start: int = 0, delay: int = 0) -> bytes:
    for _ in range(delay):
        await asyncio.sleep(0)
    found, offset = b"", start
    with fill.reader():
        while (end := await fill.wait_past(offset)) > offset:
            found += os.pread(fill.fileno(), end - offset, offset)
            offset = end
    return found


@given(
    parts=st.lists(st.integers(1, FIRST * 2), max_size=5),
    readers=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12)), max_size=5),
    announced=st.booleans(),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_reader_gets_the_body_from_where_it_starts(
    tmp_path: Path, parts: list[int], readers: list[tuple[float, int]], announced: bool
) -> None:
    chunks = [bytes([number + 1]) * size for number, size in enumerate(parts)]
    body = b"".join(chunks)

    async def main() -> None:
        blobs = DiskBlobs(tmp_path)
        length = len(body) if announced else None
        fill = Fill(await blobs.spool(length), expected=Expected(size=length), length=length)
        starts = [int(where * len(body)) for where, _ in readers]
        reading = [
            asyncio.create_task(read(fill, start, delay))
            for start, (_, delay) in zip(starts, readers, strict=True)
        ]
        with fill.reader():
            stored = await fill.run(pieces(*chunks))
            assert await asyncio.gather(*reading) == [body[start:] for start in starts]
        assert stored.digest == digest_of(body)
        await blobs.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", [1, HELD_BACK, HELD_BACK + 1, 5 * HELD_BACK])
def test_a_wrong_body_is_never_released_to_its_end(
    tmp_path: Path, size: int, announced: bool
) -> None:
    async def main() -> None:
        blobs = DiskBlobs(tmp_path)
        expected = Expected(hashes={"sha256": digest_of(b"something else")})
        length = size if announced else None
        fill = Fill(await blobs.spool(length), expected=expected, length=length)
        with pytest.raises(IntegrityError):
            await fill.run(pieces(b"x" * size))
        assert fill.state is State.FAILED
        assert fill.released <= max(0, size - HELD_BACK)
        assert not list((tmp_path / "spool").iterdir())
        await blobs.aclose()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("raised", "seen"),
    [(UpstreamFailed("reset"), UpstreamFailed), (asyncio.CancelledError(), Abandoned)],
)
def test_readers_get_what_was_released_and_then_the_failure(
    tmp_path: Path, raised: BaseException, seen: type[Exception]
) -> None:
    async def main() -> None:
        blobs = DiskBlobs(tmp_path)
        fill = Fill(await blobs.spool(), expected=Expected(), length=10 * HELD_BACK)
        with fill.reader():
            with pytest.raises(type(raised)):
                await fill.run(pieces(b"a" * HELD_BACK, b"b" * HELD_BACK, end=raised))
            assert await fill.wait_past(0) == 2 * HELD_BACK
            with pytest.raises(seen):
                await fill.wait_past(2 * HELD_BACK)
        await blobs.aclose()

    asyncio.run(main())


def test_the_last_reader_closes_the_file_and_late_ones_are_sent_to_the_catalog(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        blobs = DiskBlobs(tmp_path)
        fill = Fill(await blobs.spool(4), expected=Expected(), length=4)
        with fill.reader():
            await fill.run(pieces(b"body"))
            with fill.reader():
                assert fill.fileno() >= 0
            os.fstat(fill.fileno())
        assert fill.fileno() < 0  # closed: its number may be another file's by now
        with pytest.raises(Landed), fill.reader():
            pass
        await blobs.aclose()

    asyncio.run(main())


class _Unnamed:
    """A spool that is told to be put in its place, and is not."""

    def __init__(self, spool: Spool, told: list[bytes | str]) -> None:
        self._told = told
        self.path, self.write, self.check = spool.path, spool.write, spool.check
        self.commit, self.discard = spool.commit, spool.discard
        self.fileno, self.close = spool.fileno, spool.close

    async def place(self, checked: Stored) -> None:
        self._told.append("placed")
        raise StorageError("the store failed: it is only read")


@pytest.mark.parametrize("length", [4, None])
def test_readers_have_the_end_before_it_is_stored_and_though_it_cannot_be(
    tmp_path: Path, length: int | None
) -> None:
    async def main() -> None:
        blobs = DiskBlobs(tmp_path)
        told: list[bytes | str] = []
        spool = _Unnamed(await blobs.spool(4), told)
        fill = Fill(spool, expected=Expected(), length=length)

        async def reading() -> None:
            told.append(await read(fill))

        reader = asyncio.create_task(reading())
        with pytest.raises(StorageError):
            await fill.run(pieces(b"body"))
        assert told == [b"body", "placed"]
        assert fill.state is State.DONE
        assert not list((tmp_path / "spool").iterdir())
        await reader
        await blobs.aclose()

    asyncio.run(main())
