"""Which versions a vulnerability is in, by OSV's own algorithm, and how bad it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from proxy.core.advisories import Advisories, Advisory, Range
from proxy.core.osv import gathered, read


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
    ((ecosystem, name, found),) = read(json.dumps(record).encode())
    assert (ecosystem, name) == ("PyPI", "sample")
    return found


@pytest.mark.parametrize(
    ("events", "affected", "clean", "fixed"),
    [
        ([{"introduced": "0"}], ["0.1", "99"], [], []),
        ([{"introduced": "0"}, {"fixed": "1.2"}], ["0.1", "1.1.9", "1.2rc1"], ["1.2"], ["1.2"]),
        ([{"introduced": "1"}, {"last_affected": "2.0"}], ["1", "2"], ["0.9", "2.0.1"], []),
        ([{"fixed": "1.2"}, {"introduced": "0"}], ["1"], ["1.2", "3"], ["3"]),
        (
            [{"introduced": "0"}, {"fixed": "1.1"}, {"introduced": "2.0"}, {"fixed": "2.1"}],
            ["1.0", "2.0"],
            ["1.1", "1.9", "2.1"],
            ["1.1", "2.1"],
        ),
        ([{"introduced": "0"}, {"limit": "2"}], ["1"], ["2", "3"], []),
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


def test_listed_versions_are_compared_in_one_spelling() -> None:
    found = advisory(osv(versions=["1.0.0-rc1"]))
    assert found.affects("1.0.0rc1", Version)
    assert not found.affects("1.0.0", Version)


def test_a_record_that_names_no_versions_is_about_all() -> None:
    assert advisory(osv()).affects("1", Version)


def test_a_version_that_cannot_be_ordered_counts_as_affected() -> None:
    assert advisory(osv({"introduced": "2"})).affects("what?", Version)
    assert not advisory(osv({"introduced": "2"}, {"fixed": "3"})).fixed_by("what?", Version)


V3 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
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
    ],
)
def test_the_score_is_the_highest_that_is_given(
    severity: list[dict[str, str]], specific: object, score: float | None
) -> None:
    record = osv({"introduced": "0"}, severity=severity, database_specific=specific)
    assert advisory(record).score == score


def test_what_was_withdrawn_is_not_there() -> None:
    record = osv({"introduced": "0"}, withdrawn="2026-02-01T00:00:00Z")
    assert not list(read(json.dumps(record).encode()))


def test_what_is_malicious_is_known_by_its_id() -> None:
    assert advisory(osv(id="MAL-2026-1", versions=["1.0"])).malicious


@pytest.mark.parametrize("body", [b"", b"[]", b'{"affected": []}', b'{"id": 5}', b"\xff"])
def test_what_is_no_record_is_told(body: bytes) -> None:
    with pytest.raises(ValueError, match="OSV"):
        list(read(body))


def test_the_digest_changes_with_what_is_known_of_that_package_alone() -> None:
    one = Advisory(id="A-1", ranges=(Range((("introduced", "0"),)),))
    known = gathered([("PyPI", "a", one), ("PyPI", "b", one)])["PyPI"]
    assert known.only("a").digest != Advisories().digest
    assert known.only("c").digest == Advisories().digest
    other = gathered([("PyPI", "b", one), ("PyPI", "a", one)])["PyPI"]
    assert known.digest == other.digest


VERSIONS = st.integers(0, 12).map(lambda n: f"1.{n}")


@given(st.sets(st.integers(1, 11), max_size=6), VERSIONS)
def test_ranges_agree_with_a_list_of_what_lies_in_them(bounds: set[int], version: str) -> None:
    """Bounds in turn open and close what is affected."""
    events: list[tuple[str, str]] = []
    listed: set[str] = set()
    ordered = sorted(bounds)
    for start, end in zip(ordered[::2], [*ordered[1::2], 13], strict=False):
        events += [("introduced", f"1.{start}"), ("fixed", f"1.{end}")]
        listed |= {f"1.{number}" for number in range(start, end)}
    found = Advisory(id="A-1", ranges=(Range(tuple(reversed(events))),))
    assert found.affects(version, Version) == (version in listed)
