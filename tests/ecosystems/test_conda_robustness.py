"""Whatever upstream sends, it is an index or a `BadIndex`: nothing else is raised."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.blocks import opened
from proxy.core.policy import Names
from proxy.core.rows import Row, decode_row
from proxy.ecosystems.base import Body
from proxy.ecosystems.conda.text import RATIO, SMALL, plain_text
from proxy.errors import BadIndex
from tests.ecosystems.conda_channels import (
    CONDA,
    CONTEXT,
    URL,
    body_of,
    channel,
    index_of,
    packed,
    real_indexes,
    record,
    render,
    unpacked,
)
from tests.ecosystems.policies import deny, policy

_PATHS = st.sampled_from(
    [
        "linux-64/repodata.json",
        "label/dev/noarch/repodata.json",
        "noarch/current_repodata.json",
        "noarch/run_exports.json",
        "channeldata.json",
    ]
)
_URLS = st.sampled_from([URL, "https://***/", "", "https://[x/", "x", "https://c.example.org"])
_NUMBERS = (
    st.integers()
    | st.floats(allow_nan=False)
    | st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**40, 1e308])
)
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
_LINKS = st.sampled_from(
    ["", "/", "../x", "..", "//[", "https://[", "x:y", "\x00", "a\nb", "%", "é", "../" * 9]
)
_WHEEL = record("six", url="https://f.example.org/six-1-py3-none-any.whl", fn="six.whl")
_GOOD = channel(
    info={
        "subdir": "linux-64",
        "base_url": "../pool",
        "channel_relations": {"base": "../x", "overrides": "../main"},
    },
    repodata_version=2,
    removed=["zlib-0-0.conda"],
    v3={"whl": {"six-1-0": _WHEEL}, "conda": {"a-1-0": record("a")}},
)
_GOOD_JSON = json.dumps(_GOOD).encode()
_GOOD_ZST = zstandard.ZstdCompressor(write_checksum=True).compress(_GOOD_JSON)
_ALL = len(CONDA.groups(index_of()))


def _rendered(
    content: object, path: str = "linux-64/repodata.json", url: str = URL, *, frame: bool = False
) -> int:
    """Render every form; say how many groups there are of it. *frame*: the bytes are `.zst`."""
    source = f"{path}.zst" if frame else path
    body = Body(content=packed(content), source=source, media_type="", url=url)
    made = 0
    for group in CONDA.groups(index_of(path)):
        with contextlib.suppress(BadIndex):
            views = render(body, *group, path=path)
            assert views.keys() == group
            made += 1
    return made


# -- rubbish -------------------------------------------------------------------------------


@given(st.binary(), _PATHS, st.booleans(), _URLS)
def test_any_bytes(raw: bytes, path: str, frame: bool, url: str) -> None:
    _rendered(raw, path, url, frame=frame)


@given(st.text(st.sampled_from('{}[]:,"\\ue0é1-.namepckgsinfov3')), _PATHS)
def test_any_punctuation(text: str, path: str) -> None:
    _rendered(text.encode(), path)


_EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=4)), max_size=4)


@given(st.booleans(), _EDITS, _PATHS, _URLS)
def test_mutated_indexes(
    frame: bool, edits: list[tuple[float, int, bytes]], path: str, url: str
) -> None:
    raw = bytearray(_GOOD_ZST if frame else _GOOD_JSON)
    for where, cut, inserted in edits:
        at = int(where * len(raw))
        raw[at : at + cut] = inserted
    _rendered(bytes(raw), path, url, frame=frame)


_TOP = st.sampled_from([*_GOOD, "signatures", "other", ""])


@given(st.dictionaries(_TOP, _VALUES), _PATHS)
def test_wrong_types_at_the_top(changes: dict[str, Any], path: str) -> None:
    _rendered(_GOOD | changes, path)


_INFO = st.sampled_from(["subdir", "base_url", "channel_relations", "repodata_revisions", ""])


@given(st.dictionaries(_INFO, _VALUES | _LINKS), _URLS)
def test_wrong_types_in_info(changes: dict[str, Any], url: str) -> None:
    _rendered(_GOOD | {"info": _GOOD["info"] | changes}, url=url)


@given(st.dictionaries(st.text() | _LINKS, st.text() | _LINKS | st.integers() | st.none()))
def test_any_relations(relations: dict[str, Any]) -> None:
    assert _rendered(channel(info={"channel_relations": relations})) == _ALL


_FIELDS = st.sampled_from([*_WHEEL, "timestamp", "other", ""])
_TABLES = st.sampled_from(["packages", "packages.conda"])


@given(_TABLES, st.text(), st.dictionaries(_FIELDS, _VALUES | _LINKS), _URLS)
def test_wrong_types_in_a_record(
    table: str, filename: str, changes: dict[str, Any], url: str
) -> None:
    _rendered(_GOOD | {table: {filename: record() | changes}}, url=url)


@given(
    st.sampled_from(["whl", "conda", "tar.bz2", "later", ""]),
    st.text(),
    st.dictionaries(_FIELDS, _VALUES | _LINKS),
    _URLS,
)
def test_wrong_types_in_a_new_record(
    kind: str, stem: str, changes: dict[str, Any], url: str
) -> None:
    _rendered(_GOOD | {"v3": {kind: {stem: _WHEEL | changes}}}, url=url)


@given(_VALUES, st.sampled_from(["whl", "conda", "later"]))
def test_wrong_types_of_a_new_table(value: object, kind: str) -> None:
    _rendered(_GOOD | {"v3": {kind: value}})
    _rendered(_GOOD | {"v3": {kind: {"a-1-0": value}}})


@pytest.mark.parametrize("depth", [100, 1_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_deep_nesting(depth: int, opening: bytes, closing: bytes) -> None:
    deep = opening * depth + b"0" + closing * depth
    _rendered(deep)
    for place in (
        b'{"packages":{"a-1-0.conda":{"name":"a","x":%b}}}',
        b'{"info":{"base_url":"x","x":%b}}',
        b'{"v3":{"whl":{"a":{"name":"a","url":"/a.whl","x":%b}}}}',
        b'{"packages":{"a":%b}}',
        b'{"removed":%b}',
        b'{"x":%b}',
    ):
        _rendered(place % deep)


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfe{}",
        b'{"\xff":1}',
        b'{"info":{"subdir":"\xff","base_url":"x"}}',
        b'{"packages":{"\xff":{"name":"a"}}}',
        b'{"packages":{"a-1-0.conda":{"name":"\xff"}}}',
        b'{"packages":{"a-1-0.conda":{"name":"a","x":"\xff"}}}',
        b'{"packages":{"a-1-0.conda":{"name":"a","\\ud800":"\\udfff"}}}',
        b'{"packages":{"\\ud800":{"name":"\\ud800"}}}',
        b'{"removed":["\xff"]}',
        b'{"v3":{"\xff":{}}}',
        b'{"v3":{"whl":{"\xff":{"name":"a","url":"\xff.whl"}}}}',
    ],
)
def test_what_is_not_utf_8(raw: bytes) -> None:
    assert _rendered(raw) < _ALL


def test_of_a_key_that_is_there_twice_the_later_counts() -> None:
    raw = b"""{"packages": {"a-1-0.tar.bz2": {"name": "a"}}, "packages": {
        "b-1-0.tar.bz2": {"name": "x", "size": 1, "name": "y", "size": 2},
        "b-1-0.tar.bz2": {"name": "z", "name": "b", "size": 3, "size": 4}}}"""
    made = render(body_of(raw), "zst", "rows") | render(body_of(raw), "shards", "shardpack")
    table = opened(made["rows"])
    assert list(table.keys()) == ["b-1-0.tar.bz2"]
    assert decode_row(table.get("b-1-0.tar.bz2") or b"").size == 4
    assert list(unpacked(made["shards"])["shards"]) == ["b"]


def test_of_a_key_that_is_there_twice_far_apart_the_later_counts() -> None:
    """In the rows, in the text, and in the shards: what the first of them says counts nowhere."""
    many = [b'"p%d-1-0.conda": {"name": "p%d"}' % (number, number) for number in range(5000)]
    twice = [b'"a-1-0.conda": {"name": "%b", "size": %d}' % one for one in ((b"bad", 1), (b"a", 2))]
    raw = b'{"packages.conda": {%b}}' % b", ".join([twice[0], *many, twice[1]])
    hiding = replace(CONTEXT, policy=policy(deny(Names(("bad", "p7")))))
    made = render(body_of(raw), "json", "rows", "shards", "shardpack", context=hiding)
    table = opened(made["rows"])
    assert decode_row(table.get("a-1-0.conda") or b"") == Row(size=2)
    assert len(table) == 5001
    assert {"a", "p8"} <= unpacked(made["shards"])["shards"].keys()
    assert not {"bad", "p7"} & unpacked(made["shards"])["shards"].keys()
    shown = msgspec.json.decode(made["json"])["packages.conda"]
    assert shown["a-1-0.conda"] == {"name": "a", "size": 2}
    assert len(shown) == 5000


# -- cut short, or far too long ------------------------------------------------------------------


@given(st.integers(1, len(_GOOD_JSON) - 1), _PATHS)
def test_json_that_was_cut_short_is_never_taken(length: int, path: str) -> None:
    assert _rendered(_GOOD_JSON[:length], path) == 0


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("frames", [1, 3])
def test_a_frame_that_was_cut_short_is_never_taken(frames: int, checksum: bool) -> None:
    compress = zstandard.ZstdCompressor(write_checksum=checksum).compress
    size = -(-len(_GOOD_JSON) // frames)
    pieces = [_GOOD_JSON[at : at + size] for at in range(0, len(_GOOD_JSON), size)]
    # Ends with a frame of nothing but white space: without it the text alone seems whole.
    whole = b"".join(map(compress, [*pieces, b" \n"]))
    assert _rendered(whole, frame=True) == _ALL
    for length in range(1, len(whole)):
        cut = whole[:length]
        complete = length == len(whole) - len(compress(b" \n"))
        assert _rendered(cut, frame=True) == (_ALL if complete else 0), length


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"<html>",
        _GOOD_JSON,
        _GOOD_ZST + b"x",
        _GOOD_ZST + _GOOD_ZST,
        _GOOD_ZST[:-1] + bytes([_GOOD_ZST[-1] ^ 1]),  # its checksum
        b"\x50\x2a\x4d\x18\xff\xff\xff\x7fabc",  # a skippable frame, cut short
    ],
)
def test_what_is_no_whole_frame_of_json_is_never_taken(raw: bytes) -> None:
    assert _rendered(raw, frame=True) == 0


def test_what_is_accepted_depends_on_what_was_sent() -> None:
    bomb = zstandard.ZstdCompressor().compress(b" " * (SMALL + 1))
    body = Body(content=bomb, source="linux-64/repodata.json.zst", media_type="", url=URL)
    with pytest.raises(BadIndex, match="is longer than"):
        plain_text(index_of(), body)
    assert RATIO * len(bomb) < SMALL


def test_a_bomb_is_left_when_it_passes_the_limit() -> None:
    # 64 MiB of spaces in 6 KiB: far more than a piece of it may become.
    bomb = zstandard.ZstdCompressor().compress(b" " * (64 << 20))
    assert len(bomb) < 8192
    index = index_of()
    body = Body(content=bomb, source="linux-64/repodata.json.zst", media_type="", url=URL)
    with pytest.raises(BadIndex, match=r"linux-64/repodata\.json is longer than 65536 bytes"):
        plain_text(index, body, largest=1 << 16)
    good = Body(content=_GOOD_ZST, source=body.source, media_type="", url=URL)
    assert bytes(plain_text(index, good, largest=len(_GOOD_JSON))) == _GOOD_JSON
    with pytest.raises(BadIndex):
        plain_text(index, good, largest=len(_GOOD_JSON) - 1)


def test_an_error_says_which_index_and_what_is_wrong() -> None:
    for raw, message in (
        (b"<html>", r"linux-64/repodata\.json is not a JSON object"),
        (b'{"info":[]}', r"linux-64/repodata\.json, info is not a JSON object"),
        (b'{"info":{"base_url":7}}', r"linux-64/repodata\.json: info\.base_url is not a text"),
        (b'{"packages":[]}', r"linux-64/repodata\.json, packages"),
        (b'{"packages":{"a":{"name":7}}}', r"linux-64/repodata\.json, packages.*name"),
    ):
        for group in (("zst", "rows"), ("shards", "shardpack")):
            with pytest.raises(BadIndex, match=message):
                render(body_of(raw), *group)


# -- our own output --------------------------------------------------------------------------------


def _again(raw: bytes, url: str) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """All forms of an index, and those of the same index as a proxy behind us gets it."""
    groups = CONDA.groups(index_of())
    first: dict[str, bytes] = {}
    second: dict[str, bytes] = {}
    for group in groups:
        first |= render(body_of(raw, url=url), *group, context=CONTEXT)
    for group in groups:
        second |= render(body_of(first["json"], url=url), *group, context=CONTEXT)
    return first, second


@given(st.dictionaries(st.sampled_from(["signatures", "other", "removed"]), st.just([])))
def test_our_own_output_is_left_as_it_is(more: dict[str, Any]) -> None:
    for upstream in (_GOOD | more, channel() | more, {} | more):
        first, second = _again(json.dumps(upstream).encode(), URL)
        for form in ("json", "zst", "shards", "shardpack"):
            assert first[form] == second[form]
        assert list(opened(first["rows"]).keys()) == list(opened(second["rows"]).keys())


def test_our_own_output_of_real_indexes_is_left_as_it_is() -> None:
    for name, raw in real_indexes():
        first, second = _again(raw, URL)
        elsewhere = b'"base_url"' in raw or b'"whl"' in raw
        for form in first.keys() - ({"rows"} if elsewhere else set()):
            assert first[form] == second[form], (name, form)
