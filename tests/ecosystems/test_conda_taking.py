"""What is taken over of the last generation is what would be made."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core import blocks, first_seen
from proxy.core.ages import stepped
from proxy.core.blocks import Block, Blocks, opened
from proxy.core.digest import Digest, digest_of
from proxy.core.policy import Names, OlderThan, Policy, YoungerThan
from proxy.core.rows import Row, Table, build, decode_row, encode_row
from proxy.ecosystems.base import Body, Context
from proxy.ecosystems.conda import sections
from proxy.ecosystems.conda.batches import batches
from proxy.ecosystems.conda.shards import unpacked
from tests.ecosystems.conda_channels import (
    CONDA,
    CONTEXT,
    body_of,
    channel,
    entries,
    index_of,
    real_indexes,
    record,
    render,
)
from tests.ecosystems.policies import DAY, MOMENT, deny, policy, random_policies

FORMS = ("zst", "rows", "shards", "shardpack", "batches")


@pytest.fixture(autouse=True, scope="module")
def _small_batches() -> Iterator[None]:
    """So that a small channel has several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "batches", partial(batches, size=600))
        yield


@dataclass(frozen=True)
class Generation:
    """An index, and what it is judged by."""

    body: Body
    context: Context

    def made(self, earlier: Mapping[str, bytes]) -> dict[str, bytes]:
        """Its forms, with what can be taken over of *earlier*."""
        return render(replace(self.body, earlier=earlier), *FORMS, context=self.context)

    def next(self, index: object, *, hours: int, policy: Policy | None) -> Generation:
        """The one after it, which comes and is judged *hours* later."""
        later = self.context.seen_at + 3600.0 * hours
        undated = CONDA.undated(index_of(), self.body)
        known = first_seen.read(self.body.first_seen) if self.body.first_seen else None
        table = first_seen.merged(known, undated, self.context.seen_at)
        context = replace(
            self.context,
            policy=policy,
            moment=self.context.moment + 3600.0 * hours if policy and policy.is_dated else 0.0,
            first_seen=Digest(digest_of(table)),
            seen_at=later,
        )
        return Generation(replace(body_of(index), first_seen=table), context)


def first(index: object, policy: Policy | None) -> Generation:
    """A generation before which there was none."""
    moment = stepped(MOMENT) if policy and policy.is_dated else 0.0
    return Generation(
        body_of(index), replace(CONTEXT, policy=policy, moment=moment, seen_at=MOMENT)
    )


def assert_same(made: Mapping[str, bytes], anew: Mapping[str, bytes]) -> None:
    """The same is shown. What stands for a name's records may differ: it is of the text, in which
    two that did not change may be neighbours now.
    """
    for form in ("zst", "shards"):
        assert made[form] == anew[form]
    assert entries(made) == entries(anew)
    assert _shards(made["shardpack"]) == _shards(anew["shardpack"])


def _shards(pack: bytes) -> dict[str, bytes]:
    shards = unpacked(Table(pack)).items()
    return {f"{name} {one.digest.hex()}": bytes(one.packed) for name, one in shards}


_names = st.sampled_from(["a", "a-b", "b", "zlib", "é"])
_times = st.builds(
    lambda days, more: 1000 * (int(stepped(MOMENT)) + days * 86400) + more,
    st.integers(-40, 3),
    st.sampled_from([0, 1, 999, 1000, 800_000, 1_799_500]),  # at the step, hardly after it, later
)
_records = st.builds(
    lambda name, number, more: record(name, build_number=number, **more),
    _names,
    st.integers(0, 3),
    st.fixed_dictionaries(
        {},
        optional={
            "size": st.integers(0, 3000),
            "timestamp": _times,
            "indexed_timestamp": _times,
            "depends": st.lists(st.sampled_from(["a", "b >=1", 'quote"}, {']), max_size=2),
        },
    ),
)
_stems = st.builds("{}-{}-{}".format, _names, st.sampled_from(["1", "2"]), st.integers(0, 99))
_tables = st.dictionaries(_stems, _records, max_size=30)


