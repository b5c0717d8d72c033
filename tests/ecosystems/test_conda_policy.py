"""A channel under a policy: every view shows what the gate lets through, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core import first_seen
from proxy.core.advisories import Advisories, Advisory, Range
from proxy.core.blocks import opened
from proxy.core.policy import (
    Builds,
    Condition,
    Kinds,
    LargerThan,
    Licences,
    Names,
    Not,
    OlderThan,
    Platforms,
    Policy,
    Specs,
    Vulnerable,
    YoungerThan,
)
from proxy.core.rows import Table, decode_row
from proxy.ecosystems.base import Body, Context
from tests.ecosystems.conda_channels import (
    CONDA,
    CONTEXT,
    body_of,
    channel,
    index_of,
    real_indexes,
    record,
    render,
    shards_of,
    unpacked,
)
from tests.ecosystems.policies import DAY, MOMENT, allow, deny, policy, random_policies, under

MS = 1000


def hidden_by(condition: Condition, content: object, **body: Any) -> set[str]:
    """The files that a rule refusing *condition* hides."""
    made = views(content, under(CONTEXT, deny(condition)), **body)
    return {name for name, denied in made.gate.items() if denied is not None}


class views:  # noqa: N801 - reads as a function: views(content, context).gate
    """All views of one index."""

    def __init__(self, content: object, context: Context, **body: Any) -> None:
        upstream = replace(body_of(content), **body)
        self.body = upstream
        self.main = render(upstream, "zst", "rows", context=context)
        self.text = render(upstream, "json", context=context)["json"]
        self.json = json.loads(self.text)
        self.shards = render(upstream, "shards", "shardpack", context=context)
        self.gate: Mapping[str, tuple[str, str] | None] = {
            key: decode_row(value).denied for key, value in opened(self.main["rows"]).items()
        }

    @property
    def listed(self) -> set[str]:
        tables = [self.json.get(name, {}) for name in ("packages", "packages.conda")]
        return {name for table in tables for name in table}

    @property
    def sharded(self) -> set[str]:
        contents = unpacked(self.shards["shards"])
        pack = Table(self.shards["shardpack"])
        found: set[str] = set()
        for digest in contents["shards"].values():
            found |= set(CONDA.listed(pack.get(digest.hex()) or b""))
        return found


VERSIONS = channel(
    **{
        "packages": {},
        "packages.conda": {
            "a-1.0-0.conda": record("a", version="1.0", size=10, build="py_0"),
            "a-2.0-0.conda": record("a", version="2.0", size=20, build="cuda_0"),
            "b-1.0-0.conda": record("b", version="1.0", size=None),
        },
    }
)


@pytest.mark.parametrize(
    ("condition", "hidden"),
    [
        (Names(("a",)), {"a-1.0-0.conda", "a-2.0-0.conda"}),
        (Names(("A",)), {"a-1.0-0.conda", "a-2.0-0.conda"}),
        (Names(("?",)), {"a-1.0-0.conda", "a-2.0-0.conda", "b-1.0-0.conda"}),
        (Names(("c*",)), set()),
        (Specs(("a >=2",)), {"a-2.0-0.conda"}),
        (Specs(("a 1.*", "b")), {"a-1.0-0.conda", "b-1.0-0.conda"}),
        (Specs(("* * cuda*",)), {"a-2.0-0.conda"}),
        (Specs(("a[build=py_0]",)), {"a-1.0-0.conda"}),
        (Specs(("a[subdir=linux-64]", "b[subdir=win-64]")), {"a-1.0-0.conda", "a-2.0-0.conda"}),
        (Specs(("*[subdir=noarch]",)), set()),
        (Builds(("cuda*",)), {"a-2.0-0.conda"}),
        (Platforms(("linux-*",)), {"a-1.0-0.conda", "a-2.0-0.conda", "b-1.0-0.conda"}),
        (Platforms(("noarch",)), set()),
        (Kinds(("tar.bz2",)), set()),
        (LargerThan(15), {"a-2.0-0.conda", "b-1.0-0.conda"}),
        (Not(LargerThan(15)), {"a-1.0-0.conda", "b-1.0-0.conda"}),
    ],
)
def test_a_condition_hides_what_it_says_and_what_it_cannot_know(
    condition: Condition, hidden: set[str]
) -> None:
    assert hidden_by(condition, VERSIONS) == hidden


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("a[license=MIT]", "license; write licences"),
        ("a[license_family=MIT]", "license_family; write licence_families"),
        ("https://c.example.org/c/linux-64/a-1.0-0.conda", "url; write its name"),
        ("a[fn='a-1.0-0.conda']", "fn; write its name"),
        ("a >=1[track_features=mkl]", "track_features"),
        ("a[extras=[x]]", "extras"),
        ("a[when='python']", "when"),
        ("there:a 1.*", "namespace"),
        ("c::a", "names a channel"),
    ],
)
def test_a_spec_that_would_hold_of_more_than_it_says_is_wrong(spec: str, words: str) -> None:
    assert words in str(CONDA.wrong(Specs((spec,))))


@pytest.mark.parametrize(
    "spec",
    [
        "a",
        "*",
        "a >=1,<2|3.*",
        "a[version='>=1', build='py*_0', build_number='>2']",
        f"a[subdir=linux-64, sha256={'a' * 64}, md5={'b' * 32}]",
        "^a.*[bc]$",
    ],
)
def test_a_spec_of_what_is_compared_is_right(spec: str) -> None:
    assert CONDA.wrong(Specs((spec,))) is None


def test_the_refusal_names_the_rule_and_its_reason() -> None:
    context = under(CONTEXT, deny(Names(("a",)), "no-a", "ask us"), deny(Names(("b",)), "no-b"))
    gate = views(VERSIONS, context).gate
    assert gate["a-1.0-0.conda"] == ("no-a", "ask us")
    assert gate["b-1.0-0.conda"] == ("no-b", "named b")


def test_the_first_rule_that_holds_decides_and_overrides_come_before() -> None:
    rules = [allow(Specs(("a 1.*",))), deny(Names(("a",))), allow(Names(("a",)))]
    over = (allow(Names(("b",)), "over"),)
    gate = views(VERSIONS, under(CONTEXT, *rules, deny(Names(("*",))), overrides=over)).gate
    shown = {name for name, denied in gate.items() if denied is None}
    assert shown == {"a-1.0-0.conda", "b-1.0-0.conda"}


def test_kept_records_keep_their_bytes_and_everything_unknown_stays() -> None:
    odd = '{ "name":"a", "version":"1.0","new": [1.50,  "\\u00e9"] }'
    text = (
        '{"info":{"subdir":"linux-64"},"later":{"x": 1.0},'
        '"packages":{"b-1-0.tar.bz2":{"name":"b"},"a-1-0.tar.bz2":' + odd + "}}"
    )
    made = views(text.encode(), under(CONTEXT, deny(Names(("b",)))))
    assert odd in made.text.decode()
    assert '"later":{"x": 1.0}' in made.text.decode()
    assert "b-1-0" not in made.text.decode()


def test_without_anything_to_hide_upstreams_bytes_stay() -> None:
    raw = json.dumps(channel(), indent=1).encode()
    upstream = body_of(raw, zst=True)
    made = render(upstream, "zst", "rows", context=under(CONTEXT, deny(Names(("nothing",)))))
    assert made["zst"] == upstream.content


def test_signatures_of_hidden_files_go() -> None:
    signed = {name: {"key": {"signature": "0"}} for name in ("a-1.0-0.conda", "b-1.0-0.conda")}
    made = views({**VERSIONS, "signatures": signed}, under(CONTEXT, deny(Names(("a",)))))
    assert set(made.json["signatures"]) == {"b-1.0-0.conda"}


def test_a_hidden_name_has_no_shard() -> None:
    made = views(VERSIONS, under(CONTEXT, deny(Names(("a",)))))
    assert set(unpacked(made.shards["shards"])["shards"]) == {"b"}


def test_an_untouched_name_keeps_its_shard() -> None:
    before, _ = shards_of(VERSIONS)
    after, _ = shards_of(VERSIONS, context=under(CONTEXT, deny(Specs(("a >=2",)))))
    assert before["shards"]["b"] == after["shards"]["b"]
    assert before["shards"]["a"] != after["shards"]["a"]


def test_revisions_count_what_is_left() -> None:
    newer = {
        "conda": {
            "a-1-0": record("a", timestamp=1000),
            "b-1-0": record("b", timestamp=2000),
            "b-2-0": record("b", timestamp=3000),
        },
        "later": {"a-9": {"name": "a"}},
    }
    revision = {"v3": {"n_packages": 3, "oldest": 1000, "newest": 3000, "message": "m"}}
    info = {"subdir": "linux-64", "repodata_revisions": revision}
    content = channel(info=info, v3=newer)
    made = views(content, under(CONTEXT, deny(Specs(("b[build=h1_0]",)))))
    assert made.json["info"]["repodata_revisions"]["v3"] == {
        "n_packages": 1,
        "oldest": 1000,
        "newest": 1000,
        "message": "m",
    }
    assert (
        unpacked(made.shards["shards"])["info"]["repodata_revisions"]
        == (made.json["info"]["repodata_revisions"])
    )
    # What no policy can judge is not shown; without a policy it is.
    assert made.json["v3"]["later"] == {}
    assert views(content, CONTEXT).json["v3"]["later"] == {"a-9": {"name": "a"}}


# -- ages ----------------------------------------------------------------------------------


def aged(**times: Any) -> dict[str, Any]:
    one = record("a", sha256="ab" * 32, **times)
    return channel(**{"packages": {}, "packages.conda": {"a-1-0.conda": one}})


def seen(at: float) -> bytes:
    return first_seen.merged(None, [(bytes.fromhex("ab" * 16), at)], MOMENT)


OTHERS = first_seen.merged(None, [(b"0" * 16, 1.0)], MOMENT)
WEEK_OLD, HOUR_OLD = MOMENT - 7 * DAY, MOMENT - 3600


@pytest.mark.parametrize(
    ("times", "table", "is_hidden"),
    [
        ({"indexed_timestamp": WEEK_OLD * MS}, b"", False),
        ({"indexed_timestamp": HOUR_OLD * MS}, b"", True),
        # The server's date counts, not the builder's, nor ours.
        ({"indexed_timestamp": HOUR_OLD * MS, "timestamp": 1}, seen(WEEK_OLD), True),
        ({"timestamp": WEEK_OLD * MS}, seen(HOUR_OLD), True),
        ({"timestamp": HOUR_OLD * MS}, seen(WEEK_OLD), False),
        ({"indexed_timestamp": "yesterday", "timestamp": 1}, seen(HOUR_OLD), True),
        # What is not in the table came with this generation.
        ({"timestamp": WEEK_OLD * MS}, OTHERS, True),
        # Where there is no table this is the first generation, and all may be old.
        ({"timestamp": WEEK_OLD * MS}, b"", False),
        ({"timestamp": HOUR_OLD * MS}, b"", True),
        ({}, b"", False),
    ],
)
def test_the_cool_down_believes_no_builder(
    times: dict[str, Any], table: bytes, is_hidden: bool
) -> None:
    hidden = hidden_by(YoungerThan(DAY), aged(**times), first_seen=table)
    assert bool(hidden) == is_hidden


def test_an_age_can_be_too_high() -> None:
    assert hidden_by(OlderThan(DAY), aged(indexed_timestamp=WEEK_OLD * MS))
    assert not hidden_by(OlderThan(DAY), aged(indexed_timestamp=HOUR_OLD * MS))


def test_only_files_without_a_date_of_the_servers_are_to_be_remembered() -> None:
    tables = {
        "a-1-0.conda": record("a", sha256="aa" * 32, timestamp=5_000_000_000_000),
        "b-1-0.conda": record("b", sha256="bb" * 32),
        "c-1-0.conda": record("c", sha256="cc" * 32, indexed_timestamp=1),
    }
    content = channel(**{"packages": {}, "packages.conda": tables})
    found = dict(CONDA.undated(index_of(), body_of(content)))
    assert found == {bytes.fromhex("aa" * 16): 5_000_000_000, bytes.fromhex("bb" * 16): 0.0}


def test_a_file_without_a_digest_is_known_again() -> None:
    def listing(*versions: str) -> dict[str, Any]:
        bare: dict[str, Any] = {"sha256": None, "md5": None}
        tables = {f"a-{one}-0.conda": record("a", version=one, **bare) for one in versions}
        return channel(**{"packages": {}, "packages.conda": tables})

    known = [(file, None) for file, _ in CONDA.undated(index_of(), body_of(listing("1", "2")))]
    assert len(set(known)) == 2
    table = first_seen.merged({}, known, WEEK_OLD)
    hidden = hidden_by(YoungerThan(DAY), listing("1", "2", "3"), first_seen=table)
    assert hidden == {"a-3-0.conda"}


def test_a_closed_list_lets_files_without_a_digest_through() -> None:
    bare: dict[str, Any] = {"sha256": None, "md5": None, "depends": []}
    tables = {f"{name}-1.0-0.conda": record(name, **bare) for name in "ab"}
    content = channel(**{"packages": {}, "packages.conda": tables})
    closed = CONDA.closed(index_of(), [(index_of(), body_of(content))], [("a",)])
    condition = Specs(("a",), dependencies=True)
    assert hidden_by(Not(condition), content, closure=closed) == {"b-1.0-0.conda"}


# -- other indexes -------------------------------------------------------------------------


def gate_of(content: object, context: Context) -> bytes:
    return render(body_of(content), "zst", "rows", context=context)["rows"]


@pytest.mark.parametrize(
    "filename", ["current_repodata.json", "repodata_from_packages.json", "run_exports.json"]
)
def test_a_subdirs_other_indexes_follow_its_repodata(filename: str) -> None:
    context = under(CONTEXT, deny(LargerThan(15)))
    path = f"linux-64/{filename}"
    # Judged by itself the one would be shown and the other hidden.
    tables = {
        "a-2.0-0.conda": {"name": "a", "size": 1, "run_exports": {}},
        "a-1.0-0.conda": {"name": "a", "size": 99, "run_exports": {}},
    }
    upstream = replace(
        body_of({"info": {}, "packages": {}, "packages.conda": tables}, path=path),
        gate=gate_of(VERSIONS, context),
    )
    made = render(upstream, "json", context=context, path=path)["json"]
    assert set(json.loads(made)["packages.conda"]) == {"a-1.0-0.conda"}
    decider = CONDA.decided_by(index_of(path))
    assert decider is not None
    assert decider.path == "linux-64/repodata.json"


# -- properties ----------------------------------------------------------------------------

NAMES = ["a", "b", "c-d"]
SPECS = ["a", "a >=2", "b 1.*", "* 3.*", "c-d[build=x*]"]


def _records() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "name": st.sampled_from(NAMES),
            "version": st.sampled_from(["1.0", "2.0", "3", "not a version", 4]),
            "build": st.sampled_from(["x1", "y2", "bad build", None]),
        },
        optional={
            "size": st.none() | st.integers(0, 3000),
            "indexed_timestamp": st.integers(0, int(MOMENT) * MS) | st.just("x"),
            "sha256": st.just("0" * 64) | st.just("odd"),
            "license": st.sampled_from([["x"], 1, {}]),
            "unknown": st.floats(allow_nan=False, allow_infinity=False),
        },
    )


def _channels() -> st.SearchStrategy[dict[str, Any]]:
    keys = st.integers(0, 9).map(lambda n: f"p-{n}-0")
    tables = st.dictionaries(keys, _records(), max_size=6)

    def ended(ending: str) -> st.SearchStrategy[dict[str, Any]]:
        return tables.map(lambda table: {f"{key}.{ending}": one for key, one in table.items()})

    return st.fixed_dictionaries(
        {
            "info": st.just({"subdir": "linux-64"}),
            "packages": ended("tar.bz2"),
            "packages.conda": ended("conda"),
        },
        optional={"removed": st.just(["p-1-0.conda"]), "more": st.integers()},
    )


RULES = random_policies(
    NAMES, SPECS, Builds(("x*",)), Licences(ids=("MIT",)), Kinds(("conda",)), Vulnerable()
)


@settings(deadline=None)  # the first reads the table of licences
@given(_channels(), RULES)
def test_what_views_list_is_what_the_gate_lets_through(
    content: dict[str, Any], rules: Policy
) -> None:
    context = replace(CONTEXT, policy=rules, moment=MOMENT)
    made = views(content, context)
    shown = {name for name, denied in made.gate.items() if denied is None}
    sent = {**content["packages"], **content["packages.conda"]}
    assert made.gate.keys() == sent.keys()
    assert made.listed == shown == made.sharded
    judged = {
        one.filename: not one.verdict.hides for one in CONDA.judged(index_of(), made.body, context)
    }
    assert {name for name, is_shown in judged.items() if is_shown} == shown
    for table in ("packages", "packages.conda"):
        assert made.json[table] == {
            name: one for name, one in content[table].items() if name in shown
        }
    assert {key: made.json[key] for key in content if not key.startswith("packages")} == {
        key: value for key, value in content.items() if not key.startswith("packages")
    }


@settings(deadline=None)  # the first reads the table of licences
@given(_channels(), RULES)
def test_rendering_what_was_rendered_changes_nothing(
    content: dict[str, Any], rules: Policy
) -> None:
    context = replace(CONTEXT, policy=rules, moment=MOMENT)
    once = views(content, context).text
    assert json.loads(views(once, context).text) == json.loads(once)


def test_real_indexes_under_a_policy_lose_only_what_is_hidden() -> None:
    rules = [deny(Names(("_*", "r-a*")), "names"), deny(Specs(("* * *py27*",)), "old")]
    for name, raw in real_indexes():
        made = views(raw, under(CONTEXT, *rules))
        before = msgspec.json.decode(raw)
        for table in ("packages", "packages.conda"):
            kept = {key: one for key, one in before.get(table, {}).items() if not made.gate[key]}
            assert made.json.get(table, {}) == kept, name
        assert made.sharded >= made.listed


# -- what a policy may say -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        (Specs(("a >=",)), "MatchSpec"),
        (Specs(("conda-forge::a",)), "channel"),
        (Specs((" ",)), "name"),
        (Kinds(("sdist",)), "sdist"),
    ],
)
def test_a_condition_that_a_channel_cannot_have_is_told(condition: Any, word: str) -> None:
    assert word in (CONDA.wrong(condition) or "")


def test_good_conditions_are_not_complained_of() -> None:
    for leaf in policy(deny(Specs(("a >=1", "* * x*")))).leaves:
        assert CONDA.wrong(leaf) is None


def test_a_body_without_a_gate_is_judged_by_itself() -> None:
    body = Body(content=b"{}", source="x", media_type="", url="https://c.example.org/x")
    assert body.gate is None


@pytest.mark.parametrize(
    ("licence", "is_hidden"),
    [
        ({"license": "GPL-3.0-only"}, True),
        ({"license": "MIT OR GPL-3.0-only"}, False),
        ({"license": "MIT"}, False),
        ({"license": "never heard of"}, True),  # it might be any
        ({"license": "never heard of", "license_family": "BSD"}, True),
        ({"license_family": "BSD"}, False),
        ({}, True),
        ({"license": ["MIT"]}, True),
    ],
)
def test_a_licence_is_refused_if_there_is_no_way_around_it(
    licence: dict[str, Any], is_hidden: bool
) -> None:
    one = record("a") | licence
    content = channel(**{"packages": {}, "packages.conda": {"a-1-0.conda": one}})
    assert bool(hidden_by(Licences(families=("GPL",)), content)) == is_hidden
    assert bool(hidden_by(Not(Licences(ids=("MIT", "BSD*", "LicenseRef-BSD"))), content)) == (
        is_hidden
    )


@pytest.mark.parametrize(
    ("more", "is_hidden"),
    [
        ({"purls": ["pkg:pypi/Sample@1.5"]}, True),
        ({"purls": ["pkg:pypi/sample"], "version": "1.5"}, True),
        ({"purls": ["pkg:pypi/sample@2.0"], "version": "1.5"}, False),
        ({"purls": ["pkg:github/x/sample@1.5"]}, False),
        ({"purls": ["pkg:pypi/other@9", "pkg:pypi/sample@1.5"]}, True),
        ({"purls": ["pkg:pypi/other", "pkg:pypi/sample"], "version": "1.5"}, True),
        ({"purls": ["pkg:pypi/sample@2.0", "pkg:pypi/other@1.5"]}, False),
        ({"name": "py-sample", "version": "1.5"}, True),
        ({"name": "py-sample", "version": "2.0"}, False),
        ({"name": "other", "version": "1.5"}, False),
        ({"purls": "odd"}, False),
    ],
)
def test_conda_packages_are_looked_up_by_what_they_are_called_at_pypi(
    more: dict[str, Any], is_hidden: bool
) -> None:
    leak = Advisory(
        id="PYSEC-1",
        ranges=(
            Range(
                (("introduced", "1"), ("fixed", "2")),
            ),
        ),
    )
    table = Advisories(by_name={"sample": (leak,)}, conda_names={"py-sample": "sample"})
    one = record("a") | more
    content = channel(**{"packages": {}, "packages.conda": {"a-1-0.conda": one}})
    made = views(content, under(replace(CONTEXT, advisories=table), deny(Vulnerable())))
    assert bool(made.gate["a-1-0.conda"]) == is_hidden
