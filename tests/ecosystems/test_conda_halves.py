"""An index read by two processes gives the same bytes as one that is read by one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.policy import Policy
from proxy.core.rows import Table
from proxy.ecosystems.base import Aside, Body, Claim, Context, Work
from tests.ecosystems.conda_channels import (
    CONTEXT,
    body_of,
    channel,
    entries,
    real_indexes,
    record,
    render,
)
from tests.ecosystems.policies import MOMENT, random_policies

FORMS = ("zst", "rows", "shards", "shardpack")

_names = st.sampled_from(["a", "a-b", "b", "zlib", "é"])
_stems = st.builds(
    "{}-{}-{}".format, _names, st.sampled_from(["1", "1.0", "2", "10"]), st.integers(0, 9)
)


def _records() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda name, build, more: record(name, build=build, **more),
        _names,
        st.sampled_from(["h1_0", "py_1"]),
        st.fixed_dictionaries(
            {},
            optional={
                "size": st.none() | st.integers(0, 10**9),
                "timestamp": st.none() | st.integers(0, 2 * int(MOMENT) * 1000) | st.just(1e12),
                "arch": st.sampled_from(["x86_64", None]),
                "version": st.sampled_from(["1", "2.0", 3]),
                "license": st.sampled_from(["MIT", "GPL-3.0-only", None]),
                "sha256": st.sampled_from(["AB" * 32, "a b" * 21 + "c", "short", None]),
                "depends": st.lists(
                    st.sampled_from(["a", "b >=1", 'quote"}, {', "},"]), max_size=2
                ),
                "extra": st.dictionaries(_names, st.just({"name": "inner"}), max_size=2),
            },
        ),
    )


def _tables(ending: str) -> st.SearchStrategy[dict[str, Any]]:
    tables = st.dictionaries(_stems.map(lambda stem: f"{stem}.{ending}"), _records(), max_size=20)
    ordered = tables.map(lambda table: dict(sorted(table.items())))
    return ordered | tables


def _channels() -> st.SearchStrategy[bytes]:
    indexes = st.builds(
        lambda old, new, more: channel(**{"packages": old, "packages.conda": new, **more}),
        _tables("tar.bz2"),
        _tables("conda"),
        st.sampled_from(
            [{}, {"removed": ["a-0-0.conda"]}, {"v3": {"conda": {"a-9-9": record("a")}}}]
        ),
    )
    return st.builds(
        lambda index, indent: json.dumps(index, indent=indent).encode(),
        indexes,
        st.sampled_from([None, 1]),
    )


EXPORTS = {
    "packages": {"a-1-0.tar.bz2": {"run_exports": {"weak": ["a >=1"]}}},
    "packages.conda": {
        **{f"zlib-1-{number}.conda": {"run_exports": {"strong": ["zlib"]}} for number in range(9)},
        "b-1-0.conda": {"run_exports": "odd"},
    },
}


def beside(asked: list[int], portion: float = 0.5) -> Aside:
    """Does that *portion* of the shares here; notes how long the result was."""

    def begin(work: Work, *, shares: int) -> tuple[Claim, Callable[[], memoryview | None]]:
        left = iter(range(shares))
        others = iter(range(round(portion * shares)))

        def claimed() -> bool:
            return next(others, None) is not None and next(left, None) is not None

        try:
            made = b"".join(work(claimed))
        except Exception:  # noqa: BLE001 - so does the other process
            return lambda: next(left, None) is not None, lambda: None
        asked.append(len(made))
        return lambda: next(left, None) is not None, lambda: memoryview(made)

    return begin


def failing(work: Work, *, shares: int) -> tuple[Claim, Callable[[], memoryview | None]]:
    """Another process that was killed at once."""
    left = iter(range(shares))
    return lambda: next(left, None) is not None, lambda: None


def forms(body: Body, context: Context = CONTEXT) -> dict[str, Any]:
    """What is made, but for how the row table is divided into blocks."""
    made = render(body, *FORMS, context=context)
    return {**made, "rows": entries(made)}


def test_real_indexes_are_the_same_in_halves() -> None:
    done = 0
    for _, raw in real_indexes():
        body = body_of(raw)
        asked: list[int] = []
        assert forms(replace(body, aside=beside(asked))) == forms(body)
        done += len(asked)
    assert done > 3


@settings(deadline=None)
@given(
    _channels(),
    random_policies(["a", "a*", "zlib"], ["a >=2", "b"]) | st.none(),
    st.booleans(),
    st.floats(0, 1),
)
def test_two_parts_are_the_whole(
    raw: bytes,
    policy: Policy | None,
    exporting: bool,
    portion: float,
) -> None:
    context = replace(CONTEXT, policy=policy, moment=MOMENT, seen_at=MOMENT)
    supplement = body_of(EXPORTS, path="linux-64/run_exports.json") if exporting else None
    body = replace(body_of(raw), supplement=supplement)
    alone = forms(body, context)
    for aside in (beside([], portion), failing):
        assert forms(replace(body, aside=aside), context) == alone
    # Shards of an earlier generation make no difference either, and no work for two.
    asked: list[int] = []
    later = replace(body, aside=beside(asked), earlier={"shardpack": alone["shardpack"]})
    assert forms(later, context) == alone
    assert not asked or len(raw) > 20 * len(alone["shardpack"])


def test_an_index_of_which_a_share_got_lost_is_read_again() -> None:
    def losing(work: Work, *, shares: int) -> tuple[Claim, Callable[[], memoryview | None]]:
        return beside([])(work, shares=shares - 1)

    body = _sorted_channel()
    text = bytes(body.content)
    odd = body_of(text.replace(b'"info": {', b'"info": {"odd": "\\u0061", '))
    assert odd.content != text
    for one in (body, odd):
        assert forms(replace(one, aside=losing)) == forms(one)


NAMES = [f"p{number:03}" for number in range(223)]


def _sorted_channel() -> Body:
    files = {
        f"{name}-{version}-0": record(name, build_number=version)
        for name in NAMES
        for version in range(9)
    }
    return body_of(
        channel(
            **{
                "packages": {f"{stem}.tar.bz2": one for stem, one in list(files.items())[::3]},
                "packages.conda": {f"{stem}.conda": one for stem, one in files.items()},
            }
        )
    )


@pytest.mark.parametrize("portion", [0.0, 0.1, 0.5, 1.0])
def test_a_sorted_channel_is_cut_before_one_name(portion: float) -> None:
    body = _sorted_channel()
    parts: list[Table] = []

    def begin(work: Work, *, shares: int) -> tuple[Claim, Callable[[], memoryview | None]]:
        claim, end = beside([], portion)(work, shares=shares)
        made = end()
        assert made is not None
        parts.append(Table(made))
        return claim, end

    assert forms(replace(body, aside=begin)) == forms(body)
    told = msgspec.msgpack.decode(parts[0].get("told") or b"")
    first = min((name for one in told for name in one["names"]), default="q")
    assert all(one["names"].keys() == {name for name in NAMES if name >= first} for one in told)
    read = sum(one["count"] for one in told) / len(forms(body)["rows"])
    assert portion - 0.1 < read < portion + 0.1
