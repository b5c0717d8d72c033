"""Which versions a vulnerability is in, by OSV's own algorithm, and how bad it is."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from proxy.core.advisories import Advisories, Advisory, Packed, Range, Status
from proxy.core.conditions import Subject
from proxy.core.osv import Record, gathered, read
from proxy.core.policy import Effect, Malicious, Names, Not, Policy, Rule, Verdict, Vulnerable
from proxy.core.telling import Telling


def osv(*events: dict[str, str], **more: Any) -> dict[str, Any]:
    """A record about the project sample, of the shape that OSV publishes."""
    affected = {
        "package": {"ecosystem": "PyPI", "name": "Sample", "purl": "pkg:pypi/sample"},
        "ranges": [{"type": "ECOSYSTEM", "events": list(events)}] if events else [],
        "versions": more.pop("versions", []),
    }
    return {
        "schema_version": "1.6.0",
        "id": "PYSEC-2026-1",
        "modified": "2026-01-01T00:00:00Z",
        "summary": "Something  leaks",
        "affected": [affected],
    } | more


def advisory(record: dict[str, Any]) -> Advisory:
    ((ecosystem, name, found),) = record_of(record).found
    assert (ecosystem, name) == ("PyPI", "sample")
    return found


def record_of(record: dict[str, Any]) -> Record:
    return read(json.dumps(record).encode())


@pytest.mark.parametrize(
    ("events", "affected", "clean", "fixed"),
    [
        ([{"introduced": "0"}], ["0.1", "99"], [], []),
        ([{"introduced": "0"}, {"fixed": "1.2"}], ["0.1", "1.1.9", "1.2rc1"], ["1.2"], ["1.2"]),
        ([{"introduced": "1"}, {"last_affected": "2.0"}], ["1", "2"], ["0.9", "2.0.1"], []),
        ([{"fixed": "1.2"}, {"introduced": "0"}], ["1"], ["1.2", "3"], ["1.2", "1.2.0"]),
        (
            [{"introduced": "0"}, {"fixed": "1.1"}, {"introduced": "2.0"}, {"fixed": "2.1"}],
            ["1.0", "2.0"],
            ["1.1", "1.9", "2.1"],
            ["1.1", "2.1"],
        ),
        ([{"introduced": "0"}, {"limit": "2"}], ["1"], ["2", "3"], []),
        ([{"introduced": "0"}, {"limit": "1"}, {"limit": "*"}], ["2"], [], []),
        ([{"introduced": "1.5"}, {"last_affected": "1.5"}], ["1.5", "1.5.0"], ["1.4", "1.6"], []),
        (
            [{"introduced": "0"}, {"fixed": "2"}, {"introduced": "2"}, {"fixed": "3"}],
            ["1", "2", "2.9"],
            ["3"],
            ["3"],
        ),
        ([{"introduced": "2"}, {"fixed": "2"}], [], ["1", "2", "3"], ["2"]),
        ([{"fixed": "2"}], ["1"], ["2"], ["2"]),
        ([{"introduced": "1"}, {"last_affected": "2.0"}], ["2.0+cu118"], ["2.0.post1"], []),
        ([{"introduced": "1"}, {"fixed": "2.0"}], ["1.9+cu118"], ["2.0+cu118"], ["2.0+cu118"]),
    ],
)
def test_ranges_are_evaluated_as_osv_says(
    events: list[dict[str, str]], affected: list[str], clean: list[str], fixed: list[str]
) -> None:
    found = advisory(osv(*events))
    assert all(found.affects(version, Version) for version in affected)
    assert not any(found.affects(version, Version) for version in clean)
    assert all(found.fixed_by(version, Version) for version in fixed)
    assert not any(found.fixed_by(version, Version) for version in affected)
    assert not any(found.fixed_by(version, Version) for version in ("3.1", "99"))  # long since


@pytest.mark.parametrize(
    ("listed", "version", "affected"),
    [
        ("1.0.0-rc1", "1.0.0rc1", True),
        ("1.0.0-rc1", "1.0.0", False),
        ("1.0.0", "1.0", True),
        ("1.0", "1.0.0", True),
        ("1.0", "1.0.1", False),
        ("10", "1", False),
        ("1.0", "1.0+cu118", True),
        ("1.0+cu118", "1.0.0+cu118", True),
        ("1.0+cu118", "1.0", False),
        ("odd one", "odd one", True),
    ],
)
def test_listed_versions_are_compared_in_one_spelling(
    listed: str, version: str, affected: bool
) -> None:
    assert advisory(osv(versions=[listed])).affects(version, Version) == affected


def test_names_and_versions_at_cran_are_compared_as_they_are() -> None:
    record = osv(versions=["1.0-1"])
    record["affected"][0]["package"] = {"ecosystem": "CRAN:4.5", "name": "Sample"}
    ((ecosystem, name, found),) = record_of(record).found
    assert (ecosystem, name) == ("CRAN", "Sample")
    assert found.versions == {"1.0-1"}


def test_a_record_that_names_no_versions_is_about_all() -> None:
    assert advisory(osv()).affects("1", Version)


@pytest.mark.parametrize(
    "ranges",
    [
        [{"type": "GIT", "repo": "https://git.example.org", "events": [{"introduced": "0"}]}],
        [{"type": "ECOSYSTEM", "events": []}],
        [{"type": "ECOSYSTEM"}],
        None,
    ],
)
def test_ranges_that_say_nothing_of_versions_leave_it_in_all(ranges: object) -> None:
    record = osv()
    record["affected"][0]["ranges"] = ranges
    assert advisory(record).affects("1", Version)


def test_a_version_that_cannot_be_ordered_counts_as_affected() -> None:
    assert advisory(osv({"introduced": "2"})).affects("what?", Version)
    assert not advisory(osv({"introduced": "2"}, {"fixed": "3"})).fixed_by("what?", Version)


V3 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
HARMLESS = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N"
V4 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"


@pytest.mark.parametrize(
    ("severity", "specific", "score"),
    [
        ([{"type": "CVSS_V3", "score": V3}], None, 9.8),
        ([{"type": "CVSS_V4", "score": V4}], None, 9.3),
        ([{"type": "CVSS_V4", "score": V4}, {"type": "CVSS_V3", "score": V3}], None, 9.8),
        ([], {"severity": "HIGH"}, 8.9),
        ([{"type": "CVSS_V3", "score": "odd"}], {"severity": "LOW"}, 3.9),
        ([{"type": "Ubuntu", "score": "low"}], None, None),
        ([], {"severity": 5}, None),
        ([{"type": "CVSS_V3", "score": HARMLESS}], {"severity": "HIGH"}, 0.0),
        ([{"type": "CVSS_V4", "score": f"{V4}/E:U"}], None, 9.3),
        ([{"type": "CVSS_V3", "score": f"{V3}/E:U/RL:O"}], None, 9.8),
        ([{"type": "CVSS_V2", "score": "AV:N/AC:L/Au:N/C:P/I:P/A:P"}], None, 7.5),
        ([{"type": "CVSS_V4", "score": ""}], None, None),
    ],
)
def test_the_score_is_the_highest_that_is_given(
    severity: list[dict[str, str]], specific: object, score: float | None
) -> None:
    record = osv({"introduced": "0"}, severity=severity, database_specific=specific)
    assert advisory(record).score == score


@given(st.text(alphabet="CVSS:4.031/AVNLHPTRUXE ", max_size=60))
def test_what_is_no_vector_has_no_score(vector: str) -> None:
    for version in (2, 3, 4):
        severity = [{"type": f"CVSS_V{version}", "score": vector}]
        assert advisory(osv(severity=severity)).score is None


def test_the_score_of_the_package_comes_before_that_of_the_record() -> None:
    record = osv(severity=[{"type": "CVSS_V3", "score": V3}])
    record["affected"][0]["severity"] = [{"type": "CVSS_V3", "score": HARMLESS}]
    assert advisory(record).score == 0.0


def test_what_was_withdrawn_is_not_there() -> None:
    assert not record_of(osv({"introduced": "0"}, withdrawn="2026-02-01T00:00:00Z")).found


def test_of_two_records_with_one_id_the_last_modified_holds() -> None:
    old = osv({"introduced": "0"}, modified="2026-01-01T00:00:00Z")
    new = osv(
        {"introduced": "0"}, modified="2026-01-01T00:00:00.5Z", withdrawn="2026-01-01T00:00:00Z"
    )
    for order in ([old, new], [new, old]):
        assert not gathered(map(record_of, order))
    for order in ([old, old | {"id": "B-1"}], [old | {"id": "B-1"}, old, old]):
        assert len(gathered(map(record_of, order))["PyPI"].of("sample")) == 2


@pytest.mark.parametrize(
    "field", ["aliases", "severity", "affected", "summary", "withdrawn", "database_specific"]
)
def test_null_is_read_as_nothing(field: str) -> None:
    found = record_of(osv({"introduced": "0"}) | {field: None}).found
    assert len(found) == (field != "affected")


@pytest.mark.parametrize("field", ["ranges", "versions", "severity"])
def test_null_in_what_is_affected_is_read_as_nothing(field: str) -> None:
    record = osv(versions=["1.0"])
    record["affected"][0][field] = None
    assert advisory(record).affects("1.0", Version)


def test_what_is_about_a_repository_or_of_no_type_that_is_mirrored_is_left_out() -> None:
    record = osv()
    record["affected"] = [{"ranges": []}, {"package": {"ecosystem": "Hex", "name": "a"}}]
    assert not record_of(record).found


def test_what_is_malicious_is_known_by_its_id() -> None:
    assert advisory(osv(id="MAL-2026-1", versions=["1.0"])).malicious


@pytest.mark.parametrize("body", [b"", b"[]", b'{"affected": []}', b'{"id": 5}', b"\xff"])
def test_what_is_no_record_is_told(body: bytes) -> None:
    with pytest.raises(ValueError, match="OSV"):
        read(body)


@pytest.mark.parametrize(
    ("affected", "field"),
    [
        ([{"versions": [1]}], r"affected\[0\]\.versions"),
        ([{"ranges": [{"events": [{"introduced": 0}]}]}], r"ranges\[0\]\.events"),
        ([{}, {"package": {"ecosystem": "PyPI"}}], r"affected\[1\]\.package"),
        ([{"package": {"name": "a"}}], r"affected\[0\]\.package"),
    ],
)
def test_the_field_that_is_wrong_is_named(affected: object, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        record_of(osv(affected=affected))


ONE = Advisory(
    id="A-1",
    aliases=("CVE-1",),
    score=5.5,
    status=Status.DISPUTED,
    versions=frozenset({"1", "2"}),
    ranges=(Range((("introduced", "0"), ("fixed", "3"))),),
)


def test_the_digest_changes_with_what_is_known_of_that_package_alone() -> None:
    known = Advisories(by_name={"a": (ONE,), "b": (ONE,)})
    assert known.only("a").digest != Advisories().digest
    assert known.only("c").digest == Advisories().digest
    assert known.digest == Advisories(by_name={"b": (ONE,), "a": (ONE,)}).digest


def test_packed_advisories_are_the_same_wherever_they_are_handed_to() -> None:
    plain = {"a": (ONE, Advisory(id="A-2", everything=True)), "b": (ONE,)}
    packed = Packed(plain)
    assert packed == plain
    assert pickle.loads(pickle.dumps(packed)) == plain
    assert "c" not in packed
    known = Advisories(by_name=packed)
    assert known.digest == Advisories(by_name=plain).digest
    assert known.only("b") == Advisories(by_name=plain).only("b")
    assert known.of("c") == ()


def test_a_digest_that_was_worked_out_is_handed_over() -> None:
    known = Advisories(by_name=Packed({"a": (ONE,)}))
    digest = known.digest
    assert pickle.loads(pickle.dumps(known)).__dict__["digest"] == digest


VERSIONS = st.integers(0, 12).map(lambda n: f"1.{n}")


@given(st.lists(st.integers(1, 12), max_size=7), st.booleans(), VERSIONS)
def test_ranges_agree_with_a_list_of_what_lies_in_them(
    bounds: list[int], closed: bool, version: str
) -> None:
    """Bounds in turn open and close what is affected; one may open where another closes."""
    events: list[tuple[str, str]] = [("introduced", "1.99")]
    listed: set[int] = set()
    ordered = sorted(set(bounds) if closed else bounds)
    for start, end in zip(ordered[::2], [*ordered[1::2], 13], strict=False):
        events += [
            ("introduced", f"1.{start}"),
            ("last_affected" if closed else "fixed", f"1.{end}"),
        ]
        listed |= set(range(start, end + closed))
    found = Advisory(id="A-1", ranges=(Range(tuple(events)),))
    assert found.affects(version, Version) == (int(version[2:]) in listed)


@given(st.sets(st.integers(1, 11), max_size=6), st.randoms(), VERSIONS)
def test_events_may_be_in_any_order(bounds: set[int], chance: Any, version: str) -> None:
    kinds = ("introduced", "fixed")
    events = [(kinds[at % 2], f"1.{bound}") for at, bound in enumerate(sorted(bounds))]
    mixed = chance.sample(events, len(events))
    one, other = (Advisory(id="A-1", ranges=(Range(tuple(it)),)) for it in (events, mixed))
    assert one.affects(version, Version) == other.affects(version, Version)


def test_a_verdict_names_the_worst_few_of_the_vulnerabilities_that_its_rule_is_about() -> None:
    def known(number: int, score: float | None, **more: Any) -> Advisory:
        return Advisory(id=f"A-{number}", score=score, everything=True, **more)

    subject = (
        known(1, 7.0),
        known(2, 9.0, aliases=("X-1", "CVE-2026-2")),
        known(3, None),
        known(4, 3.0),
        known(5, 9.5, status=Status.CLEARED),
        known(6, 8.0, malicious=True, aliases=("CVE-2026-6",)),
        Advisory(id="A-7", score=10.0, versions=frozenset({"2"})),
    )
    rules = [
        Rule(name="bad", effect=Effect.DENY, condition=Not(Not(Vulnerable(score=7.0)))),
        Rule(name="evil", effect=Effect.DENY, condition=Malicious()),
        Rule(name="named", effect=Effect.DENY, condition=Names(("x",))),
    ]
    telling: Telling[Subject] = Telling(
        Policy(name="p", rules=tuple(rules)),
        0.0,
        order=Version,
        subject=lambda one: one,
        published=lambda _: 0.0,
    )

    def said(rule: str, reason: str, version: str | None = "1") -> str:
        verdict = Verdict(effect=Effect.DENY, rule=rule, reason=reason)
        return telling.told(verdict, (subject, version), lambda *_: verdict).reason

    assert said("bad", "No.") == "No (A-3, CVE-2026-2, A-6 and 1 more)."
    assert said("evil", "harm") == "harm (A-6)"
    assert said("named", "No.") == "No."
    assert said("bad", "No.", None) == "No."
