"""Repositories under policies: every view shows what the gate lets through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core import first_seen
from proxy.core.advisories import Advisories, Advisory, Range
from proxy.core.policy import (
    MALICIOUS,
    Builds,
    Condition,
    Effect,
    FixesVulnerability,
    Kinds,
    LargerThan,
    Licences,
    Names,
    NeedsCompilation,
    Not,
    Platforms,
    Policy,
    Specs,
    Statuses,
    Tags,
    Vulnerable,
    Yanked,
    YoungerThan,
)
from proxy.ecosystems.base import Context
from proxy.ecosystems.cran import packages
from proxy.ecosystems.cran.versions import Spec, order
from tests.ecosystems.cran_repositories import (
    ARCHIVE,
    CONTEXT,
    CRAN,
    Made,
    body_of,
    dcf,
    index_of,
)
from tests.ecosystems.policies import DAY, MOMENT, allow, deny, policy, random_policies, under
from tests.lab.cran import ARCHIVED_AT, RPackage, archive_rds

SPECS_BELOW_2 = Specs(("tool (< 2.0)",))
RECORDS = (
    {
        "Package": "tool",
        "Version": "1.9.1",
        "Imports": "base.lib (>= 1.0), methods",
        "License": "MIT + file LICENSE",
        "NeedsCompilation": "no",
        "MD5sum": "1" * 32,
    },
    {
        "Package": "tool",
        "Version": "1.10",
        "License": "GPL (>= 2)",
        "NeedsCompilation": "yes",
        "Published": "2023-11-14",
    },
    {"Package": "base.lib", "Version": "0.9", "License": "GPL-2 | GPL-3", "Unheard-Of": "x, y"},
    {"Package": "base.lib", "Version": "1.0-3", "License": "GPL-2 | MIT + file LICENSE"},
    {"Package": "odd", "Version": "1", "License": "Our own terms", "NeedsCompilation": "maybe"},
)
TOOL_1_9, TOOL_1_10, LIB_0_9, LIB_1_0, ODD = (
    f"{one['Package']}_{one['Version']}.tar.gz" for one in RECORDS
)
ALL = {TOOL_1_9, TOOL_1_10, LIB_0_9, LIB_1_0, ODD}
TEXT = dcf(*RECORDS)


@pytest.mark.parametrize(
    ("condition", "hidden"),
    [
        (Names(("tool",)), {TOOL_1_9, TOOL_1_10}),
        (Names(("Base.*", "nothing")), {LIB_0_9, LIB_1_0}),
        (Specs(("tool (< 1.10)",)), {TOOL_1_9}),  # as R compares: 1.9.1 is before 1.10
        (Specs(("tool (>= 1.9, < 1.10)", "base.lib (== 1.0.3)")), {TOOL_1_9, LIB_1_0}),
        (Specs(("base.lib (> 1.0)",)), {LIB_1_0}),
        (Specs(("odd",)), {ODD}),
        (Specs(("odd (!= 1)",)), set()),
        (Platforms(("source",)), ALL),
        (Platforms(("windows", "macosx*", "linux/*")), set()),
        (Kinds(("source",)), ALL),
        (Kinds(("binary",)), set()),
        # One may choose MIT for the second; of the odd one nothing is known.
        (Licences(families=("GPL", "GPL2", "GPL3")), {TOOL_1_10, LIB_0_9, ODD}),
        (Licences(ids=("GPL-2.0-only",)), {ODD}),
        (Licences(ids=("GPL-2.0-or-later",)), {TOOL_1_10, ODD}),
        (Not(Licences(ids=("MIT",))), {TOOL_1_10, LIB_0_9, ODD}),
        (NeedsCompilation(), {TOOL_1_10, LIB_0_9, LIB_1_0, ODD}),
        (NeedsCompilation(needs=False), {TOOL_1_9, LIB_0_9, LIB_1_0, ODD}),
        (YoungerThan(3 * DAY), {TOOL_1_10}),  # it says so itself
        (LargerThan(5), ALL),
    ],
)
def test_a_condition_hides_what_it_says_and_what_it_cannot_know(
    condition: Condition, hidden: set[str]
) -> None:
    made = Made(TEXT, under(CONTEXT, deny(condition)))
    assert made.rows.keys() - made.gate == hidden
    assert made.rows.keys() == ALL


def test_a_binary_folder_is_known_by_its_place() -> None:
    path = "bin/macosx/big-sur-arm64/contrib/4.5/PACKAGES"
    text = dcf({"Package": "tool", "Version": "1.0"})
    for condition, is_hidden in (
        (Kinds(("binary",)), True),
        (Kinds(("source",)), False),
        (Platforms(("macosx/*-arm64",)), True),
        (Platforms(("windows",)), False),
    ):
        made = Made(text, under(CONTEXT, deny(condition)), path)
        assert set(made.rows) == {"tool_1.0.tgz"}
        assert (not made.gate) is is_hidden


def test_a_folder_that_may_hold_sources_and_binaries_is_refused_in_doubt() -> None:
    path = "__linux__/noble/latest/src/contrib/PACKAGES"
    url = f"https://r.example.org/{path}.gz"
    # The mirror's source may be such an address, so that its paths do not show it.
    for place in (path, "src/contrib/PACKAGES"):
        for kind in ("source", "binary"):
            made = Made(body_of(TEXT, url=url), under(CONTEXT, deny(Kinds((kind,)))), place)
            assert not made.gate
        linux = under(CONTEXT, deny(Platforms(("linux/noble",))))
        assert not Made(body_of(TEXT, url=url), linux, place).gate


@pytest.mark.parametrize(
    ("condition", "hint"),
    [
        (Tags(("cp312-*",)), "wheels' tags"),
        (Builds(("py*",)), "build strings"),
        (Yanked(), "yanked"),
        (Statuses(("archived",)), "statuses"),
        (LargerThan(1), "how large"),
        (Kinds(("wheel",)), "write some of source, binary"),
        (Licences(families=("NOPE",)), "NOPE"),
        (Specs(("tool>=1",)), "write ggplot2 (>= 3.5.0)"),
        (Specs(("tool (1.0)",)), "has no version range"),
        (Specs(("tool (>= 1.x)",)), "has no version range"),
    ],
)
def test_conditions_that_cannot_be_answered_are_errors(condition: Condition, hint: str) -> None:
    assert not isinstance(condition, Not)
    assert hint in (CRAN.wrong(condition) or "")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "condition",
    [
        Names(("a*",)),
        Specs(("tool", "tool (>= 1.0)", "tool (>= 1.0, != 1.2-3)")),
        Kinds(("source", "binary")),
        Licences(ids=("GPL-*",), families=("MIT",)),
        NeedsCompilation(),
        Vulnerable(),
        YoungerThan(DAY),
        Platforms(("windows",)),
    ],
)
def test_conditions_that_can_be_answered_are_right(condition: Condition) -> None:
    assert CRAN.wrong(condition) is None  # type: ignore[arg-type]


# -- ages --------------------------------------------------------------------------------


def test_what_is_new_in_an_index_that_is_known_is_young_whatever_it_says() -> None:
    known = RECORDS[:1]
    table = first_seen.merged(
        None, CRAN.undated(index_of(), body_of(dcf(*known))), MOMENT - 30 * DAY
    )
    context = under(CONTEXT, deny(YoungerThan(7 * DAY)))
    dated = [{**one, "Published": "2001-01-01"} for one in RECORDS[1:]]
    made = Made(body_of(dcf(*known, *dated), first_seen=table), context)
    assert made.gate == {TOOL_1_9}


def test_another_file_under_the_same_name_is_new() -> None:
    table = first_seen.merged(None, CRAN.undated(index_of(), body_of(TEXT)), MOMENT - 30 * DAY)
    rebuilt = TEXT.replace(b"1" * 32, b"2" * 32)
    context = under(CONTEXT, deny(YoungerThan(7 * DAY)))
    assert TOOL_1_9 not in Made(body_of(rebuilt, first_seen=table), context).gate


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("Published", "2023-11-14", 1_699_920_000.0),
        ("Date/Publication", "2023-11-14 12:00:00 UTC", 1_699_963_200.0),
        ("Packaged", "2023-11-14 12:00:00 UTC; nobody", 1_699_963_200.0),
        ("Published", "2023-13-44", 0.0),
        ("Published", "soon", 0.0),
        ("Published", "NA", 0.0),
    ],
)
def test_a_record_s_own_date(field: str, value: str, said: float) -> None:
    text = dcf({"Package": "a", "Version": "1", field: value})
    (one,) = packages.listed(index_of(), text)
    assert one.said == said


def test_an_archived_file_is_as_old_as_the_server_says() -> None:
    body = archive_rds([RPackage(name="tool")])
    for moment, is_hidden in ((ARCHIVED_AT + DAY, True), (ARCHIVED_AT + 9 * DAY, False)):
        context = replace(under(CONTEXT, deny(YoungerThan(7 * DAY))), moment=moment)
        assert (not Made(body, context, ARCHIVE).gate) is is_hidden


# -- advisories --------------------------------------------------------------------------


LEAK = Advisory(
    id="RSEC-2023-1", score=7.0, ranges=(Range((("introduced", "0"), ("fixed", "1.10"))),)
)
EVIL = Advisory(id="MAL-2026-1", malicious=True, versions=frozenset({"1"}))


def test_vulnerable_versions_are_told_by_r_s_order() -> None:
    advisories = Advisories(by_name={"tool": (LEAK,)})
    context = replace(under(CONTEXT, deny(Vulnerable())), advisories=advisories)
    assert Made(TEXT, context).gate == ALL - {TOOL_1_9}
    fixes = replace(under(CONTEXT, deny(FixesVulnerability())), advisories=advisories)
    assert Made(TEXT, fixes).gate == ALL - {TOOL_1_10}
    body = archive_rds(
        [RPackage(name="tool", version="1.2"), RPackage(name="tool", version="1.10")]
    )
    assert Made(body, context, ARCHIVE).archived == {"tool/tool_1.10.tar.gz"}


def test_what_is_malicious_is_refused_though_an_override_names_it() -> None:
    advisories = Advisories(by_name={"odd": (EVIL,)})
    rules = Policy(name="x", overrides=(MALICIOUS, allow(Names(("odd",)))))
    context = replace(CONTEXT, policy=rules, advisories=advisories)
    assert ODD not in Made(TEXT, context).gate


def test_advisories_are_those_of_cran() -> None:
    advised = CRAN.advised(index_of())
    assert advised is not None
    assert (advised.ecosystem, advised.package) == ("CRAN", None)
    assert CRAN.advised(index_of("src/contrib/Archive/tool/")) is None


# -- allow-lists -------------------------------------------------------------------------


def _closed(*specs: str) -> Made:
    index = index_of()
    table = CRAN.closed(index, [(index, body_of(TEXT))], [specs])
    rules = policy(allow(Specs(specs, dependencies=True)), default=Effect.DENY)
    return Made(body_of(TEXT, closure=table), replace(CONTEXT, policy=rules))


def test_an_allow_list_keeps_what_its_packages_need() -> None:
    assert _closed("tool (< 1.10)").gate == {TOOL_1_9, LIB_1_0}
    assert _closed("tool").gate == {TOOL_1_9, TOOL_1_10, LIB_1_0}
    assert _closed("odd").gate == {ODD}
    assert _closed("nothing").gate == set()


def test_packages_need_what_depends_imports_and_linking_to_name() -> None:
    text = dcf(
        {"Package": "a", "Version": "1", "Depends": "R (>= 4.0), b", "Suggests": "e"},
        {"Package": "b", "Version": "1", "Imports": "c (>= 2),\n  methods,a"},
        {"Package": "c", "Version": "1"},
        {"Package": "c", "Version": "2", "LinkingTo": "d"},
        {"Package": "d", "Version": "1", "Imports": "??, , c ("},
        {"Package": "e", "Version": "1"},
    )
    index = index_of()
    table = CRAN.closed(index, [(index, body_of(text))], [("a",)])
    rules = policy(allow(Specs(("a",), dependencies=True)), default=Effect.DENY)
    made = Made(body_of(text, closure=table), replace(CONTEXT, policy=rules))
    assert made.gate == {f"{one}.tar.gz" for one in ("a_1", "b_1", "c_2", "d_1")}


def test_the_archive_lets_through_what_an_allow_list_names_itself() -> None:
    rules = policy(allow(Specs(("tool (< 2)",), dependencies=True)), default=Effect.DENY)
    body = archive_rds([RPackage(name="tool"), RPackage(name="base.lib")])
    made = Made(body, replace(CONTEXT, policy=rules), ARCHIVE)
    assert made.archived == {"tool/tool_1.0.tar.gz"}


@pytest.mark.parametrize("condition", [Licences(families=("NONE",)), NeedsCompilation(needs=False)])
def test_what_the_archive_does_not_say_is_not_known(condition: Condition) -> None:
    body = archive_rds([RPackage(name="tool")])
    rules = policy(allow(condition), default=Effect.DENY)
    assert not Made(body, replace(CONTEXT, policy=rules), ARCHIVE).gate
    assert not Made(body, under(CONTEXT, deny(condition)), ARCHIVE).gate


# -- properties --------------------------------------------------------------------------


def file_of(record: Mapping[str, str | None]) -> str:
    return f"{record['Package']}_{record['Version']}.tar.gz"


def names(made: Made) -> list[str]:
    return [file_of(one) for one in made.table]


_RANDOM = random_policies(
    ["tool", "base.lib", "odd"],
    ["tool (< 1.10)", "base.lib", "odd (>= 1)", "none (> 2)"],
    Licences(families=("GPL", "MIT")),
    Licences(ids=("GPL-2.0-only",)),
    NeedsCompilation(),
    NeedsCompilation(needs=False),
    Kinds(("source",)),
    Vulnerable(score=5.0),
)
_PICKED = st.lists(st.sampled_from(RECORDS), max_size=6)


@settings(deadline=None)  # the first reads the table of licences
@given(_RANDOM, _PICKED)
def test_views_show_what_the_gate_lets_through_and_twice_is_once(
    rules: Policy, records: list[dict[str, str]]
) -> None:
    advisories = Advisories(by_name={"tool": (LEAK,), "odd": (EVIL,)})
    context = replace(CONTEXT, policy=rules, moment=MOMENT, seen_at=MOMENT, advisories=advisories)
    text = dcf(*records)
    made = Made(text, context)
    assert set(names(made)) == made.gate
    # What is left is as it was, with what nobody here has heard of.
    kept = [one for one in records if file_of(one) in made.gate]
    assert made.text.rstrip() == dcf(*kept).rstrip()
    shown = [{name: cell for name, cell in row.items() if cell is not None} for row in made.table]
    assert shown == kept
    listed = [one.filename for one in packages.listed(index_of(), made.text)]
    assert listed == names(made)
    assert made.packed == made.text
    again = Made(made.text, context)
    assert (again.text, again.table) == (made.text, made.table)
    assert again.gate == made.gate == again.rows.keys()
    judged = CRAN.judged(index_of(), made.body, context)
    assert {one.filename for one in judged if not one.verdict.hides} == made.gate


@settings(deadline=None)  # the first reads the table of licences
@given(_RANDOM, _PICKED)
def test_the_archive_shows_what_the_gate_lets_through_and_twice_is_once(
    rules: Policy, records: list[dict[str, str]]
) -> None:
    context = replace(CONTEXT, policy=rules, moment=MOMENT, seen_at=MOMENT)
    # One file has one line, as in a folder.
    old = {one["Package"] + one["Version"]: one for one in records}.values()
    body = archive_rds(RPackage(name=one["Package"], version=one["Version"]) for one in old)
    made = Made(body, context, ARCHIVE)
    assert made.archived == made.gate
    again = Made(made.forms["rds"], context, ARCHIVE)
    assert again.forms["rds"] == made.forms["rds"]
    assert again.gate == made.gate


def test_of_two_records_for_one_file_the_one_that_is_refused_counts() -> None:
    same = {"Package": "tool", "Version": "1"}
    text = dcf({**same, "License": "MIT"}, {**same, "License": "GPL-3"})
    made = Made(text, under(CONTEXT, deny(Licences(families=("GPL3",)))))
    assert (made.gate, made.text) == (set(), b"")


# -- versions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "versions",
    [("0.9", "1", "1.0", "1.0.0", "1.0-1", "1.0.2", "1.2", "1.10", "20190101")],
)
def test_versions_are_in_r_s_order(versions: tuple[str, ...]) -> None:
    assert sorted(versions, key=order) == list(versions)


@pytest.mark.parametrize("text", ["", "a", "1.", ".1", "1..2", "1.0a", "1_0", "\u0661", "1" * 5000])
def test_other_texts_are_no_versions(text: str) -> None:
    with pytest.raises(ValueError, match=r"version|digits"):
        order(text)


def test_a_version_that_cannot_be_compared_is_refused_in_doubt() -> None:
    assert Spec.of("a (>= 1)").matches("1.0~rc1") is None
    assert Spec.of("a").matches("1.0~rc1") is True
    text = dcf({"Package": "a", "Version": "1.0~rc1"})
    assert not Made(text, under(CONTEXT, deny(Specs(("a (< 1)",))))).gate
    rules = policy(allow(Specs(("a (< 1)",))), default=Effect.DENY)
    assert not Made(text, replace(CONTEXT, policy=rules)).gate


def test_a_context_without_a_policy_judges_nothing() -> None:
    assert not list(CRAN.judged(index_of(), body_of(TEXT), Context(mirror="cran/r")))