def _with_digest(file: str, one: dict[str, Any]) -> dict[str, Any]:
    """Two files with one digest are one to the table of first sights."""
    return one | {"sha256": digest_of(f"{file} {one['build_number']}".encode())}


@st.composite
def _histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Three generations of an index, each with a little changed."""
    tables = {ending: draw(_tables) for ending in ("tar.bz2", "conda")}
    found = []
    for _ in range(3):
        for table in tables.values():
            for stem in draw(st.lists(_stems, max_size=2)):
                table.pop(stem, None)
            table.update(draw(st.dictionaries(_stems, _records, max_size=2)))
        ordered = {
            ending: {
                f"{stem}.{ending}": _with_digest(f"{stem}.{ending}", table[stem])
                for stem in sorted(table)
            }
            for ending, table in tables.items()
        }
        found.append(channel(packages=ordered["tar.bz2"], **{"packages.conda": ordered["conda"]}))
    return found


@settings(deadline=None)
@given(
    _histories(),
    random_policies(["a", "a*", "zlib"], ["a >=2", "b"], *map(OlderThan, (DAY, 30 * DAY)))
    | st.none(),
    st.lists(st.sampled_from([0, 1, 24, 24 * 20]), min_size=2, max_size=2),
    st.sampled_from([None, 1]),
)
def test_what_is_taken_over_is_what_would_be_made(
    history: list[dict[str, Any]], rules: Policy | None, hours: list[int], indent: int | None
) -> None:
    texts = [json.dumps(index, indent=indent).encode() for index in history]
    generation = first(texts[0], rules)
    made = generation.made({})
    for text, passed in zip(texts[1:], hours, strict=True):
        generation = generation.next(text, hours=passed, policy=rules)
        made, anew = generation.made(made), generation.made({})
        assert_same(made, anew)


@settings(deadline=None)
@given(
    _histories(),
    random_policies(["a", "a*", "zlib"], ["a >=2", "b"]),
    st.sampled_from([0, 1, 24, 24 * 20]),
)
def test_what_was_made_for_the_next_moment_is_taken_over(
    history: list[dict[str, Any]], rules: Policy, hours: int
) -> None:
    texts = [json.dumps(index).encode() for index in history]
    before = first(texts[0], rules)
    generation = before.next(texts[1], hours=hours, policy=rules)
    ahead = replace(
        generation, context=replace(generation.context, moment=generation.context.moment + 3600)
    )
    later = generation.next(texts[2], hours=0, policy=rules)
    assert_same(later.made(ahead.made(before.made({}))), later.made({}))


def test_real_indexes_are_taken_over() -> None:
    rules = policy(deny(YoungerThan(30 * DAY)), deny(Names(("*a*",))))
    for _, raw in real_indexes():
        generation = first(raw, rules)
        later = generation.next(raw, hours=24, policy=rules)
        assert_same(later.made(generation.made({})), later.made({}))


# -- whether it is done ------------------------------------------------------------------

FILES = {f"p{n:03}-1-0.conda": record(f"p{n:03}", sha256=f"{n:064x}") for n in range(300)}
FORGED = encode_row(Row(size=77))


def _index(**changed: Any) -> dict[str, Any]:
    return channel(packages={}, **{"packages.conda": FILES | changed})


def _forged(made: Mapping[str, bytes], *files: str) -> dict[str, bytes]:
    """What was made, but for the rows of *files*: whoever takes them over shows it."""
    table = Blocks(made["rows"])
    runs = [[_forged_block(one, files) for one in table.run(n)] for n in range(table.runs)]
    return {**made, "rows": b"".join(blocks.build(runs))}


def _forged_block(block: Block, files: Collection[str]) -> Block:
    rows = {key: FORGED if key in files else value for key, value in Table(block.table).items()}
    return block._replace(table=b"".join(build(rows)))


def _is_taken(made: Mapping[str, bytes], file: str) -> bool:
    return opened(made["rows"]).get(file) == FORGED


def test_batches_that_did_not_change_are_not_read_again() -> None:
    generation = first(_index(), None)
    files = ("p000-1-0.conda", "p150-1-0.conda", "p299-1-0.conda")
    forged = _forged(generation.made({}), *files)
    changed = _index(**{"p150-1-0.conda": record("p150", size=5)})
    made = generation.next(changed, hours=1, policy=None).made(forged)
    assert [_is_taken(made, file) for file in files] == [True, False, True]
    assert decode_row(opened(made["rows"]).get(files[1]) or b"").size == 5


def test_a_batch_is_taken_over_of_what_was_made_ahead_unless_a_file_comes_of_age_by_then() -> None:
    rules = policy(deny(YoungerThan(30 * DAY)))
    born = 1000 * (int(MOMENT) + 1800 - 30 * 86400)
    index = _index(**{"p150-1-0.conda": record("p150", timestamp=born)})
    files = ("p000-1-0.conda", "p150-1-0.conda", "p299-1-0.conda")
    generation = first(index, rules)
    ahead = replace(generation, context=replace(generation.context, moment=MOMENT + 3600))
    forged = _forged(ahead.made({}), *files)
    later = generation.next(index, hours=0, policy=rules)
    assert [_is_taken(later.made(forged), file) for file in files] == [True, False, True]


def test_a_batch_is_read_again_when_one_of_its_files_comes_of_age() -> None:
    rules = policy(deny(YoungerThan(30 * DAY)))
    born = 1000 * (int(MOMENT) - 86400)
    index = _index(**{"p150-1-0.conda": record("p150", timestamp=born)})
    files = ("p000-1-0.conda", "p150-1-0.conda", "p299-1-0.conda")
    generation = first(index, rules)
    forged = _forged(generation.made({}), *files)
    soon = generation.next(index, hours=24 * 28, policy=rules).made(forged)
    assert [_is_taken(soon, file) for file in files] == [True, True, True]
    later = generation.next(index, hours=24 * 29 + 1, policy=rules)
    assert [_is_taken(later.made(forged), file) for file in files] == [True, False, True]
    assert decode_row(opened(later.made({})["rows"]).get(files[1]) or b"").denied is None


@pytest.mark.parametrize("milliseconds", [0, 999])
def test_a_batch_is_read_again_when_a_file_is_no_longer_just_as_old(milliseconds: int) -> None:
    rules = policy(deny(OlderThan(30 * DAY)))
    born = 1000 * (int(stepped(MOMENT)) - 30 * 86400) + milliseconds
    index = _index(**{"p150-1-0.conda": record("p150", timestamp=born)})
    generation = first(index, rules)
    later = generation.next(index, hours=1, policy=rules)
    made = later.made(generation.made({}))
    assert decode_row(entries(made)["p150-1-0.conda"]).denied is not None
    assert_same(made, later.made({}))


def test_what_is_told_of_a_date_with_a_fraction_of_a_second_is_what_the_table_has() -> None:
    rules = policy(deny(YoungerThan(30 * DAY)))
    born = 1000 * (int(stepped(MOMENT)) - 86400) + 999
    index = _index(**{"p150-1-0.conda": record("p150", timestamp=born)})
    generation = first(index, rules)
    made = generation.made({})
    later = generation.next(index, hours=1, policy=rules)
    for one in (made, later.made(made), later.made({})):
        until = decode_row(entries(one)["p150-1-0.conda"]).until
        assert until == stepped(MOMENT) + 29 * DAY


@pytest.mark.parametrize(
    "what",
    [
        "policy",
        "base_url",
        "an earlier moment",
        "no rows",
        "other rows",
        "rows of another version",
        "damaged",
        "of another version",
        "first sights are lost",
        "a file is there twice",
    ],
)
def test_nothing_is_taken_over_that_may_not_hold(what: str) -> None:
    rules = policy(deny(YoungerThan(30 * DAY)))
    generation = first(_index(), rules)
    earlier = _forged(generation.made({}), "p000-1-0.conda")
    index: object = _index()
    later = generation.next(index, hours=1, policy=rules)
    if what == "policy":
        later = generation.next(index, hours=1, policy=policy(deny(YoungerThan(31 * DAY))))
    elif what == "base_url":
        info = {"base_url": "https://elsewhere.example.org/"}
        body = body_of(_index() | {"info": info})
        later = replace(later, body=replace(body, first_seen=later.body.first_seen))
    elif what == "an earlier moment":
        later = replace(later, context=replace(later.context, moment=MOMENT - 3 * 3600))
    elif what == "no rows":
        del earlier["rows"]
    elif what == "other rows":
        rows = Blocks(earlier["rows"])
        earlier["rows"] = b"".join(blocks.build([[], rows.run(1)[:-1]]))
    elif what == "rows of another version":
        earlier["rows"] = b"".join(build(entries(earlier)))
    elif what == "damaged":
        earlier["batches"] = earlier["batches"][:-3]
    elif what == "of another version":
        notes = msgspec.msgpack.decode(earlier["batches"])
        earlier["batches"] = msgspec.msgpack.encode(notes | {"recipe": 0})
    elif what == "first sights are lost":
        table = first_seen.merged({}, [(b"x" * 16, None)], MOMENT)
        later = replace(later, body=replace(later.body, first_seen=table))
    else:
        moved = {"p000-1-0.conda": record("p000", size=5)}
        text = json.dumps(_index()).encode()
        twice = json.dumps(moved).encode()[1:-1]
        text = text.replace(b'"p299-1-0.conda"', twice + b', "p299-1-0.conda"')
        later = generation.next(text, hours=1, policy=rules)
    made = later.made(earlier)
    assert not _is_taken(made, "p000-1-0.conda")
    assert_same(made, later.made({}))


def test_of_a_file_in_two_tables_the_later_one_counts() -> None:
    generation = first(_index(), None)
    both = _index() | {"packages": {"p000-1-0.conda": record("p000", size=5)}}
    later = generation.next(both, hours=1, policy=None)
    made = later.made(generation.made({}))
    assert_same(made, later.made({}))
    assert decode_row(entries(made)["p000-1-0.conda"]).size == FILES["p000-1-0.conda"]["size"]
    assert opened(made["rows"]).get("p000-1-0.conda") == entries(made)["p000-1-0.conda"]


def test_of_what_cannot_be_told_nothing_is_noted() -> None:
    wheel = {"name": "w", "url": "w-1-py3-none-any.whl", "version": "1"}
    for odd in ({"v3": {"whl": {"w": wheel}}}, {"v3": {"later": {"w": {"name": "w"}}}}):
        assert first(channel(**odd), None).made({})["batches"] == b""
    assert first(channel(), None).made({})["batches"] != b""


def test_halves_are_noted_as_the_whole() -> None:
    def aside(work: Any, *, shares: int) -> Any:
        left = iter(range(shares // 2))
        made = memoryview(b"".join(work(lambda: next(left, None) is not None)))
        rest = iter(range(shares - shares // 2))
        return lambda: next(rest, None) is not None, lambda: made

    generation = first(_index(), policy(deny(YoungerThan(30 * DAY))))
    halved = replace(generation, body=replace(generation.body, aside=aside)).made({})
    assert_same(halved, generation.made({}))
    later = generation.next(_index(), hours=1, policy=generation.context.policy)
    files = ("p000-1-0.conda", "p299-1-0.conda")
    made = later.made(_forged(halved, *files))
    assert [_is_taken(made, file) for file in files] == [True, True]


def test_batches_that_moved_are_found_again() -> None:
    generation = first(_index(), None)
    last = "p299-1-0.conda"
    forged = _forged(generation.made({}), last)
    for gone in (("p000-1-0.conda",), tuple(FILES)[:40], tuple(FILES)[100:200]):
        files = {key: one for key, one in FILES.items() if key not in gone}
        index = channel(packages={}, **{"packages.conda": files})
        later = generation.next(index, hours=1, policy=None)
        made = later.made(forged)
        assert _is_taken(made, last)
        assert set(opened(made["rows"]).keys()) == set(files)
