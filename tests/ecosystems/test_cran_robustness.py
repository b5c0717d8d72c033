"""Whatever upstream sends, it is an index or a `BadIndex`, and soon: nothing else is raised."""

from __future__ import annotations

import contextlib
import gzip
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.ecosystems.base import Body
from proxy.ecosystems.cran import dcf, paths, rds_reader
from proxy.errors import BadIndex
from tests.ecosystems.cran_repositories import (
    ARCHIVE,
    CONTEXT,
    CRAN,
    PACKAGES,
    Made,
    body_of,
    index_of,
)
from tests.ecosystems.policies import MOMENT, random_policies
from tests.ecosystems.test_cran_policy import TEXT
from tests.lab.cran import RPackage, archive_rds, listing

PAGE = "src/contrib/Archive/tool/"
OLD = [RPackage(name="tool", version=f"{number}.0") for number in range(3)]
GOOD = {PACKAGES: TEXT, ARCHIVE: archive_rds(OLD), PAGE: listing(OLD)}
_PATHS = st.sampled_from(sorted(GOOD))
_POLICIES = st.none() | random_policies(["tool", "odd"], ["tool (< 2)"])


def _tried(content: bytes, path: str, policy: object = None) -> None:
    """Ask for all that can be asked of an index."""
    context = type(CONTEXT)(mirror=CONTEXT.mirror, policy=policy, moment=MOMENT)  # type: ignore[arg-type]
    index, body = index_of(path), body_of(content)
    with contextlib.suppress(BadIndex):
        Made(content, context, path)
    with contextlib.suppress(BadIndex):
        list(CRAN.judged(index, body, context))
    with contextlib.suppress(BadIndex):
        list(CRAN.undated(index, body))
    if path == PACKAGES:
        with contextlib.suppress(BadIndex):
            CRAN.closed(index, [(index, body)], [("tool",)])


@given(st.binary(), _PATHS)
def test_any_bytes(raw: bytes, path: str) -> None:
    _tried(raw, path)
    _tried(gzip.compress(raw), path)


@given(st.text(st.sampled_from("Package:Version \t\n\r\0._-1/<>=\"'&;#%()|ahrefé")), _PATHS)
def test_any_punctuation(text: str, path: str) -> None:
    _tried(text.encode(), path)


_EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=4)), max_size=4)


@given(_PATHS, st.booleans(), _EDITS, _POLICIES)
def test_changed_indexes(
    path: str, inside: bool, edits: list[tuple[float, int, bytes]], policy: object
) -> None:
    packed = path == ARCHIVE
    raw = bytearray(gzip.decompress(GOOD[path]) if packed and inside else GOOD[path])
    for where, cut, inserted in edits:
        at = int(where * len(raw))
        raw[at : at + cut] = inserted
    _tried(gzip.compress(raw) if packed and inside else bytes(raw), path, policy)


@given(
    st.lists(st.integers(-(2**31), 2**31 - 1) | st.sampled_from([16, 19, 254, 1, 2]), max_size=30)
)
def test_any_words_of_r_s_data(words: list[int]) -> None:
    head = gzip.decompress(GOOD[ARCHIVE])[:14]
    with contextlib.suppress(BadIndex):
        rds_reader.read(head + b"".join(word.to_bytes(4, "big", signed=True) for word in words))


@given(st.text(max_size=40))
def test_any_name_is_that_of_a_package_or_not(text: str) -> None:
    found = paths.package(text)
    assert found is None or text.startswith(f"{found[0]}_{found[1]}")


MANY = 200_000
LONG = {
    "lines without fields": b"x\n" * MANY,
    "one long name": b"a" * MANY,
    "one long value": b"a:" + b" " * MANY,
    "blank continuations": b"a: b\n" + b" \n" * MANY,
    "continuations": b"a: b\n" + b" c\n" * MANY,
    "blanks and ends": b" \t\r\n" * MANY,
    "returns": b"a: b\n" + b"\r" * MANY,
    "fields": b"".join(b"f%d: x\n" % number for number in range(MANY // 4)),
    "colons": b":" * MANY,
    "brackets": b'<a href="' * (MANY // 8),
    "anchors": b"<a " * MANY,
    "nested data": b"X\n\0\0\0\2\0\3\5\0\0\2\3\0" + b"\0\0\0\x13\0\0\0\1" * MANY,
}


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("path", GOOD)
def test_the_time_taken_grows_with_the_length_alone(name: str, path: str) -> None:
    started = time.process_time()
    with contextlib.suppress(BadIndex):
        Made(LONG[name], path=path)
    assert time.process_time() - started < 5  # seconds; anything quadratic takes minutes


def test_records_of_a_view_of_memory_are_records() -> None:
    body = Body(content=memoryview(TEXT), source="", media_type="", url="")
    assert Made(body).text == TEXT
    assert len(list(dcf.records(TEXT))) == 5
