"""channeldata.json tells of what is left in the subdirs that are here, and of nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.advisories import Advisories
from proxy.core.blocks import opened
from proxy.core.policy import (
    MALICIOUS,
    Condition,
    Effect,
    LargerThan,
    Names,
    Platforms,
    Policy,
    Specs,
)
from proxy.core.rows import decode_row
from tests.ecosystems.conda_channels import CONDA, CONTEXT, body_of, index_of, record, render
from tests.ecosystems.policies import MOMENT, allow, deny, policy, random_policies, under

PATH = "channeldata.json"
LINUX, NOARCH = "linux-64", "noarch"
Files = dict[str, dict[str, tuple[str, ...]]]
"""The versions of each package in each subdir."""

FILES: Files = {
    LINUX: {"a": ("1.0", "1.10", "1.9"), "b": ("1.0",), "c-d": ("2.0",)},
    NOARCH: {"a": ("1.9",), "b": ("3.0",)},
}


def gates(files: Files, rules: Policy) -> dict[str, bytes]:
    """The row tables of all subdirs."""
    context = replace(CONTEXT, policy=rules, moment=MOMENT)
    made = {}
    for subdir, packages in files.items():
        path = f"{subdir}/repodata.json"
        rows = {
            f"{name}-{version}-0.conda": record(name, version=version, size=9)
            for name, versions in packages.items()
            for version in versions
        }
        body = body_of({"info": {"subdir": subdir}, "packages.conda": rows}, path=path)
        made[path] = render(body, "zst", "rows", context=context, path=path)["rows"]
    return made


def entry(*subdirs: str, version: str, **more: Any) -> dict[str, Any]:
    return {"summary": "A thing.", "subdirs": list(subdirs), "version": version} | more


DATA = {
    "channeldata_version": 1,
    "packages": {
        "a": entry(LINUX, NOARCH, version="1.10", run_exports={"1.9": {"weak": []}, "1.10": {}}),
        "b": entry(LINUX, NOARCH, "win-64", version="3.0", home="https://b.example.org"),
        "c-d": entry(LINUX, version="2.0"),
        "elsewhere": entry("osx-64", version="1.0"),
    },
    "subdirs": [LINUX, NOARCH, "osx-64"],
}


def shown(data: Any, rules: Policy, tables: dict[str, bytes]) -> Any:
    body = replace(body_of(data, path=PATH), gates=tables)
    context = replace(CONTEXT, policy=rules, moment=MOMENT)
    return json.loads(render(body, "json", context=context, path=PATH)["json"])


def left(*conditions: Condition) -> Any:
    rules = policy(*map(deny, conditions))
    found = shown(DATA, rules, gates(FILES, rules))
    assert {**found, "packages": None} == {**DATA, "packages": None}
    return found["packages"]


def test_what_is_not_hidden_stays_as_it_is() -> None:
    assert left(Names(("none",))) == DATA["packages"]


def test_a_package_of_which_every_file_is_hidden_is_gone() -> None:
    assert left(Specs(("c-d 2.*",))).keys() == {"a", "b", "elsewhere"}
    assert left(Names(("elsewhere",))).keys() == {"a", "b", "c-d"}


def test_version_and_exports_are_of_what_is_left() -> None:
    found = left(Specs(("a >=1.10",)))["a"]
    assert found == entry(LINUX, NOARCH, version="1.9", run_exports={"1.9": {"weak": []}})
    assert list(found) == list(DATA["packages"]["a"])  # type: ignore[index]
    # By age, as conda orders them: 1.10 is the newest.
    assert left(Specs(("a ==1.9",)))["a"]["version"] == "1.10"


def test_a_subdir_without_a_file_that_is_left_is_not_named() -> None:
    assert left(Specs(("a ==1.9",)))["a"]["subdirs"] == [LINUX]
    assert left(Specs(("b 3.*",)))["b"]["subdirs"] == [LINUX, "win-64"]


def test_of_subdirs_that_are_not_here_nothing_is_claimed() -> None:
    found = left(Specs(("b",), dependencies=False), Platforms((NOARCH,)))
    assert "b" not in found  # by its name, wherever it is
    found = left(Specs(("b >=0",)))["b"]
    assert found["subdirs"] == ["win-64"]
    assert "version" not in found
    assert found["home"] == "https://b.example.org"


def test_what_is_hidden_by_its_name_is_so_where_advisories_are_known_too() -> None:
    rules = policy(allow(Names(("a",))), default=Effect.DENY)
    evil = Advisories(conda_names={"a": "evil"})
    context = replace(CONTEXT, policy=replace(rules, overrides=(MALICIOUS,)), advisories=evil)
    made = render(body_of(DATA, path=PATH), "json", context=context, path=PATH)["json"]
    assert json.loads(made)["packages"].keys() == {"a"}
    rules = policy(deny(LargerThan(1)), deny(Names(("a", "c-d"))))
    assert shown(DATA, rules, {})["packages"].keys() == {"b", "elsewhere"}


@pytest.mark.parametrize("odd", [{}, {"version": []}, {"run_exports": 3, "subdirs": "all"}])
def test_odd_entries_are_left_in_peace(odd: dict[str, Any]) -> None:
    rules = policy(deny(Specs(("a ==1.9",))))
    found = shown({"packages": {"a": odd}}, rules, gates(FILES, rules))
    assert found == {"packages": {"a": odd}}
    rules = policy(allow(Specs(("b",))), default=Effect.DENY)
    assert shown({"packages": {"a": odd}}, rules, gates(FILES, rules)) == {"packages": {}}


def test_the_indexes_beside_it_are_summed_up() -> None:
    is_part = CONDA.sums_up(index_of(PATH))
    assert is_part is not None
    assert is_part("linux-64/repodata.json")
    assert not is_part("linux-64/current_repodata.json")
    assert not is_part("label/x/linux-64/repodata.json")
    assert CONDA.sums_up(index_of("linux-64/repodata.json")) is None
    labelled = CONDA.sums_up(index_of("label/x/channeldata.json"))
    assert labelled is not None
    assert labelled("label/x/noarch/repodata.json")


_NAMES = ["a", "b", "c-d"]
_VERSIONS = st.lists(st.sampled_from(["1.0", "1.9", "1.10", "2"]), max_size=3, unique=True)
_FILES = st.fixed_dictionaries(
    {
        subdir: st.dictionaries(st.sampled_from(_NAMES), _VERSIONS.map(tuple))
        for subdir in (LINUX, NOARCH)
    }
)


@settings(deadline=None)
@given(_FILES, random_policies(_NAMES, ["a", "a >=1.9", "b 1.*", "* ==2"]))
def test_it_names_what_the_gates_let_through_and_twice_is_once(files: Files, rules: Policy) -> None:
    data: dict[str, Any] = {"packages": {}, "unknown": [1.50]}
    for subdir, packages in files.items():
        for name, versions in packages.items():
            for version in versions:
                one = data["packages"].setdefault(name, entry(version=version, odd={"x": 1}))
                if subdir not in one["subdirs"]:
                    one["subdirs"].append(subdir)
    tables = gates(files, rules)
    found = shown(data, rules, tables)
    assert {**found, "packages": None} == {**data, "packages": None}
    through: dict[str, dict[str, set[str]]] = {}
    for path, rows in tables.items():
        for filename, value in opened(rows).items():
            if decode_row(value).denied is None:
                name, version, _ = filename.rsplit("-", 2)
                there = through.setdefault(name, {})
                there.setdefault(path.split("/")[0], set()).add(version)
    assert found["packages"].keys() == through.keys()
    for name, one in found["packages"].items():
        assert set(one["subdirs"]) == through[name].keys()
        assert one["version"] in set().union(*through[name].values())
        assert (one["odd"], one["summary"]) == ({"x": 1}, "A thing.")
    assert shown(found, rules, tables) == found


def test_without_a_policy_nothing_is_changed() -> None:
    body = body_of(DATA, path=PATH)
    made = render(body, "json", context=CONTEXT, path=PATH)["json"]
    assert made == body.content
    made = render(body, "json", context=under(CONTEXT), path=PATH)["json"]
    assert made == body.content
